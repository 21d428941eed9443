"""The snapshot: every score on the board at one cluster time, without malformed documents."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from bson import DatetimeMS, Int64

from tests.support.drivers import DRIVERS
from tornado_app.core.model import MAX_SCORE
from tornado_app.mongo.change_stream import snapshot
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.documents import ViewFields

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(params=DRIVERS)
async def client(request, mongo_database):
    client = connect(mongo_database[0], request.param)
    yield client
    await maybe_await(client.close())


@pytest.fixture
def players(client, mongo_database):
    return client[mongo_database[1]]["players"]


def player(name, score, **members):
    return {"_id": name, "score": score, "updatedAt": NOON, **members}


async def read(client, players, **options):
    moment, snapshots = await snapshot.read_snapshots(client, {"main": snapshot.ViewSource(players)}, **options)
    found = snapshots["main"]
    assert found.version == cluster_time_to_int(moment)
    return dict(found.counts), found


async def test_snapshot_of_an_empty_board_is_empty(client, players):
    counts, found = await read(client, players)
    assert counts == {}
    assert found.last_updated == 0


async def test_snapshot_counts_scores_of_players_on_the_board(client, players):
    late = NOON.replace(hour=13, microsecond=345_000)
    await players.insert_many([
        player("a", 5), player("b", 5, updatedAt=late), player("c", Int64(MAX_SCORE)), player("d", 0),
        player("e", 9, hidden=True), player("f", -3),
    ])  # fmt: skip
    counts, found = await read(client, players)
    assert counts == {5: 2, MAX_SCORE: 1, 0: 1, -3: 1}
    assert found.last_updated == round(late.timestamp() * 1000)


async def test_snapshot_skips_malformed_documents(client, players):
    malformed = (1.5, 7.0, "9", None, True, [3], {"x": 1}, float("nan"))
    await players.insert_many([player(str(n), value) for n, value in enumerate(malformed)])
    await players.insert_many([{"_id": "bare"}, {"_id": "timeless", "score": 4}, player("odd", 6, updatedAt="today")])
    await players.insert_many([player(7, 7), player("beyond", 9, updatedAt=DatetimeMS(2**53)), player("real", 8)])
    counts, _ = await read(client, players)
    assert counts == {8: 1}


async def test_snapshot_reads_only_the_boards_index(client, players):
    await indexes.ensure(client, players.database.name)
    await players.insert_many([player(f"p{n}", n % 7, hidden=n < 3) for n in range(500)])
    source = snapshot.ViewSource(players)
    for match, index in ((source.ranges, "board"), ({"hidden": True, **source.ranges}, "hidden")):
        # The very pipeline of the snapshot, to explain it.
        command = {"aggregate": "players", "pipeline": snapshot._grouped(source.fields, match), "cursor": {}}
        plan = str(await players.database.command("explain", command, verbosity="executionStats"))
        assert f"'indexName': '{index}'" in plan
        assert ("'totalDocsExamined': 0" in plan) == (index == "board")
    counts, _ = await read(client, players)
    assert sum(counts.values()) == 497


async def test_snapshot_of_a_period_reads_only_its_index(client, players):
    await indexes.ensure(client, players.database.name, periods=["weekly"])
    weekly = {"e": 3, "t": datetime(2026, 1, 1, tzinfo=UTC)}
    await players.insert_many([player(f"p{n}", n, w={"weekly": {**weekly, "s": n % 7}}) for n in range(500)])
    await players.insert_many([player("old", 1, w={"weekly": {**weekly, "e": 2, "s": 50}}), player("none", 1)])
    await players.insert_one(player("hidden", 1, hidden=True, w={"weekly": {**weekly, "s": 60}}))
    source = snapshot.ViewSource(players, ViewFields.of("weekly"), 3)
    command = {"aggregate": "players", "pipeline": snapshot._grouped(source.fields, source.ranges), "cursor": {}}
    plan = str(await players.database.command("explain", command, verbosity="executionStats"))
    assert "'indexName': 'period.weekly'" in plan
    assert "'totalDocsExamined': 0" in plan
    _, snapshots = await snapshot.read_snapshots(client, {"weekly": source})
    assert sum(count for _, count in snapshots["weekly"].counts) == 500
    assert {score for score, _ in snapshots["weekly"].counts} == set(range(7))
    assert snapshots["weekly"].epoch == 3


async def test_snapshots_of_several_boards_are_of_one_moment(client, players):
    kart = players.database["players.kart"]
    await players.insert_many([player("a", 5), player("b", 7)])
    await kart.insert_one(player("a", 9))
    moment, found = await snapshot.read_snapshots(
        client, {"main": snapshot.ViewSource(players), "kart": snapshot.ViewSource(kart)}
    )
    assert {board: dict(each.counts) for board, each in found.items()} == {"main": {5: 1, 7: 1}, "kart": {9: 1}}
    assert {each.version for each in found.values()} == {cluster_time_to_int(moment)}


async def test_snapshot_spans_several_batches(client, players):
    await players.insert_many([player(str(n), n % 50) for n in range(200)])
    counts, _ = await read(client, players, batch=7)
    assert counts == dict(Counter(n % 50 for n in range(200)))
