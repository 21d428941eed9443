"""The board's index: created once, used by the board, never silently missing."""

from datetime import UTC, datetime

import pytest
from pymongo import ASCENDING

from tests.support.drivers import BOTH_DRIVERS
from tornado_app.core.boards import Order
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes as schema
from tornado_app.mongo.players.documents import BOARD_ORDER, ON_BOARD, ViewFields


@pytest.fixture(params=BOTH_DRIVERS)
async def client(request, mongo_database):
    client = connect(mongo_database[0], request.param)
    yield client
    await maybe_await(client.close())


@pytest.fixture
def name(mongo_database):
    return mongo_database[1]


async def indexes(client, name):
    found = await client[name]["players"].index_information()
    return {index: [(field, int(way)) for field, way in value["key"]] for index, value in found.items()}


async def test_ensure_creates_the_indexes_and_is_idempotent(client, name):
    for _ in range(2):
        await schema.ensure(client, name)
        assert await indexes(client, name) == {
            "_id_": [("_id", ASCENDING)],
            "board": BOARD_ORDER,
            "hidden": [("hidden", ASCENDING)],
            "copying": [("copying", ASCENDING)],
        }


async def test_board_query_uses_its_index_without_a_sort(client, name):
    await schema.ensure(client, name)
    await client[name]["players"].insert_many([{"_id": str(n), "score": n % 7, "updatedAt": None} for n in range(200)])
    query = {"find": "players", "filter": ON_BOARD, "sort": dict(BOARD_ORDER), "limit": 10}
    plan = str((await client[name].command("explain", query))["queryPlanner"]["winningPlan"])
    assert "'indexName': 'board'" in plan
    assert "'SORT'" not in plan


@pytest.mark.parametrize("order", Order)
async def test_query_of_a_period_uses_its_index_without_a_sort(client, name, order):
    await schema.ensure(client, name, order=order, periods=["weekly"])
    slots = [{"weekly": {"e": n % 2, "s": n % 7, "t": datetime.now(UTC)}} for n in range(200)]
    await client[name]["players"].insert_many([{"_id": str(n), "w": slot} for n, slot in enumerate(slots)])
    fields = ViewFields.of("weekly")
    query = {"find": "players", "filter": fields.shown(1), "sort": dict(fields.order(order)), "limit": 10}
    plan = str((await client[name].command("explain", query))["queryPlanner"]["winningPlan"])
    assert "'indexName': 'period.weekly'" in plan
    assert "'SORT'" not in plan


async def test_indexes_of_removed_periods_are_bounded(client, name):
    """A period with a new name for each season must not reach the 64 indexes of a collection."""
    seasons = [f"season{number}" for number in range(schema.MAX_UNUSED + 3)]
    await schema.ensure(client, name, periods=["weekly", seasons[0]])
    for season in seasons[1:]:
        await schema.ensure(client, name, periods=["weekly", season])
    await schema.ensure(client, name)
    periods = [index for index in await indexes(client, name) if index.startswith("period.")]
    assert periods == ["period.weekly", *(f"period.{season}" for season in seasons[2:])]


async def test_ensure_accepts_the_same_index_under_another_name(client, name):
    await client[name]["players"].create_index(BOARD_ORDER, name="mine")
    await schema.ensure(client, name)
    assert set(await indexes(client, name)) == {"_id_", "mine", "hidden", "copying"}


@pytest.mark.parametrize(
    ("keys", "options", "shown"),
    [
        ([("score", 1)], {"name": "board"}, "board"),
        (BOARD_ORDER, {"name": "board", "partialFilterExpression": {"score": {"$gt": 5}}}, "board"),
        (BOARD_ORDER, {"name": "some", "hidden": True}, "some"),
    ],
    ids=["other keys", "a part of the players", "out of use"],
)
async def test_ensure_names_a_conflicting_index_and_the_remedy(client, name, keys, options, shown):
    players = client[name]["players"]
    await players.create_index(keys, **options)
    with pytest.raises(StartupError) as caught:
        await schema.ensure(client, name)
    assert f"collection {name}.players has an index '{shown}' that conflicts with the board's" in str(caught.value)
    assert f"db.players.dropIndex('{shown}')" in str(caught.value)
    await players.drop_index(shown)
    await schema.ensure(client, name)
