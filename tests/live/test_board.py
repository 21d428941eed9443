"""The board: which changes make it read the database, what it publishes, and what it keeps after lost history."""

import asyncio
import time

import pytest

from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError
from tornado_app.core.interfaces import Change, InconsistentChange, ScoreSnapshot
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.live.board import Board, Milestones

INTERVAL = 0.02


class Database:
    """Scores by player; counts the reads of the top 10, which raise `errors` first."""

    def __init__(self):
        self.scores, self.names = {}, {}
        self.version, self.reads, self.errors = 1, 0, []

    async def top(self):
        self.reads += 1
        if self.errors:
            raise self.errors.pop()
        order = sorted(self.scores.items(), key=lambda item: (-item[1], item[0]))[:10]
        return TopPlayers(self.version, standings([Player(u, s, 0, self.names.get(u, u)) for u, s in order]))

    def snapshot(self):
        return ScoreSnapshot([(score, 1) for score in self.scores.values()], self.version, last_updated=7)


class RecordingListener:
    """Records what the board publishes."""

    def __init__(self):
        self.tops, self.moves = [], []

    def publish_top(self, top):
        self.tops.append([standing.player.user_id for standing in top.standings])

    def publish_change(self, change, rank):
        self.moves.append((change.user_id, change.old, change.new, rank))


class BoardHarness:
    """A running board on a fake database; the test calls it in place of the feed."""

    def __init__(self, **options):
        self.database, self.listener = Database(), RecordingListener()
        pauses = {"interval": INTERVAL, "retry_pause": INTERVAL, "unexpected_pause": INTERVAL}
        self.board = Board(self.database.top, self.listener, **pauses, **options)

    def put(self, user, score, *, at=1):
        """Write a score and report it to the board, as the feed does."""
        old = self.database.scores.get(user)
        self.database.scores[user] = score
        self.database.version += 1
        self.board.on_change(Change(user, old, score, self.database.version, at))

    async def settle(self):
        """Wait until the board has no more reads to do."""
        # The board does not report that it has nothing to read.
        await eventually(lambda: not self.board._dirty.is_set())
        reads = self.database.reads
        await asyncio.sleep(2 * INTERVAL)
        assert self.database.reads == reads


@pytest.fixture
async def harness(request):
    harness = BoardHarness(**getattr(request, "param", {}))
    running = asyncio.ensure_future(harness.board.run())
    yield harness
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def full_board(harness):
    """Twelve players, p1 with 10 points up to p12 with 120; the tenth has 30."""
    harness.database.scores = {f"p{n}": 10 * n for n in range(1, 13)}
    harness.board.on_snapshot(harness.database.snapshot())
    await harness.board.wait_ready()
    await harness.settle()
    return harness


async def test_board_before_the_snapshot_is_not_ready(harness):
    assert not harness.board.ready
    for read in (lambda: harness.board.top, lambda: harness.board.total, lambda: harness.board.rank(5)):
        with pytest.raises(DatabaseError) as caught:
            read()
        assert caught.value.retry_after == 1.0


async def test_board_after_the_snapshot_has_its_scores(full_board):
    assert full_board.board.ready
    assert (full_board.board.total, full_board.board.last_updated) == (12, 7)
    assert [full_board.board.rank(score) for score in (121, 120, 119, 10, 9)] == [1, 1, 2, 12, 13]
    assert full_board.listener.tops == [[f"p{n}" for n in range(12, 2, -1)]]


@pytest.mark.parametrize(
    ("user", "score", "reads_again"),
    [
        ("p12", 121, True),  # on the board
        ("p3", 29, True),  # the tenth, who falls off
        ("p1", 30, True),  # level with the tenth
        ("p1", 29, False),
        ("new", 29, False),
        ("new", 31, True),
    ],
)
async def test_board_reads_the_top_10_only_for_changes_that_can_affect_it(full_board, user, score, reads_again):
    reads = full_board.database.reads
    full_board.put(user, score)
    await full_board.settle()
    assert full_board.database.reads - reads == reads_again


async def test_board_reads_the_top_10_for_a_profile_of_a_player_in_it_only(full_board):
    full_board.database.names["p12"] = "Zoë"
    full_board.board.on_change(Change("p1", None, None, 50, 0))
    await full_board.settle()
    assert full_board.database.reads == 1
    full_board.database.version = 51
    full_board.board.on_change(Change("p12", None, None, 51, 0))
    await full_board.settle()
    assert full_board.board.top.standings[0].player.username == "Zoë"
    assert len(full_board.listener.tops) == 2
    assert not full_board.listener.moves


async def test_board_with_fewer_than_10_players_reads_after_every_change(harness):
    harness.board.on_snapshot(harness.database.snapshot())
    await harness.board.wait_ready()
    harness.put("a", 1)
    harness.put("b", 0)
    await harness.settle()
    assert harness.listener.tops == [[], ["a", "b"]]


async def test_board_combines_many_changes_into_one_read(full_board):
    reads = full_board.database.reads
    for n in range(1000):
        full_board.put("p12", 1000 + n)
    await full_board.settle()
    assert full_board.database.reads - reads <= 2
    assert full_board.board.top.standings[0].player.score == 1999
    assert len(full_board.listener.moves) == 1000


async def test_board_does_not_publish_an_unchanged_top_10(full_board):
    before = full_board.board.top
    full_board.put("p1", 30)
    full_board.put("p1", 10)
    await full_board.settle()
    assert full_board.board.top is before
    assert len(full_board.listener.tops) == 1


async def test_board_publishes_a_change_with_the_new_rank(full_board):
    full_board.put("p1", 65, at=9)
    full_board.put("new", 500, at=8)
    assert full_board.listener.moves == [("p1", 10, 65, 7), ("new", None, 500, 1)]
    assert full_board.board.last_updated == 9
    assert full_board.board.total == 13


async def test_board_reads_again_when_the_top_10_is_older_than_the_change(full_board):
    """A new primary's majority view may lag behind the events that the old primary's stream reported."""
    full_board.database.scores["p1"] = 999
    full_board.board.on_change(Change("p1", 10, 999, 40, 1))
    await eventually(lambda: full_board.database.reads > 4)
    assert full_board.listener.tops[-1][0] == "p1"
    full_board.database.version = 40
    await full_board.settle()


async def test_board_does_not_publish_an_older_top_10(full_board):
    full_board.put("p1", 999)
    await full_board.settle()
    full_board.database.version -= 1
    full_board.database.scores["p1"] = 10
    full_board.put("p12", 121)
    full_board.database.version -= 1
    reads = full_board.database.reads
    await eventually(lambda: full_board.database.reads > reads + 3)
    assert full_board.listener.tops[-1][0] == "p1"


async def test_board_reads_again_after_a_database_error(full_board):
    full_board.database.errors = [DatabaseError()] * 3
    full_board.put("p1", 999)
    await full_board.settle()
    assert full_board.listener.tops[-1][0] == "p1"


async def test_board_without_history_keeps_its_data_and_is_not_ready(full_board):
    rank = full_board.board.rank(5)
    full_board.board.on_history_lost()
    assert not full_board.board.ready
    assert full_board.board.top.standings[0].player.user_id == "p12"
    assert full_board.board.rank(5) == rank
    full_board.database.scores = {"only": 3}
    full_board.database.version += 1
    full_board.board.on_snapshot(full_board.database.snapshot())
    assert full_board.board.ready
    await full_board.settle()
    assert full_board.listener.tops[-1] == ["only"]
    assert full_board.board.rank(2) == 2


async def test_board_after_a_restore_shows_the_older_version(full_board):
    """After a restored backup the database is older than the published top 10, and right."""
    full_board.database.version = 500
    full_board.put("p12", 121)
    await full_board.settle()
    full_board.board.on_history_lost()
    full_board.database.scores, full_board.database.version = {"old": 3}, 20
    full_board.board.on_snapshot(full_board.database.snapshot())
    assert not full_board.board.ready
    await full_board.settle()
    assert full_board.board.ready
    assert full_board.listener.tops[-1] == ["old"]
    assert full_board.board.top.version == 20


async def test_board_change_from_an_absent_score_is_inconsistent(full_board):
    with pytest.raises(InconsistentChange):
        full_board.board.on_change(Change("p1", 11, 12, 50, 1))
    assert full_board.board.rank(11) == 12


async def test_board_revision_grows_with_each_change(full_board):
    before = full_board.board.revision
    full_board.put("p1", 11)
    assert full_board.board.revision > before


async def test_board_continues_after_malformed_data(full_board, caplog):
    full_board.database.errors = [ValueError("malformed"), OverflowError("malformed too")]
    full_board.put("p1", 999)
    await full_board.settle()
    assert full_board.listener.tops[-1][0] == "p1"
    assert caplog.text.count("could not be read") == 2


# -- ranks and versions that the board does not show yet -----------------------------------------------


def score_changed(board, user, old, new, *, at=100, version=100):
    board.on_change(Change(user, old, new, version, at))


async def test_rank_of_a_new_score_does_not_count_the_old_one(full_board):
    assert full_board.board.rank_of("p1", 125) == 1
    assert full_board.board.rank_of("new", 15) == 12


async def test_rank_of_a_superseded_score_excludes_the_players_later_score(full_board):
    """The rank is the same before and after the feed reports the later score."""
    assert full_board.board.rank_of("p1", 125, superseded_at=100) == 1
    score_changed(full_board.board, "p1", 10, 125)
    assert full_board.board.rank_of("p1", 125, superseded_at=101) == 1
    score_changed(full_board.board, "p1", 125, 130, at=101)
    assert full_board.board.rank(125) == 2
    assert full_board.board.rank_of("p1", 125, superseded_at=101) == 1


async def test_rank_of_a_score_after_a_reversal_excludes_the_reversed_score(full_board):
    score_changed(full_board.board, "p1", 10, 130)
    assert full_board.board.rank_of("p1", 125) == 1
    score_changed(full_board.board, "p1", 130, None)  # hidden
    assert full_board.board.rank_of("p1", 119) == 2


@pytest.mark.parametrize("harness", [{"max_recent": 1}], indirect=True)
async def test_rank_of_a_score_superseded_long_ago_is_decided_by_time(full_board):
    """The board has no recent change of the player; a snapshot or change of a later time includes the later score."""
    assert full_board.board.rank_of("p12", 115, superseded_at=7) == 1  # the snapshot was at 7
    assert full_board.board.rank_of("p12", 115, superseded_at=8) == 2
    score_changed(full_board.board, "p11", 110, 112, at=9)
    assert full_board.board.rank_of("p12", 115, superseded_at=8) == 1


async def test_rank_of_is_at_least_1(full_board):
    assert full_board.board.rank_of("p1", 999, superseded_at=0) == 1


async def test_next_score_is_the_lowest_greater_score(full_board):
    assert full_board.board.next_score("p1", 10) == 20
    assert full_board.board.next_score("new", 15) == 20
    assert full_board.board.next_score("p12", 120) is None


async def test_next_score_excludes_the_players_own_score_until_its_reversal_is_reported(full_board):
    score_changed(full_board.board, "p1", 10, 15)
    assert full_board.board.next_score("p1", 12) == 20
    score_changed(full_board.board, "p1", 15, 20)  # as p2
    assert full_board.board.next_score("p1", 12) == 20


async def test_board_can_show_the_version_that_the_feed_has_reached(full_board):
    board, now = full_board.board, full_board.database.version
    assert board.can_show(now)
    assert not board.can_show(now + 5)
    board.on_progress(now + 5)  # an idle stream progresses: the same top 10 has a later version
    assert board.can_show(now + 5)
    assert board.version == now


async def test_board_cannot_show_a_change_before_its_top_10_is_read(harness, full_board):
    board, version = full_board.board, full_board.database.version + 1
    full_board.put("p1", 500)
    board.on_progress(version)
    assert not board.can_show(version)
    assert await board.wait_until_shown(version, 5)
    assert board.top.standings[0].player.user_id == "p1"
    assert board.version == version


async def test_board_can_show_a_change_below_its_top_10_at_once(full_board):
    version = full_board.database.version + 1
    full_board.put("p1", 11)
    full_board.board.on_progress(version)
    assert full_board.board.can_show(version)
    assert full_board.board.version == version


async def test_wait_until_shown_times_out_when_the_version_is_not_reached(full_board):
    assert not await full_board.board.wait_until_shown(10**9, 0.01)


async def test_milestones_wake_waiters_in_the_order_of_versions():
    milestones, woken = Milestones(), []

    async def wait(version):
        await milestones.wait(version, 5)
        woken.append(version)

    tasks = [asyncio.ensure_future(wait(version)) for version in (3, 1, 2)]
    await eventually(lambda: len(milestones) == 3)
    milestones.pass_while(lambda version: version <= 2)
    await eventually(lambda: woken == [1, 2])
    milestones.pass_while(lambda version: version <= 3)
    await asyncio.gather(*tasks)
    assert (woken, len(milestones)) == ([1, 2, 3], 0)


async def test_milestones_wait_times_out_and_frees_its_place():
    milestones = Milestones(most=2)
    await asyncio.gather(milestones.wait(9, 0.01), milestones.wait(8, 0.01))
    began = time.monotonic()
    await milestones.wait(7, 0.05)
    assert time.monotonic() - began >= 0.04  # it uses a place that timed-out waiters have left
    assert len(milestones) <= 2


async def test_milestones_wait_beyond_the_maximum_returns_at_once():
    milestones = Milestones(most=1)
    waiting = asyncio.ensure_future(milestones.wait(1, 5))
    await eventually(lambda: len(milestones) == 1)
    async with asyncio.timeout(1):
        await milestones.wait(1, 5)
    milestones.pass_while(lambda version: True)
    await waiting
