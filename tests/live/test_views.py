"""A view: which changes make it read the database, what it publishes, and what it keeps after lost history."""

import asyncio
import time

import pytest

from tests.support.wait import eventually
from tornado_app.core.boards import Order, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.interfaces import Change, InconsistentChange, ScoreSnapshot
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.live.views import LiveView, LiveViews, Milestones, Progress

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
    """Records what the view publishes."""

    def __init__(self):
        self.tops, self.moves = [], []

    def publish_top(self, top):
        self.tops.append([standing.player.user_id for standing in top.standings])

    def publish_change(self, change, rank):
        self.moves.append((change.user_id, change.old, change.new, rank))


class ViewHarness:
    """A running view on a fake database; the test calls it in place of the feed."""

    def __init__(self, *, progress=None, **options):
        self.database, self.listener = Database(), RecordingListener()
        pauses = {"interval": INTERVAL, "retry_pause": INTERVAL, "unexpected_pause": INTERVAL}
        self.progress = progress or Progress()
        self.view = LiveView(self.database.top, self.listener, self.progress, **pauses, **options)

    def put(self, user, score, *, at=1):
        """Write a score and report it to the view, as the feed does."""
        old = self.database.scores.get(user)
        self.database.scores[user] = score
        self.database.version += 1
        self.view.on_change(Change(user, old, score, self.database.version, at))

    async def settle(self):
        """Wait until the view has no more reads to do."""
        # The view does not report that it has nothing to read.
        await eventually(lambda: not self.view._dirty.is_set())
        reads = self.database.reads
        await asyncio.sleep(2 * INTERVAL)
        assert self.database.reads == reads


async def test_view_of_ascending_order_ranks_the_lowest_first():
    view = ViewHarness(order=Order.ASCENDING).view
    view.on_snapshot(ScoreSnapshot([(90, 1), (80, 2)], 1, last_updated=7))
    assert [view.rank(score) for score in (80, 90, 95, 70)] == [1, 3, 4, 1]
    assert view.rank_of("zoe", 85) == 3
    view.on_change(Change("zoe", 90, 75, 2, 8))
    assert view.rank_of("zoe", 90) == 3  # the one that is ahead of it is her own
    assert (view.next_score("ann", 80), view.next_score("zoe", 90)) == (75, 80)


@pytest.fixture
async def harness(request):
    harness = ViewHarness(**getattr(request, "param", {}))
    running = asyncio.ensure_future(harness.view.run())
    yield harness
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def full_view(harness):
    """Twelve players, p1 with 10 points up to p12 with 120; the tenth has 30."""
    harness.database.scores = {f"p{n}": 10 * n for n in range(1, 13)}
    harness.view.on_snapshot(harness.database.snapshot())
    await harness.view.wait_ready()
    await harness.settle()
    return harness


async def test_view_before_the_snapshot_is_not_ready(harness):
    assert not harness.view.ready
    for read in (lambda: harness.view.top, lambda: harness.view.total, lambda: harness.view.rank(5)):
        with pytest.raises(DatabaseError) as caught:
            read()
        assert caught.value.retry_after == 1.0


async def test_view_after_the_snapshot_has_its_scores(full_view):
    assert full_view.view.ready
    assert (full_view.view.total, full_view.view.last_updated) == (12, 7)
    assert [full_view.view.rank(score) for score in (121, 120, 119, 10, 9)] == [1, 1, 2, 12, 13]
    assert full_view.listener.tops == [[f"p{n}" for n in range(12, 2, -1)]]


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
async def test_view_reads_the_top_10_only_for_changes_that_can_affect_it(full_view, user, score, reads_again):
    reads = full_view.database.reads
    full_view.put(user, score)
    await full_view.settle()
    assert full_view.database.reads - reads == reads_again


async def test_view_reads_the_top_10_for_a_profile_of_a_player_in_it_only(full_view):
    full_view.database.names["p12"] = "Zoë"
    full_view.view.on_change(Change("p1", None, None, 50, 0))
    await full_view.settle()
    assert full_view.database.reads == 1
    full_view.database.version = 51
    full_view.view.on_change(Change("p12", None, None, 51, 0))
    await full_view.settle()
    assert full_view.view.top.standings[0].player.username == "Zoë"
    assert len(full_view.listener.tops) == 2
    assert not full_view.listener.moves


async def test_view_reads_the_top_10_when_only_the_time_of_a_score_changed(full_view):
    """The player may be in the top 10 now, if the score equals that of the tenth."""
    full_view.database.version = 50
    full_view.view.on_change(Change("p1", None, None, 50, 7))
    await full_view.settle()
    assert full_view.database.reads == 2


async def test_view_with_fewer_than_10_players_reads_after_every_change(harness):
    harness.view.on_snapshot(harness.database.snapshot())
    await harness.view.wait_ready()
    harness.put("a", 1)
    harness.put("b", 0)
    await harness.settle()
    assert harness.listener.tops == [[], ["a", "b"]]


async def test_view_combines_many_changes_into_one_read(full_view):
    reads = full_view.database.reads
    for n in range(1000):
        full_view.put("p12", 1000 + n)
    await full_view.settle()
    assert full_view.database.reads - reads <= 2
    assert full_view.view.top.standings[0].player.score == 1999
    assert len(full_view.listener.moves) == 1000


async def test_view_does_not_publish_an_unchanged_top_10(full_view):
    before = full_view.view.top
    full_view.put("p1", 30)
    full_view.put("p1", 10)
    await full_view.settle()
    assert full_view.view.top is before
    assert len(full_view.listener.tops) == 1


async def test_view_publishes_a_change_with_the_new_rank(full_view):
    full_view.put("p1", 65, at=9)
    full_view.put("new", 500, at=8)
    assert full_view.listener.moves == [("p1", 10, 65, 7), ("new", None, 500, 1)]
    assert full_view.view.last_updated == 9
    assert full_view.view.total == 13


async def test_view_reads_again_when_the_top_10_is_older_than_the_change(full_view):
    """A new primary's majority view may lag behind the events that the old primary's stream reported."""
    full_view.database.scores["p1"] = 999
    full_view.view.on_change(Change("p1", 10, 999, 40, 1))
    await eventually(lambda: full_view.database.reads > 4)
    assert full_view.listener.tops[-1][0] == "p1"
    full_view.database.version = 40
    await full_view.settle()


async def test_view_does_not_publish_an_older_top_10(full_view):
    full_view.put("p1", 999)
    await full_view.settle()
    full_view.database.version -= 1
    full_view.database.scores["p1"] = 10
    full_view.put("p12", 121)
    full_view.database.version -= 1
    reads = full_view.database.reads
    await eventually(lambda: full_view.database.reads > reads + 3)
    assert full_view.listener.tops[-1][0] == "p1"


async def test_view_reads_again_after_a_database_error(full_view):
    full_view.database.errors = [DatabaseError()] * 3
    full_view.put("p1", 999)
    await full_view.settle()
    assert full_view.listener.tops[-1][0] == "p1"


async def test_view_without_history_keeps_its_data_and_is_not_ready(full_view):
    rank = full_view.view.rank(5)
    full_view.view.on_history_lost()
    assert not full_view.view.ready
    assert full_view.view.top.standings[0].player.user_id == "p12"
    assert full_view.view.rank(5) == rank
    full_view.database.scores = {"only": 3}
    full_view.database.version += 1
    full_view.view.on_snapshot(full_view.database.snapshot())
    assert full_view.view.ready
    await full_view.settle()
    assert full_view.listener.tops[-1] == ["only"]
    assert full_view.view.rank(2) == 2


async def test_view_after_a_restore_shows_the_older_version(full_view):
    """After a restored backup the database is older than the published top 10, and right."""
    full_view.database.version = 500
    full_view.put("p12", 121)
    await full_view.settle()
    full_view.view.on_history_lost()
    full_view.database.scores, full_view.database.version = {"old": 3}, 20
    full_view.view.on_snapshot(full_view.database.snapshot())
    assert not full_view.view.ready
    await full_view.settle()
    assert full_view.view.ready
    assert full_view.listener.tops[-1] == ["old"]
    assert full_view.view.top.version == 20


async def test_view_change_from_an_absent_score_is_inconsistent(full_view):
    with pytest.raises(InconsistentChange):
        full_view.view.on_change(Change("p1", 11, 12, 50, 1))
    assert full_view.view.rank(11) == 12


async def test_view_revision_grows_with_each_change(full_view):
    before = full_view.view.revision
    full_view.put("p1", 11)
    assert full_view.view.revision > before


@pytest.mark.parametrize(
    ("view", "place"),
    [(View("kart"), ""), (View("kart", "weekly"), " in the open epoch of weekly")],
)
async def test_snapshot_is_logged_with_its_board_and_period(view, place, caplog):
    caplog.set_level("INFO")
    ViewHarness(view=view).view.on_snapshot(ScoreSnapshot([(30, 1), (20, 1)], 1, 1))
    assert caplog.messages == [f"board kart has 2 players{place}"]


async def test_view_continues_after_malformed_data(full_view, caplog):
    full_view.database.errors = [ValueError("malformed"), OverflowError("malformed too")]
    full_view.put("p1", 999)
    await full_view.settle()
    assert full_view.listener.tops[-1][0] == "p1"
    assert caplog.text.count("could not be read") == 2


# -- ranks and versions that the view does not show yet -----------------------------------------------


def score_changed(view, user, old, new, *, at=100, version=100):
    view.on_change(Change(user, old, new, version, at))


async def test_rank_of_a_new_score_does_not_count_the_old_one(full_view):
    assert full_view.view.rank_of("p1", 125) == 1
    assert full_view.view.rank_of("new", 15) == 12


async def test_rank_of_a_superseded_score_excludes_the_players_later_score(full_view):
    """The rank is the same before and after the feed reports the later score."""
    assert full_view.view.rank_of("p1", 125, superseded_at=100) == 1
    score_changed(full_view.view, "p1", 10, 125)
    assert full_view.view.rank_of("p1", 125, superseded_at=101) == 1
    score_changed(full_view.view, "p1", 125, 130, at=101)
    assert full_view.view.rank(125) == 2
    assert full_view.view.rank_of("p1", 125, superseded_at=101) == 1


async def test_rank_of_a_score_after_a_reversal_excludes_the_reversed_score(full_view):
    score_changed(full_view.view, "p1", 10, 130)
    assert full_view.view.rank_of("p1", 125) == 1
    score_changed(full_view.view, "p1", 130, None)  # hidden
    assert full_view.view.rank_of("p1", 119) == 2


@pytest.mark.parametrize("harness", [{"max_recent": 1}], indirect=True)
async def test_rank_of_a_score_superseded_long_ago_is_decided_by_time(full_view):
    """The view has no recent change of the player; a snapshot or change of a later time includes the later score."""
    assert full_view.view.rank_of("p12", 115, superseded_at=7) == 1  # the snapshot was at 7
    assert full_view.view.rank_of("p12", 115, superseded_at=8) == 2
    score_changed(full_view.view, "p11", 110, 112, at=9)
    assert full_view.view.rank_of("p12", 115, superseded_at=8) == 1


async def test_rank_of_is_at_least_1(full_view):
    assert full_view.view.rank_of("p1", 999, superseded_at=0) == 1


async def test_next_score_is_the_lowest_greater_score(full_view):
    assert full_view.view.next_score("p1", 10) == 20
    assert full_view.view.next_score("new", 15) == 20
    assert full_view.view.next_score("p12", 120) is None


async def test_next_score_excludes_the_players_own_score_until_its_reversal_is_reported(full_view):
    score_changed(full_view.view, "p1", 10, 15)
    assert full_view.view.next_score("p1", 12) == 20
    score_changed(full_view.view, "p1", 15, 20)  # as p2
    assert full_view.view.next_score("p1", 12) == 20


async def test_view_can_show_the_version_that_the_feed_has_reached(full_view):
    view, now = full_view.view, full_view.database.version
    full_view.progress.advance(now)
    assert view.can_show(now)
    assert not view.can_show(now + 5)
    full_view.progress.advance(now + 5)  # an idle stream progresses: the same top 10 has a later version
    assert view.can_show(now + 5)
    assert view.version == now


async def test_view_cannot_show_a_change_before_its_top_10_is_read(harness, full_view):
    view, version = full_view.view, full_view.database.version + 1
    full_view.put("p1", 500)
    full_view.progress.advance(version)
    assert not view.can_show(version)
    assert await view.wait_until_shown(version, 5)
    assert view.top.standings[0].player.user_id == "p1"
    assert view.version == version


async def test_view_can_show_a_change_below_its_top_10_at_once(full_view):
    version = full_view.database.version + 1
    full_view.put("p1", 11)
    full_view.progress.advance(version)
    assert full_view.view.can_show(version)
    assert full_view.view.version == version


async def test_wait_until_shown_times_out_when_the_version_is_not_reached(full_view):
    assert not await full_view.view.wait_until_shown(10**9, 0.01)


# -- several views ----------------------------------------------------------------------------------------

MAIN, KART = View("main"), View("kart")


@pytest.fixture
async def two_views():
    """Two running views of one feed, each of one player, who has 10 points."""
    progress = Progress()
    harnesses = {view: ViewHarness(progress=progress, view=view) for view in (MAIN, KART)}
    views = LiveViews([harness.view for harness in harnesses.values()], progress)
    running = asyncio.ensure_future(views.run())
    for harness in harnesses.values():
        harness.database.scores = {"p1": 10}
    views.on_snapshots({view: harness.database.snapshot() for view, harness in harnesses.items()})
    for harness in harnesses.values():
        await harness.view.wait_ready()
    yield views, harnesses
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_live_views_pass_a_change_to_its_view_only(two_views):
    views, harnesses = two_views
    harnesses[KART].database.scores["p1"] = 15
    views.on_change(KART, Change("p1", 10, 15, 2, 9))
    await eventually(lambda: views[KART].top.standings[0].player.score == 15)
    assert (views[MAIN].rank(9), views[MAIN].rank(10), views[KART].rank(10)) == (2, 1, 2)
    assert views[MAIN].top.standings[0].player.score == 10
    assert (harnesses[MAIN].listener.moves, harnesses[MAIN].database.reads) == ([], 1)
    assert (views[MAIN].version, views[MAIN].last_updated) == (1, 7)


async def test_live_views_lose_the_history_of_all_views(two_views):
    views, harnesses = two_views
    views.on_history_lost()
    assert not any(harness.view.ready for harness in harnesses.values())
    harnesses[KART].database.version = 9
    views.on_snapshots({view: harness.database.snapshot() for view, harness in harnesses.items()})
    assert all(harness.view.ready for harness in harnesses.values())


CHESS = View("chess")


async def test_live_views_read_the_top_10_of_an_added_view(two_views):
    views, _ = two_views
    added = ViewHarness(progress=two_views[1][MAIN].progress, view=CHESS)
    added.database.scores, added.database.version = {"p1": 3}, 50
    views.add(added.view)
    views.on_snapshots({CHESS: added.database.snapshot()})
    await added.view.wait_ready()
    assert added.view.top.standings[0].player.score == 3
    assert not added.view.can_show(50), "the events of all views up to the snapshot were not reported"
    views.on_progress(50)
    assert added.view.can_show(50)


async def test_live_views_read_no_more_of_a_removed_view(two_views):
    views, harnesses = two_views
    removed = harnesses[KART]
    await eventually(lambda: len(asyncio.all_tasks()) == 5)
    assert removed.view in views
    views.remove(KART)
    assert removed.view not in views
    assert ViewHarness(view=MAIN).view not in views, "another one of the same name"
    await eventually(lambda: len(asyncio.all_tasks()) == 4, what="the view's task has ended")
    removed.put("p1", 15)
    harnesses[MAIN].put("p1", 20)
    await eventually(lambda: harnesses[MAIN].view.top.standings[0].player.score == 20)
    assert removed.database.reads == 1
    with pytest.raises(KeyError):
        views[KART]


async def test_live_views_end_with_the_error_of_a_view(monkeypatch):
    broken = ViewHarness(view=CHESS)

    async def fail():
        raise RuntimeError("broken")

    monkeypatch.setattr(broken.view, "run", fail)
    with pytest.raises(RuntimeError, match="broken"):
        await LiveViews([broken.view], Progress()).run()


async def test_live_views_can_show_the_progress_of_the_feed_unless_their_own_top_10_is_older(two_views):
    views, harnesses = two_views
    harnesses[KART].database.errors = [DatabaseError()] * 1000
    views.on_change(KART, Change("p1", 10, 15, 5, 9))
    reading = [asyncio.ensure_future(views[view].wait_until_shown(5, 10)) for view in (MAIN, KART)]
    await asyncio.sleep(0)
    views.on_progress(5)
    assert await reading[0]
    assert not views[KART].can_show(5)
    harnesses[KART].database.errors.clear()
    harnesses[KART].database.version = 5
    assert await reading[1]


async def test_progress_does_not_visit_views_without_waiting_reads(two_views):
    views, harnesses = two_views
    progress = harnesses[MAIN].progress
    waiting = asyncio.ensure_future(views[KART].wait_until_shown(4, 10))
    await eventually(lambda: progress.waiting)
    assert progress.waiting == {views[KART]}
    views.on_progress(4)
    assert await waiting
    assert not progress.waiting


# -- waiting reads ----------------------------------------------------------------------------------------


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
