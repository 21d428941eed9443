"""One feed of two boards, on a real mongod."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.support.board_harness import RecordingView
from tests.support.fail_points import failing_commands
from tests.support.wait import eventually
from tornado_app.core.boards import MAIN, MAIN_VIEW, Board, Order, View
from tornado_app.core.model import Action, Profile
from tornado_app.live.views import LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players.documents import BOARD_ORDER, collection_of
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

KART, CHESS = View("kart"), View("chess")
BOARDS = {MAIN_VIEW: MAIN, KART: Board(name="kart")}
BETTER = {MAIN_VIEW: Order.DESCENDING.better, KART: Order.DESCENDING.better, CHESS: Order.ASCENDING.better}


class TwoBoards:
    """Stores and views of two boards, and their feed."""

    def __init__(self, uri, name):
        self.client = connect(uri)
        self.name = name
        self.database = self.client[name]
        self.stores = {view: MongoStore(self.client, name, board=board) for view, board in BOARDS.items()}
        self.progress = Progress()
        self.views = {view: RecordingView(store.top, self.progress, view=view) for view, store in self.stores.items()}
        listener = LiveViews(self.views.values(), self.progress)
        self.restarts = []
        self.feed = Feed(
            self.client,
            name,
            listener,
            boards={BOARDS[view]: store.cache for view, store in self.stores.items()},
            on_restart=self.restarts.append,
        )
        self.listener = listener

    async def add(self, board):
        """Add a board, whose view is new."""
        view = View(board.name)
        if view not in self.stores:
            self.stores[view] = MongoStore(self.client, self.name, board=board)
        self.views[view] = RecordingView(self.stores[view].top, self.progress, view=view, order=board.order)
        self.listener.add(self.views[view])
        await self.feed.add(board, self.stores[view].cache)

    @property
    def current(self):
        """Whether no view waits for a snapshot."""
        return all(view._current for view in self.views.values())

    async def check(self):
        """Every rank is that of the database."""
        await self.feed.caught_up()
        for view, live in self.views.items():
            scores = [row["score"] async for row in self.database[collection_of(view.board)].find()]
            better = BETTER[view]
            assert live.total == len(scores)
            for score in scores:
                assert live.rank(score) == 1 + sum(better(other, score) for other in scores)

    async def score(self, view, points, user="alice"):
        return await self.stores[view].apply(Action(user, points, None, b"f", Profile(), create_player=True))

    def changes(self, view):
        return [(change.user_id, change.old, change.new) for change in self.views[view].changes]


@pytest.fixture
async def boards(mongo_database):
    boards = TwoBoards(*mongo_database)
    await boards.score(KART, 7, "bob")
    tasks = [asyncio.ensure_future(part.run()) for part in (boards.feed, boards.listener)]
    for view in boards.views.values():
        await view.wait_ready()
    await boards.feed.wait_open()
    yield boards
    await cancel_and_wait(*tasks)
    for store in boards.stores.values():
        await store.close()
    await maybe_await(boards.client.close())


async def test_feed_reports_each_change_to_the_view_of_its_board(boards):
    for view, points in ((MAIN_VIEW, 5), (KART, 9), (MAIN_VIEW, 3)):
        await boards.score(view, points)
    await boards.feed.caught_up()
    assert boards.changes(MAIN_VIEW) == [("alice", None, 5), ("alice", 5, 8)]
    assert boards.changes(KART) == [("alice", None, 9)]
    assert (boards.views[MAIN_VIEW].total, boards.views[KART].total) == (1, 2)


async def test_boards_have_collections_of_their_own(boards):
    await boards.score(MAIN_VIEW, 5)
    assert {collection_of(view.board) for view in BOARDS} == {"players", "players.kart"}
    assert [row["_id"] async for row in boards.database["players"].find()] == ["alice"]
    assert [row["_id"] async for row in boards.database["players.kart"].find()] == ["bob"]


async def test_feed_reads_all_boards_again_at_one_moment_after_the_drop_of_one(boards):
    await boards.score(MAIN_VIEW, 5)
    await boards.database["players.kart"].drop()
    await eventually(lambda: boards.views[KART].rebuilds == 2 and boards.current)
    assert (boards.restarts, boards.views[MAIN_VIEW].rebuilds) == (["drop"], 2)
    assert (boards.views[MAIN_VIEW].total, boards.views[KART].total) == (1, 0)
    indexes = await boards.database["players.kart"].index_information()
    assert [(field, int(order)) for field, order in indexes["board"]["key"]] == BOARD_ORDER
    await boards.score(KART, 2)
    await boards.feed.caught_up()
    assert boards.changes(KART)[-1] == ("alice", None, 2)


async def test_feed_ignores_the_events_of_other_boards(boards):
    elsewhere = MongoStore(boards.client, boards.name, board=Board(name="chess"))
    await elsewhere.apply(Action("alice", 5, None, b"f", Profile(), create_player=True))
    await boards.database["players.chess"].delete_many({})
    await boards.database["players.chess"].drop()
    await boards.database["elsewhere"].insert_one({"_id": "x"})
    await boards.database["elsewhere"].rename("players.chess")
    await boards.score(MAIN_VIEW, 5)
    await boards.feed.caught_up()
    assert boards.restarts == []
    assert boards.changes(MAIN_VIEW) == [("alice", None, 5)]
    await elsewhere.close()


@pytest.mark.parametrize("of_a_board", [True, False], ids=["another board", "another collection"])
async def test_feed_reads_a_collection_that_is_renamed_to_that_of_a_board(boards, of_a_board):
    name = "players.chess" if of_a_board else "elsewhere"
    await boards.database[name].insert_one({"_id": "zoe", "score": 70, "updatedAt": datetime.now(UTC)})
    await boards.feed.caught_up()
    await boards.database[name].rename("players.kart", dropTarget=True)
    await eventually(lambda: boards.views[KART].rebuilds == 2 and boards.current)
    assert (boards.restarts, boards.views[KART].total, boards.views[KART].rank(69)) == (["rename"], 1, 2)


# -- boards that are added and removed ----------------------------------------------------------------------------


async def test_added_board_has_each_event_once_and_the_others_go_on(boards):
    """Writers play on three boards while one of them is added again and again."""
    chess = Board(name="chess", order=Order.ASCENDING)
    boards.stores[CHESS] = MongoStore(boards.client, boards.name, board=chess)
    for number in range(100):
        await boards.score(CHESS, number, f"p{number}")
    stop = asyncio.Event()
    written = Counter()

    async def play(view, number):
        while not stop.is_set():
            await boards.score(view, 1, f"p{(written[view] * 7 + number) % 50}")
            written[view] += 1

    writers = [asyncio.ensure_future(play(view, number)) for view in boards.stores for number in range(3)]
    try:
        for _ in range(5):
            await boards.add(chess)
            before = written.copy()
            await eventually(lambda before=before: all(written[view] > before[view] + 20 for view in written))
            boards.feed.remove("chess")
            boards.listener.remove(CHESS)
        await boards.add(chess)
    finally:
        stop.set()
        await asyncio.gather(*writers)
    await boards.check()
    assert (boards.restarts, boards.views[CHESS].rebuilds, boards.views[MAIN_VIEW].rebuilds) == ([], 1, 1)


async def test_removed_board_gets_no_events(boards):
    boards.feed.remove("kart")
    await boards.score(KART, 9)
    await boards.database["players.kart"].drop()
    await boards.score(MAIN_VIEW, 5)
    await boards.feed.caught_up()
    assert (boards.changes(KART), boards.restarts) == ([], [])
    assert boards.changes(MAIN_VIEW) == [("alice", None, 5)]


async def test_board_that_is_added_while_the_history_is_lost_waits_for_the_next(boards, replica_set):
    adding = []

    def lost():
        if boards.restarts and not adding:
            adding.append(asyncio.ensure_future(boards.add(Board(name="chess"))))
        return adding

    async with failing_commands(replica_set, "aggregate", until=lost, errorCode=262):
        await boards.database["players.kart"].drop()
    await adding[0]
    await boards.score(CHESS, 4)
    await boards.check()
    assert boards.changes(CHESS) == [("alice", None, 4)]


async def test_board_that_waits_for_its_snapshot_is_part_of_the_next_of_all_boards(boards, replica_set):
    async with failing_commands(replica_set, "listCollections", until=1, errorCode=262):
        adding = asyncio.ensure_future(boards.add(Board(name="chess")))
        await eventually(lambda: "chess" in boards.feed._boards)
        boards.feed.request_resync()
    await adding
    await eventually(lambda: boards.restarts and boards.current)
    await boards.score(CHESS, 4)
    await boards.check()
    assert boards.changes(CHESS) == [("alice", None, 4)]


async def test_cancelled_addition_of_a_board_leaves_nothing(boards, replica_set):
    gone = asyncio.Event()
    async with failing_commands(replica_set, "listCollections", until=gone.is_set, errorCode=262):
        adding = asyncio.ensure_future(boards.add(Board(name="chess")))
        await eventually(lambda: "chess" in boards.feed._boards)
        await cancel_and_wait(adding)  # while it cannot succeed
        gone.set()
    del boards.views[CHESS]
    await boards.score(CHESS, 4)
    await boards.feed.caught_up()
    with pytest.raises(KeyError):
        boards.feed.remove("chess")


async def test_feed_passes_an_event_to_the_cache_of_its_board_only(boards):
    for view in BOARDS:
        await boards.score(view, 5)
    await boards.feed.caught_up()
    caches = [boards.stores[view].cache for view in BOARDS]
    assert [len(list(cache)) for cache in caches] == [1, 2]
    await boards.database["players.kart"].update_one({"_id": "alice"}, {"$set": {"unknown": 1}})
    await boards.feed.caught_up()
    assert [len(list(cache)) for cache in caches] == [1, 1]
