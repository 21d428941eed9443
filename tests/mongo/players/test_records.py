"""Suspension, hiding, erasure and profile hold on all boards: also with races, crashes, and boards that come later."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from pymongo.errors import AutoReconnect

from tests.support.drivers import DRIVERS
from tests.support.wait import eventually
from tornado_app.core.abuse import AbuseRule
from tornado_app.core.boards import MAIN, Board, Bounds, Order, Rule
from tornado_app.core.errors import DatabaseError, OutOfBounds, PlayerNotFound, PlayerSuspended, RateLimited
from tornado_app.core.history import WriteKind
from tornado_app.core.model import Action, Profile, ProfileChange
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.policies import PROFILE_LIMIT
from tornado_app.mongo.change_stream.events import WATCHED, BoardChanges, decode
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.database import prepare_board
from tornado_app.mongo.ledger.entries import ledger_event
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.players.documents import ON_BOARD, collection_of, state_of
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

WHY = ModerationRequest("alice", "mod", "speed hack")
KART = Board("kart", Rule.BEST, Order.ASCENDING)
GOLF = Board("golf")
LATER = Board("later", Rule.LAST)
COPIED = ("suspended", "hidden", "ownUsername", "ownAvatarUrl")


class Hook:
    """A collection that does something else before or after its `number`th `call`, once: a step of another process."""

    def __init__(self, collection, call, what, *, after=False, number=1):
        self._collection, self._call, self._what, self._after, self._left = collection, call, what, after, number

    def __getattr__(self, name):
        return self._hooked if name == self._call else getattr(self._collection, name)

    async def _hooked(self, *args, **options):
        self._left -= 1
        if self._left == 0 and not self._after:
            await self._what()
        result = await getattr(self._collection, self._call)(*args, **options)
        if self._left == 0 and self._after:
            await self._what()
        return result


class Boards:
    """Stores of several boards in one database, and everything that a process does with a player."""

    def __init__(self, client, name):
        self.client, self.name, self.database = client, name, client[name]
        self.stores = {}

    async def add(self, board):
        await prepare_board(self.client, self.name, board)
        self.stores[board.name] = MongoStore(self.client, self.name, board=board)

    def moderation(self, board=MAIN):
        return MongoModeration(self.client, self.name, Ledger(self.database), board=board)

    async def score(self, board="main", value=5, player="alice", *, store=None, create_player=True):
        action = Action(player, value, None, b"f", Profile("Alice"), create_player)
        return await (store or self.stores[board]).apply(action)

    async def document(self, board="main", player="alice"):
        return await self.database[collection_of(board)].find_one({"_id": player})

    async def shown(self, board):
        """The scores of the players on a board."""
        found = await self.database[collection_of(board)].find(ON_BOARD).to_list(None)
        return {document["_id"]: document["score"] for document in found}

    def store(self, board=KART, *, hook=None):
        """A store of another process; `hook` is put around the collection of its players."""
        store = MongoStore(self.client, self.name, board=board)
        if hook is not None:
            store._writer._players = hook(store._writer._players)
            store._profiles._players = hook(store._profiles._players)
        return store

    async def agree(self):
        """Nothing is left to do, and the player is the same on all boards."""
        record = await self.document() or {}
        assert "copying" not in record
        for board in await self.database.list_collection_names(filter={"name": {"$regex": r"^players\."}}):
            document = await self.database[board].find_one({"_id": "alice"})
            if document is not None and "seq" in document:  # a placeholder has no state of its own
                assert {name: document.get(name) for name in COPIED} == {name: record.get(name) for name in COPIED}


@pytest.fixture(params=DRIVERS)
async def boards(request, mongo_database):
    client = connect(mongo_database[0], request.param)
    made = Boards(client, mongo_database[1])
    for board in (MAIN, KART, GOLF):
        await made.add(board)
    yield made
    for store in made.stores.values():
        await store.close()
    await maybe_await(client.close())


@pytest.fixture
async def one_driver(mongo_database):
    client = connect(mongo_database[0])
    made = Boards(client, mongo_database[1])
    for board in (MAIN, KART, GOLF):
        await made.add(board)
    yield made
    for store in made.stores.values():
        await store.close()
    await maybe_await(client.close())


async def refused(boards, *names):
    for name in names:
        with pytest.raises(PlayerSuspended):
            await boards.score(name)


# -- suspension and hiding -----------------------------------------------------------------------------


async def test_suspended_player_is_refused_on_all_boards_until_reinstated(boards):
    for name in ("main", "kart"):
        await boards.score(name)
    state = await boards.moderation().suspend(WHY)
    assert (state.suspended, state.changed, state.score) == (True, True, 5)
    await refused(boards, "main", "kart", "golf")
    assert await boards.document("golf") is None, "a refused first write stores nothing"
    await boards.add(LATER)
    await refused(boards, "later")
    last = state_of(await boards.document("kart")).history.entries[0]
    assert (last.kind, last.by, last.reason) == (WriteKind.SUSPEND, "mod", "speed hack")
    assert last.write_id != state_of(await boards.document()).history.entries[0].write_id
    assert not (await boards.moderation().suspend(WHY)).changed
    await boards.moderation().reinstate(WHY)
    for name in ("main", "kart", "golf", "later"):
        await boards.score(name)
    await boards.agree()


async def test_player_who_never_played_on_main_is_suspended_everywhere(boards):
    await boards.score("kart")
    state = await boards.moderation().suspend(WHY)
    assert (state.suspended, state.changed, state.score) == (True, True, None)
    await refused(boards, "kart", "golf", "main")
    assert await boards.shown("main") == {}
    with pytest.raises(PlayerNotFound):
        await boards.stores["main"].player("alice")
    await boards.moderation().reinstate(WHY)
    assert (await boards.score("main")).score == 5
    assert await boards.shown("main") == {"alice": 5}


async def test_moderation_of_an_unknown_player_is_refused_and_stores_nothing(boards):
    for verb in ("suspend", "hide", "erase"):
        with pytest.raises(PlayerNotFound):
            await getattr(boards.moderation(), verb)(WHY)
    assert await boards.document() is None


async def test_hidden_player_is_on_no_board_until_shown(boards):
    for name in ("main", "kart"):
        await boards.score(name)
    await boards.moderation().hide(WHY)
    await boards.add(LATER)
    for name in ("kart", "golf", "later"):
        await boards.score(name, 3)
    everywhere = ("main", "kart", "golf", "later")
    assert [await boards.shown(name) for name in everywhere] == [{}] * 4
    await boards.moderation().show(WHY)
    assert [await boards.shown(name) for name in everywhere] == [{"alice": score} for score in (5, 3, 3, 3)]
    await boards.agree()


async def test_board_that_is_not_served_gets_the_flags(boards):
    await boards.score("golf")
    await boards.stores.pop("golf").close()
    await boards.moderation().suspend(WHY)
    await boards.moderation().hide(WHY)
    await boards.add(GOLF)
    await refused(boards, "golf")
    assert await boards.shown("golf") == {}


async def test_player_of_another_board_is_new_for_an_api_that_creates_no_players(boards):
    await boards.score("main")
    with pytest.raises(PlayerNotFound):
        await boards.score("kart", create_player=False)
    assert await boards.document("kart") is None
    await boards.stores["kart"].register("alice", ProfileChange())
    assert not (await boards.score("kart", create_player=False)).created


async def test_first_write_out_of_the_bounds_of_another_board_stores_nothing(boards):
    store = boards.store(Board("golf", bounds=Bounds(1, 4)))
    with pytest.raises(OutOfBounds):
        await boards.score(store=store)
    assert await boards.document("golf") is None
    await store.close()


@pytest.mark.parametrize(
    ("board", "first"),
    [(MAIN, ["find", "update"]), (GOLF, ["find", "find", "insert", "find", "update"])],
    ids=["main", "golf"],
)
async def test_only_the_first_write_on_another_board_costs_more_commands(mongo_database, board, first):
    uri, name = mongo_database
    commands = []
    client = connect(uri, observe=lambda command, seconds: commands.append(command))
    await prepare_board(client, name, board)
    store = MongoStore(client, name, board=board)
    for expected in (first, ["update"]):
        commands.clear()
        await store.apply(Action("alice", 5, None, b"f", Profile(), create_player=True))
        assert [command for command in commands if command != "endSessions"] == expected
    await store.close()
    await maybe_await(client.close())


# -- races ---------------------------------------------------------------------------------------------

POINTS = [("find_one", False), ("find_one", True), ("bulk_write", False), ("bulk_write", True), ("update_one", False)]


@pytest.mark.parametrize(("call", "after"), POINTS)
@pytest.mark.parametrize("known", [True, False], ids=["on main", "new on main"])
async def test_player_suspended_during_the_first_write_on_a_board_is_refused(one_driver, call, after, known):
    boards = one_driver
    await boards.score("main" if known else "golf")
    store = boards.store(
        hook=lambda players: Hook(players, call, lambda: boards.moderation().suspend(WHY), after=after)
    )
    with pytest.raises(PlayerSuspended):
        await boards.score(store=store)
    assert "score" not in (await boards.document("kart") or {})
    await store.close()
    await boards.agree()


@pytest.mark.parametrize(("call", "after"), POINTS)
@pytest.mark.parametrize("verb", ["hide", "show", "reinstate"])
async def test_flags_that_change_during_the_first_write_on_a_board_are_those_of_the_record(
    one_driver, call, after, verb
):
    boards = one_driver
    await boards.score("main")
    if verb == "show":
        await boards.moderation().hide(WHY)
    store = boards.store(
        hook=lambda players: Hook(players, call, lambda: getattr(boards.moderation(), verb)(WHY), after=after)
    )
    assert (await boards.score(store=store)).score == 5
    assert await boards.shown("kart") == ({} if verb == "hide" else {"alice": 5})
    await store.close()
    await boards.agree()


@pytest.mark.parametrize(("call", "after"), POINTS)
async def test_player_erased_during_the_first_write_on_a_board_is_new_there(one_driver, call, after):
    boards = one_driver
    await boards.stores["main"].register("alice", ProfileChange("Queen"))
    store = boards.store(hook=lambda players: Hook(players, call, lambda: boards.moderation().erase(WHY), after=after))
    assert (await boards.score(store=store)).created
    assert await boards.document() is None
    document = await boards.document("kart")
    assert {"ownUsername", "record", "erased", "hidden"}.isdisjoint(document)
    await store.close()


@pytest.mark.parametrize(("call", "after"), POINTS)
async def test_name_that_changes_during_the_first_write_on_a_board_is_that_of_the_record(one_driver, call, after):
    boards = one_driver
    await boards.score("main")

    async def rename():
        await boards.stores["main"].register("alice", ProfileChange("Queen"))

    store = boards.store(hook=lambda players: Hook(players, call, rename, after=after))
    await boards.score(store=store)
    assert (await store.player("alice")).username == "Queen"
    await store.close()
    await boards.agree()


class Crash(Exception):
    pass


def steps(moderation, wrap):
    """Put `wrap` around all collections of a moderation."""
    records = moderation._records
    collection, others, records.players = records.collection, records.others, wrap(records.players)
    moderation.eraser._players = records.players
    records.collection = lambda name: wrap(collection(name))
    assert others.__self__ is records
    return moderation


class Steps:
    """Counts the commands of the collections that it wraps, and does something before the one with a number."""

    def __init__(
        self, number, what, calls=("find_one", "find_one_and_update", "update_one", "delete_one", "bulk_write")
    ):
        self.left, self.what, self.calls, self.done = number, what, calls, False

    def __call__(self, collection):
        return Stepped(collection, self)

    async def step(self):
        self.left -= 1
        if self.left == 0:
            self.done = True
            await self.what()


class Stepped:
    def __init__(self, collection, steps):
        self._collection, self._steps = collection, steps

    def __getattr__(self, name):
        real = getattr(self._collection, name)
        if name not in self._steps.calls:
            return real

        async def stepped(*args, **options):
            await self._steps.step()
            return await real(*args, **options)

        return stepped


@pytest.mark.parametrize("verb", ["suspend", "hide"])
async def test_first_write_at_any_step_of_a_moderation_ends_with_the_flags_of_the_record(one_driver, verb):
    boards, number, done = one_driver, 0, True
    while done:
        number += 1
        await boards.score("golf")

        async def play():
            try:
                await boards.score("kart")
            except PlayerSuspended:
                return

        walk = Steps(number, play)
        await getattr(steps(boards.moderation(), walk), verb)(WHY)
        done = walk.done
        await boards.agree()
        if verb == "suspend":
            await refused(boards, "kart", "golf", "main")
        else:
            await boards.score("kart")
            assert [await boards.shown(name) for name in ("main", "kart", "golf")] == [{}] * 3
        await boards.moderation().erase(WHY)
    assert number > 6


@pytest.mark.parametrize("verb", ["suspend", "hide", "reinstate", "show", "erase"])
@pytest.mark.parametrize("on_main", [True, False], ids=["on main", "not on main"])
async def test_moderation_interrupted_at_any_step_is_finished(one_driver, verb, on_main):
    boards, number, done = one_driver, 0, True
    while done:
        number += 1
        for name in ("main", "kart", "golf") if on_main else ("kart", "golf"):
            await boards.score(name)
        if verb in ("reinstate", "show"):
            await boards.moderation().suspend(WHY)
            await boards.moderation().hide(WHY)

        async def crash():
            raise AutoReconnect

        walk = Steps(number, crash)
        try:
            await getattr(steps(boards.moderation(), walk), verb)(WHY)
        except DatabaseError:
            assert walk.done
        done = walk.done
        await boards.moderation().eraser.try_to_finish()
        await boards.agree()
        if verb == "erase":
            left = [await boards.document(name) for name in ("main", "kart", "golf")]
            assert all(document is None for document in left) or all(
                "erased" not in (document or {}) for document in left
            )
        if await boards.document("kart") is not None:
            await boards.moderation().erase(WHY)
    assert number > 5


async def test_older_change_that_is_copied_last_changes_nothing(one_driver):
    boards = one_driver
    for name in ("main", "kart", "golf"):
        await boards.score(name)
    number, done = 0, True
    while done:
        number += 1
        walk = Steps(number, lambda: boards.moderation().reinstate(WHY))
        state = await steps(boards.moderation(), walk).suspend(WHY)
        done = walk.done
        await boards.agree()
        assert state.suspended
        await boards.moderation().reinstate(WHY)
        await boards.agree()
    assert number > 6


async def test_change_that_is_interrupted_while_an_older_one_is_copied_is_finished(one_driver):
    boards = one_driver
    for name in ("main", "kart", "golf"):
        await boards.score(name)

    async def crash():
        raise AutoReconnect

    async def interrupted():
        with pytest.raises(DatabaseError):
            await steps(boards.moderation(), Steps(3, crash)).hide(WHY)

    number, done = 0, True
    while done:
        number += 1
        walk = Steps(number, interrupted)
        await steps(boards.moderation(), walk).suspend(WHY)
        done = walk.done
        await boards.moderation().eraser.try_to_finish()
        await boards.agree()
        for verb in ("reinstate", "show"):
            await getattr(boards.moderation(), verb)(WHY)
    assert number > 6


async def test_concurrent_changes_and_first_writes_end_with_one_state(one_driver):
    boards = one_driver
    await boards.score("golf")
    verbs = ["suspend", "hide", "reinstate", "show"] * 4

    async def play(name):
        try:
            await boards.score(name)
        except PlayerSuspended:
            return

    await asyncio.gather(
        *(getattr(boards.moderation(), verb)(WHY) for verb in verbs),
        *(play(name) for name in ("main", "kart", "golf") * 4),
        boards.stores["kart"].register("alice", ProfileChange("Queen")),
    )
    await boards.agree()


# -- erasure -------------------------------------------------------------------------------------------


async def test_erasure_removes_the_player_from_every_board_of_the_database(boards):
    for name in ("main", "kart", "golf"):
        await boards.score(name)
    await boards.score("kart", player="bob")
    await boards.stores.pop("golf").close()
    await boards.database["players.gone"].insert_one({"_id": "alice", "score": 5})
    await boards.moderation()._suspects.record("alice", next(iter(AbuseRule)))
    await boards.moderation().erase(WHY)
    names = await boards.database.list_collection_names()
    left = {name: await boards.database[name].count_documents({"_id": "alice"}) for name in names}
    assert {name for name, count in left.items() if count} == set()
    assert await boards.shown("kart") == {"bob": 5}


async def test_player_who_is_erased_without_a_document_on_main_is_erased(boards):
    await boards.score("kart")
    await boards.moderation().erase(WHY)
    assert [await boards.document(name) for name in ("main", "kart")] == [None, None]


async def test_placeholder_that_comes_during_an_erasure_is_erased(one_driver):
    """A process that dies after its placeholder leaves it."""
    boards = one_driver
    await boards.score("main")

    async def place():
        await boards.database["players.kart"].insert_one({"_id": "alice"})

    moderation = boards.moderation()
    moderation.eraser._players = Hook(moderation.eraser._players, "delete_one", place)
    await moderation.erase(WHY)
    assert await boards.document("kart") is None


async def test_player_is_refused_on_all_boards_while_an_erasure_is_under_way(one_driver):
    boards = one_driver
    await boards.score("main")
    moderation = boards.moderation()
    moderation.eraser._players = Hook(
        moderation.eraser._players, "delete_one", lambda: refused(boards, "main", "kart", "golf")
    )
    await moderation.erase(WHY)
    await boards.score("kart")


# -- profile -------------------------------------------------------------------------------------------


async def test_profile_chosen_on_one_board_is_that_of_all_boards(boards):
    await boards.score("main")
    await boards.score("golf")
    done = await boards.stores["kart"].register("alice", ProfileChange("Queen"))
    assert (done.created, done.changed, done.player.username, done.scored) == (True, ("username",), "Queen", False)
    for name in ("main", "golf"):
        assert (await boards.stores[name].player("alice")).username == "Queen"
    await boards.add(LATER)
    for name in ("kart", "later"):
        await boards.score(name)
        assert (await boards.stores[name].player("alice")).username == "Queen"
    done = await boards.stores["golf"].register("alice", ProfileChange(None))
    assert (done.created, done.player.username) == (False, "alice")
    assert (await boards.stores["later"].player("alice")).username == "alice"
    await boards.agree()


async def test_profile_limit_counts_over_all_boards(boards):
    for number in range(20):
        try:
            await boards.stores[("main", "kart", "golf")[number % 3]].register("alice", ProfileChange(f"name {number}"))
        except RateLimited:
            break
    assert number == PROFILE_LIMIT.updates


async def test_player_with_a_profile_of_another_board_registers_with_the_first_score(boards):
    await boards.stores["kart"].register("alice", ProfileChange("Queen"))
    assert await boards.shown("main") == {}
    done = await boards.stores["main"].register("alice", ProfileChange())
    assert (done.created, done.player.score, done.player.username) == (True, 0, "Queen")
    done = await boards.stores["golf"].register("alice", ProfileChange())
    assert (done.created, done.player.score, done.player.username) == (True, 0, "Queen")
    assert not (await boards.stores["golf"].register("alice", ProfileChange())).created
    assert [await boards.shown(name) for name in ("main", "golf", "kart")] == [{"alice": 0}, {"alice": 0}, {}]


async def test_hidden_player_who_registers_on_a_board_stays_hidden(boards):
    await boards.score("main")
    await boards.moderation().hide(WHY)
    await boards.stores["golf"].register("alice", ProfileChange())
    assert await boards.shown("golf") == {}
    await boards.agree()


# -- one board -----------------------------------------------------------------------------------------


async def test_export_has_the_documents_of_all_boards(boards):
    await boards.score("kart")
    await boards.score("golf", 3)
    found = await boards.moderation().export("alice")
    assert (found["player"], {name: kept["score"] for name, kept in found["boards"].items()}) == (
        None,
        {"golf": 3, "kart": 5},
    )
    await boards.score("main", 7)
    found = await boards.moderation().export("alice")
    assert (found["player"]["score"], sorted(found["boards"])) == (7, ["golf", "kart"])


# -- events --------------------------------------------------------------------------------------------


async def test_events_of_all_this_lead_to_the_scores_of_each_board(one_driver):
    """Ranks follow the events: each change has the score before it, and no event is unexplained."""
    boards = one_driver
    streams = {}
    for name in ("main", "kart", "golf"):
        stream = await maybe_await(boards.database[collection_of(name)].watch(WATCHED, max_await_time_ms=10))
        streams[name] = stream
    moderation = boards.moderation()
    await boards.score("kart")
    await moderation.suspend(WHY)
    await moderation.reinstate(WHY)
    await boards.score("main", 7)
    await moderation.hide(WHY)
    await boards.score("golf", 3)
    await moderation.show(WHY)
    bob = SimpleNamespace(user_id="bob", by="mod", reason="r")
    await boards.stores["kart"].register("bob", ProfileChange("Bob"))
    for name in ("main", "golf"):
        await boards.stores[name].register("bob", ProfileChange())
    await boards.score("golf", 4, player="bob")
    await boards.score("kart", 4, player="carol")
    await moderation.erase(ModerationRequest("carol", "mod", "r"))
    await moderation.suspend(ModerationRequest(bob.user_id, bob.by, bob.reason))
    for name, stream in streams.items():
        changes, shown = BoardChanges(), {}
        while (raw := await stream.try_next()) is not None:
            event = decode(raw)
            ledger_event(event)
            change = changes.change(event)
            if change is None or change.old == change.new:
                continue
            assert shown.get(change.user_id) == change.old, (name, change)
            if change.new is None:
                del shown[change.user_id]
            else:
                shown[change.user_id] = change.new
        await maybe_await(stream.close())
        assert shown == await boards.shown(name)


async def test_background_task_finishes_changes_and_continues_after_a_damaged_document(one_driver, caplog):
    boards = one_driver
    for player in ("alice", "bob"):
        for name in ("main", "kart", "golf"):
            await boards.score(name, player=player)
    await boards.database["players.golf"].update_one({"_id": "alice"}, {"$set": {"h": 7}})
    for player in ("alice", "bob"):
        mark = {"suspended": True, "copying": {"seq": 2, "by": "mod", "reason": "r"}}
        await boards.database["players"].update_one({"_id": player}, {"$set": mark})
    running = asyncio.ensure_future(boards.moderation().eraser.run(interval=0.02))
    await eventually(lambda: "finished changes of players" in caplog.text)
    running.cancel()
    assert "not on all boards yet" in caplog.text
    assert [(await boards.document(name, "bob")).get("suspended") for name in ("kart", "golf")] == [True, True]
    assert (await boards.document("kart")).get("suspended"), "a damaged document keeps it from no other board"
