"""Use cases of the scoreboard, without a database or sockets."""

from types import SimpleNamespace

import pytest

from tornado_app.core.model import Caller, Player, Receipt, Standing, Submission
from tornado_app.core.ranks import Ranks
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.validation import SubmissionValidator

ANN = Caller("ann", 0)


def player(name, score):
    return Player(name, score, 0, name)


class FakeStore:
    """A store with these players in board order."""

    def __init__(self, *players):
        self.players, self.applied = list(players), []

    async def apply(self, action):
        self.applied.append(action)
        return Receipt(action.user_id, action.value, 1, 0, created=False, replayed=False, rate_limit_state=None)

    async def player(self, user_id):
        return next(p for p in self.players if p.user_id == user_id)

    async def chosen(self, user_ids):
        return [p for p in self.players if p.user_id in user_ids]

    async def page(self, limit, after):
        start = 0 if after is None else next(n for n, p in enumerate(self.players, 1) if p.user_id == after.user_id)
        return self.players[start : start + limit]

    async def around(self, of, limit):
        at = self.players.index(of)
        return self.players[max(0, at - limit) : at], self.players[at + 1 : at + 1 + limit]


PLAYERS = [player("a", 90), player("b", 80), player("c", 80), player("d", 70), player("e", 60)]


def scoreboard(ranks, captcha=None):
    store = FakeStore(*PLAYERS)
    return Scoreboard(store, ranks, SubmissionValidator(), captcha), store


def ranked(standings):
    return [(s.player.user_id, s.rank) for s in standings]


UP_TO_DATE = Ranks([(90, 1), (80, 2), (70, 1), (60, 1)])
BEHIND = Ranks([(50, 3), (80, 1), (60, 1)])  # a, c and d have just overtaken others; memory lags behind


@pytest.mark.parametrize("ranks", [UP_TO_DATE, BEHIND])
async def test_first_page_with_stale_ranks_is_exact(ranks):
    found, _ = scoreboard(ranks)
    assert ranked(await found.page(5, None)) == [("a", 1), ("b", 2), ("c", 2), ("d", 4), ("e", 5)]


async def test_later_pages_and_neighbours_have_ranks_from_memory():
    found, _ = scoreboard(UP_TO_DATE)
    assert ranked(await found.page(3, PLAYERS[1])) == [("c", 2), ("d", 4), ("e", 5)]
    above, middle, below = await found.around("c", 1)
    assert ranked([*above, middle, *below]) == [("b", 2), ("c", 2), ("d", 4)]


@pytest.mark.parametrize("ranks", [UP_TO_DATE, BEHIND])
async def test_chosen_players_are_ranked_in_score_order(ranks):
    found, _ = scoreboard(ranks)
    chosen = ranked(await found.chosen(["e", "c", "b"]))
    assert [name for name, _ in chosen] == ["b", "c", "e"]
    assert [rank for _, rank in chosen] == sorted(rank for _, rank in chosen)
    assert chosen[0][1] == chosen[1][1] < chosen[2][1]


@pytest.mark.parametrize(
    ("rank", "total", "percentile"),
    [(1, 1, 100), (1, 3, 100), (2, 3, 66.66), (3, 3, 33.33), (4, 3, 25), (1, 0, 100), (10**6, 10**6, 0)],
)
def test_placement_percentile_counts_the_players_who_are_not_ahead(rank, total, percentile):
    board = SimpleNamespace(total=total, next_score=lambda user_id, score: 7)
    place = Scoreboard(FakeStore(), board, SubmissionValidator()).placement(Standing(rank, PLAYERS[-1]))
    assert place.percentile == percentile
    assert place.next_score == (None if rank == 1 else 7)


async def test_neighbours_with_stale_ranks_are_ranked_in_score_order():
    found, _ = scoreboard(BEHIND)
    above, middle, below = await found.around("c", 2)
    assert ranked([*above, middle, *below]) == [("a", 1), ("b", 2), ("c", 2), ("d", 4), ("e", 5)]


class Captcha:
    def __init__(self):
        self.checked = []

    async def check(self, submission):
        self.checked.append(submission.captcha)


async def test_captcha_is_checked_only_for_unverified_submissions():
    captcha = Captcha()
    found, store = scoreboard(UP_TO_DATE, captcha)
    await found.submit(Submission(ANN, points=1, captcha="x"))
    await found.submit(Submission(Caller("server", 0, scopes=frozenset({"scores:write"})), points=1))
    assert captcha.checked == ["x"]
    assert len(store.applied) == 2
