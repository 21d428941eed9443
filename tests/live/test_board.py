"""The board: which changes make it look at the database, what it shows, and what it knows when something is lost."""

import asyncio

import pytest

from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError
from tornado_app.core.interfaces import Change, InconsistentChange, ScoreSnapshot
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.live.board import Board

INTERVAL = 0.02


class Database:
    """The players, by id: what a read of the top 10 finds, and how often it was asked."""

    def __init__(self):
        self.scores, self.names = {}, {}
        self.version, self.reads, self.faults = 1, 0, 0

    async def top(self):
        self.reads += 1
        if self.faults:
            self.faults -= 1
            raise DatabaseError
        order = sorted(self.scores.items(), key=lambda item: (-item[1], item[0]))[:10]
        return TopPlayers(self.version, standings([Player(u, s, 0, self.names.get(u, u)) for u, s in order]))

    def snapshot(self):
        return ScoreSnapshot([(score, 1) for score in self.scores.values()], self.version, last_updated=7)


class Watcher:
    """Keeps what it was shown."""

    def __init__(self):
        self.tops, self.moves = [], []

    def publish_top(self, top):
        self.tops.append([standing.player.user_id for standing in top.standings])

    def publish_change(self, change, rank):
        self.moves.append((change.user_id, change.old, change.new, rank))


class Scene:
    """A running board over a database that a test changes, and the feed's part played by the test."""

    def __init__(self, **options):
        self.database, self.watcher = Database(), Watcher()
        pauses = {"interval": INTERVAL, "retry_pause": INTERVAL, "unexpected_pause": INTERVAL}
        self.board = Board(self.database.top, self.watcher, **pauses, **options)

    def put(self, user, score, *, at=1):
        """A write, as the feed tells of it."""
        old = self.database.scores.get(user)
        self.database.scores[user] = score
        self.database.version += 1
        self.board.on_change(Change(user, old, score, self.database.version, at))

    async def settle(self):
        """Until the board has nothing more to do."""
        await eventually(lambda: not self.board._dirty.is_set())
        reads = self.database.reads
        await asyncio.sleep(2 * INTERVAL)
        assert self.database.reads == reads


@pytest.fixture
async def scene(request):
    scene = Scene(**getattr(request, "param", {}))
    running = asyncio.ensure_future(scene.board.run())
    yield scene
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def full(scene):
    """Twelve players, p1 with 10 points up to p12 with 120; the tenth has 30."""
    scene.database.scores = {f"p{n}": 10 * n for n in range(1, 13)}
    scene.board.on_snapshot(scene.database.snapshot())
    await scene.board.wait_ready()
    await scene.settle()
    return scene


async def test_board_before_the_snapshot_is_not_ready(scene):
    assert not scene.board.ready
    for ask in (lambda: scene.board.top, lambda: scene.board.total, lambda: scene.board.rank(5)):
        with pytest.raises(DatabaseError) as caught:
            ask()
        assert caught.value.retry_after == 1.0


async def test_board_after_the_snapshot_has_its_scores(full):
    assert full.board.ready
    assert (full.board.total, full.board.last_updated) == (12, 7)
    assert [full.board.rank(score) for score in (121, 120, 119, 10, 9)] == [1, 1, 2, 12, 13]
    assert full.watcher.tops == [[f"p{n}" for n in range(12, 2, -1)]]


@pytest.mark.parametrize(
    ("user", "score", "looks"),
    [
        ("p12", 121, True),  # on the board
        ("p3", 29, True),  # the tenth, who falls off
        ("p1", 30, True),  # level with the tenth
        ("p1", 29, False),
        ("new", 29, False),
        ("new", 31, True),
    ],
)
async def test_board_reads_the_top_10_only_for_changes_that_can_affect_it(full, user, score, looks):
    reads = full.database.reads
    full.put(user, score)
    await full.settle()
    assert full.database.reads - reads == looks


async def test_board_reads_the_top_10_for_a_profile_of_a_player_in_it_only(full):
    full.database.names["p12"] = "Zoë"
    full.board.on_change(Change("p1", None, None, 50, 0))
    await full.settle()
    assert full.database.reads == 1
    full.database.version = 51
    full.board.on_change(Change("p12", None, None, 51, 0))
    await full.settle()
    assert full.board.top.standings[0].player.username == "Zoë"
    assert len(full.watcher.tops) == 2
    assert not full.watcher.moves


async def test_board_with_fewer_than_10_players_reads_after_every_change(scene):
    scene.board.on_snapshot(scene.database.snapshot())
    await scene.board.wait_ready()
    scene.put("a", 1)
    scene.put("b", 0)
    await scene.settle()
    assert scene.watcher.tops == [[], ["a", "b"]]


async def test_board_combines_many_changes_into_one_read(full):
    reads = full.database.reads
    for n in range(1000):
        full.put("p12", 1000 + n)
    await full.settle()
    assert full.database.reads - reads <= 2
    assert full.board.top.standings[0].player.score == 1999
    assert len(full.watcher.moves) == 1000


async def test_board_does_not_publish_an_unchanged_top_10(full):
    before = full.board.top
    full.put("p1", 30)
    full.put("p1", 10)
    await full.settle()
    assert full.board.top is before
    assert len(full.watcher.tops) == 1


async def test_board_publishes_a_change_with_the_new_rank(full):
    full.put("p1", 65, at=9)
    full.put("new", 500, at=8)
    assert full.watcher.moves == [("p1", 10, 65, 7), ("new", None, 500, 1)]
    assert full.board.last_updated == 9
    assert full.board.total == 13


async def test_board_reads_again_when_the_top_10_is_older_than_the_change(full):
    """As on a new primary, whose majority view still lags behind what the old one's stream told."""
    full.database.scores["p1"] = 999
    full.board.on_change(Change("p1", 10, 999, 40, 1))
    await eventually(lambda: full.database.reads > 4)
    assert full.watcher.tops[-1][0] == "p1"
    full.database.version = 40
    await full.settle()


async def test_board_does_not_publish_an_older_top_10(full):
    full.put("p1", 999)
    await full.settle()
    full.database.version -= 1
    full.database.scores["p1"] = 10
    full.put("p12", 121)
    full.database.version -= 1
    reads = full.database.reads
    await eventually(lambda: full.database.reads > reads + 3)
    assert full.watcher.tops[-1][0] == "p1"


async def test_board_reads_again_after_a_database_error(full):
    full.database.faults = 3
    full.put("p1", 999)
    await full.settle()
    assert full.watcher.tops[-1][0] == "p1"


async def test_board_without_history_keeps_its_data_and_is_not_ready(full):
    rank = full.board.rank(5)
    full.board.on_history_lost()
    assert not full.board.ready
    assert full.board.top.standings[0].player.user_id == "p12"
    assert full.board.rank(5) == rank
    full.database.scores = {"only": 3}
    full.database.version += 1
    full.board.on_snapshot(full.database.snapshot())
    assert full.board.ready
    await full.settle()
    assert full.watcher.tops[-1] == ["only"]
    assert full.board.rank(2) == 2


async def test_board_after_a_restore_shows_the_older_version(full):
    """A backup was restored: what the database says now is older than what was shown, and right."""
    full.database.version = 500
    full.put("p12", 121)
    await full.settle()
    full.board.on_history_lost()
    full.database.scores, full.database.version = {"old": 3}, 20
    full.board.on_snapshot(full.database.snapshot())
    assert not full.board.ready
    await full.settle()
    assert full.board.ready
    assert full.watcher.tops[-1] == ["old"]
    assert full.board.top.version == 20


async def test_board_change_from_an_absent_score_is_inconsistent(full):
    with pytest.raises(InconsistentChange):
        full.board.on_change(Change("p1", 11, 12, 50, 1))
    assert full.board.rank(11) == 12


async def test_board_revision_grows_with_each_change(full):
    before = full.board.revision
    full.put("p1", 11)
    assert full.board.revision > before


async def test_board_continues_after_malformed_data(full, caplog):
    read = full.board._read_top
    answers = [ValueError("rubbish"), OverflowError("more of it")]

    async def read_rubbish():
        if answers:
            raise answers.pop()
        return await read()

    full.board._read_top = read_rubbish
    full.put("p1", 999)
    await full.settle()
    assert full.watcher.tops[-1][0] == "p1"
    assert caplog.text.count("could not be read") == 2


# -- ranks and versions that the board does not show yet -----------------------------------------------


def score_changed(board, user, old, new, *, at=100, version=100):
    board.on_change(Change(user, old, new, version, at))


async def test_rank_of_a_new_score_does_not_count_the_old_one(full):
    assert full.board.rank_of("p1", 125) == 1
    assert full.board.rank_of("new", 15) == 12


async def test_rank_of_a_superseded_score_excludes_the_players_later_score(full):
    """The feed has seen the later score, or has not seen it yet: the rank is the same."""
    assert full.board.rank_of("p1", 125, superseded_at=100) == 1
    score_changed(full.board, "p1", 10, 125)
    assert full.board.rank_of("p1", 125, superseded_at=101) == 1
    score_changed(full.board, "p1", 125, 130, at=101)
    assert full.board.rank(125) == 2
    assert full.board.rank_of("p1", 125, superseded_at=101) == 1


async def test_rank_of_a_score_after_a_reversal_excludes_the_reversed_score(full):
    score_changed(full.board, "p1", 10, 130)
    assert full.board.rank_of("p1", 125) == 1
    score_changed(full.board, "p1", 130, None)  # hidden
    assert full.board.rank_of("p1", 119) == 2


@pytest.mark.parametrize("scene", [{"max_recent": 1}], indirect=True)
async def test_rank_of_a_score_superseded_long_ago_is_decided_by_time(full):
    """Nothing is remembered of the player: the snapshot or a later change tells that the later score is there."""
    assert full.board.rank_of("p12", 115, superseded_at=7) == 1  # the snapshot was at 7
    assert full.board.rank_of("p12", 115, superseded_at=8) == 2
    score_changed(full.board, "p11", 110, 112, at=9)
    assert full.board.rank_of("p12", 115, superseded_at=8) == 1


async def test_rank_of_is_at_least_1(full):
    assert full.board.rank_of("p1", 999, superseded_at=0) == 1


async def test_board_can_show_the_version_that_the_feed_has_reached(full):
    board, now = full.board, full.database.version
    assert board.can_show(now)
    assert not board.can_show(now + 5)
    board.on_progress(now + 5)  # an idle stream moves on: the same top 10 is now that of a later time
    assert board.can_show(now + 5)
    assert board.version == now


async def test_board_cannot_show_a_change_before_its_top_10_is_read(scene, full):
    board, version = full.board, full.database.version + 1
    full.put("p1", 500)
    board.on_progress(version)
    assert not board.can_show(version)
    assert await board.wait_until_shown(version, 5)
    assert board.top.standings[0].player.user_id == "p1"
    assert board.version == version


async def test_board_can_show_a_change_below_its_top_10_at_once(full):
    version = full.database.version + 1
    full.put("p1", 11)
    full.board.on_progress(version)
    assert full.board.can_show(version)
    assert full.board.version == version


async def test_wait_until_shown_times_out_when_the_version_is_not_reached(full):
    assert not await full.board.wait_until_shown(10**9, 0.01)
