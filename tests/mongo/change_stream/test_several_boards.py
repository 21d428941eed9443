"""One feed of two boards, on a real mongod."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.board_harness import RecordingView
from tests.support.database_stream import DatabaseStream
from tests.support.wait import eventually
from tornado_app.core.boards import MAIN, MAIN_VIEW, Board, View
from tornado_app.core.model import Action, Profile
from tornado_app.live.views import LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players.documents import BOARD_ORDER, collection_of
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.tasks import cancel_and_wait

KART = View("kart")
BOARDS = {MAIN_VIEW: MAIN, KART: Board(name="kart")}


class TwoBoards:
    """Stores and views of two boards, and their feed."""

    def __init__(self, uri, name):
        self.client = connect(uri)
        self.database = self.client[name]
        self.stores = {view: MongoStore(self.client, name, board=board) for view, board in BOARDS.items()}
        progress = Progress()
        self.views = {view: RecordingView(store.top, progress, view=view) for view, store in self.stores.items()}
        listener = LiveViews(self.views.values(), progress)
        self.restarts = []
        self.feed = Feed(
            self.client,
            name,
            listener,
            boards={BOARDS[view]: store.cache for view, store in self.stores.items()},
            source=DatabaseStream(self.database, [view.board for view in BOARDS]),
            on_restart=self.restarts.append,
        )
        self.listener = listener

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
    await eventually(lambda: boards.views[KART].rebuilds == 2 and boards.views[KART].ready)
    assert (boards.restarts, boards.views[MAIN_VIEW].rebuilds) == (["drop"], 2)
    assert (boards.views[MAIN_VIEW].total, boards.views[KART].total) == (1, 0)
    indexes = await boards.database["players.kart"].index_information()
    assert [(field, int(order)) for field, order in indexes["board"]["key"]] == BOARD_ORDER
    await boards.score(KART, 2)
    await boards.feed.caught_up()
    assert boards.changes(KART)[-1] == ("alice", None, 2)


async def test_feed_passes_an_event_to_the_cache_of_its_board_only(boards):
    for view in BOARDS:
        await boards.score(view, 5)
    await boards.feed.caught_up()
    caches = [boards.stores[view].cache for view in BOARDS]
    assert [len(list(cache)) for cache in caches] == [1, 2]
    await boards.database["players.kart"].update_one({"_id": "alice"}, {"$set": {"unknown": 1}})
    await boards.feed.caught_up()
    assert [len(list(cache)) for cache in caches] == [1, 1]
