"""Periods of one service: read live, ended, sealed, and added while it runs."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from bson import Timestamp
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.service.test_boards import boards_file, score, serve  # noqa: F401  # fixtures
from tests.support.audit import options as audit_options
from tests.support.board_harness import ROOMY
from tests.support.fail_points import failing_commands
from tests.support.openapi import OPERATIONS, check, resolve
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app import audit
from tornado_app.core.boards import Board, View
from tornado_app.core.errors import DatabaseError, StartupError
from tornado_app.core.model import Action, Profile
from tornado_app.core.periods import Cron, Period
from tornado_app.core.slots import OpenEpoch, OpenEpochs
from tornado_app.mongo.client.driver import connect as connect_database
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.players.store import MongoStore
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import cancel_and_wait
from tornado_app.service.periods import Periods

MODERATOR = "leaderboard:admin"

WEEKLY = View("main", "weekly")

TOMORROW = Timestamp(round(time.time()) + 86400, 1)


def rows(service, path, name="players"):
    answer = service.get(path)
    assert answer.status == 200, answer.json
    return {row["user_id"]: (row["rank"], row["score"]) for row in answer.json[name]}


def described(service, name, path, status=200):
    """The answer, which the API's description must allow."""
    answer = service.get(path)
    assert answer.status == status, answer.json
    content = resolve(OPERATIONS[name][2]["responses"][str(status)])["content"]["application/json"]
    check(answer.json, content["schema"])
    if status == 200:  # the processes may know the plan of different seconds
        wait_until(
            lambda: service.get(path, headers={"If-None-Match": service.get(path).headers["ETag"]}).status == 304
        )
    return answer.json


def season(service, number="current"):
    (period,) = service.get("/api/v1/periods").json["periods"]
    return period[number]


def exported(service, user):
    """The export of a player, which the API's description must allow."""
    answer = service.get(f"/api/v1/admin/players/{user}/export", token=token(user))
    assert answer.status == 200, answer.json
    described = resolve(OPERATIONS["getV1AdminPlayersExport"][2]["responses"]["200"])["content"]
    check(answer.json, described["application/json"]["schema"])
    return answer.json


def disqualify(service, *bodies, caller=MODERATOR, epoch=1):
    """The answers to these requests."""
    path = f"/api/v1/admin/periods/season/{epoch}/disqualify"
    return [service.post(path, body, token=token("mod", scope=caller)) for body in bodies]


async def score_late(mongo_database, user):
    """Score in the first epoch, which is over, by a process that the end does not stop."""
    uri, name = mongo_database
    client = connect_database(uri)
    epochs = OpenEpochs((OpenEpoch("season", 1),), round((time.time() + 60) * 1000))
    board = Board(periods=(Period("season"),))
    store = MongoStore(client, name, board=board, policy=ROOMY, epochs=lambda: epochs)
    await store.apply(Action(user, 5, None, b"f", Profile(), create_player=True))
    await store.close()
    await maybe_await(client.close())


async def test_periods_are_planned_after_an_error_of_the_database(mongo_database, replica_set):
    uri, name = mongo_database
    client, board = connect_database(uri), Board(periods=(Period("season"),))
    periods = Periods(client, name, lambda: [board], list, Metrics())
    async with failing_commands(replica_set, "createIndexes", until=1, errorCode=8000):
        running = [asyncio.ensure_future(periods.run()), asyncio.ensure_future(periods.wait_planned(board))]
        done, _ = await asyncio.wait(running, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    await cancel_and_wait(*running)
    await periods.close()
    await maybe_await(client.close())
    assert done == {running[1]}


async def test_periods_that_cannot_be_planned_fail_the_wait(mongo_database):
    uri, name = mongo_database
    client, board = connect_database(uri), Board(periods=(Period("season"),))
    await client[name]["periods"].insert_one({"_id": "main.season.1", "state": "planned", "revision": Timestamp(9, 9)})
    periods = Periods(client, name, lambda: [board], list, Metrics())
    running = asyncio.ensure_future(periods.run())
    with pytest.raises(StartupError, match=r"the periods of board main were not planned within 2 s: .* say why"):
        await periods.wait_planned(board, limit=2)
    await cancel_and_wait(running)
    await periods.close()
    await maybe_await(client.close())


async def test_epoch_after_one_that_was_ended_by_hand_begins_at_that_end(mongo_database):
    uri, name = mongo_database
    client, board = connect_database(uri), Board(periods=(Period("weekly", Cron("0 0 * * MON")),))
    periods = Periods(client, name, lambda: [board], list, Metrics())
    running = asyncio.ensure_future(periods.run())
    await periods.wait_planned(board)
    ended = await periods.end_now(WEEKLY)
    assert (await periods.epoch(WEEKLY, 2)).start == ended.end
    await cancel_and_wait(running)
    await periods.close()
    await maybe_await(client.close())


async def test_epoch_that_another_program_changed_is_a_database_error(mongo_database, caplog):
    uri, name = mongo_database
    client, board, view = connect_database(uri), Board(periods=(Period("season"),)), View("main", "season")
    periods = Periods(client, name, lambda: [board], list, Metrics())
    running = asyncio.ensure_future(periods.run())
    await periods.wait_planned(board)
    await client[name]["periods"].update_one({"_id": "main.season.1"}, {"$set": {"start": 7, "revision": TOMORROW}})
    for read in (periods.epoch(view, 1), periods.end_now(view)):
        with pytest.raises(DatabaseError, match="The plan of the periods cannot be read") as caught:
            await read
        assert caught.value.reason == "malformed_plan"
        assert "main.season.1" in caught.value.detail
    assert "the plan of periods cannot be read: periods document 'main.season.1'" in caplog.text
    await cancel_and_wait(running)
    await periods.close()
    await maybe_await(client.close())


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_epoch_from_its_first_score_to_its_result(serve, boards_file, mongo_database, flags):  # noqa: F811
    boards_file.write(main={"periods": {"season": {}}})
    service = serve(*flags)
    assert (season(service)["epoch"], season(service)["state"], season(service)["end"]) == (1, "open", None)
    for user, points in (("alice", 5), ("bob", 3), ("carol", 5)):
        answer = score(service, "main", points, user)
        assert answer.json["periods"] == {"season": {"epoch": 1, "score": points, "improved": True}}
    live = "/api/v1/leaderboard?period=season"
    wait_until(lambda: rows(service, live) == {"alice": (1, 5), "carol": (1, 5), "bob": (3, 3)})
    too_early = service.get("/api/v1/periods/season/1/leaderboard")
    assert (too_early.status, too_early.json["error"]) == (409, "result_not_final")

    score(service, "main", 9, "mallory")
    wait_until(lambda: "mallory" in rows(service, live))
    (answer,) = disqualify(service, {"user_id": "mallory", "reason": "speed hack"})
    assert answer.json == {
        "period": "season", "epoch": 1, "user_id": "mallory", "disqualified": True, "changed": True
    }  # fmt: skip
    answers = resolve(OPERATIONS["postV1AdminPeriodsDisqualify"][2]["responses"]["200"])["content"]
    check(answer.json, answers["application/json"]["schema"])
    assert "mallory" in rows(service, live)  # only the result leaves the player out

    ended = service.post("/api/v1/admin/periods/season/end", token=token("mod", scope=MODERATOR))
    assert ended.status == 200
    assert ended.json["epoch"]["end"] is not None
    answers = resolve(OPERATIONS["postV1AdminPeriodsEnd"][2]["responses"]["200"])["content"]
    check(ended.json, answers["application/json"]["schema"])
    wait_until(lambda: all(season(service)["epoch"] == 2 for _ in range(8)), 30, what="the second epoch")
    wait_until(lambda: all(rows(service, live) == {} for _ in range(8)))
    assert rows(service, "/api/v1/leaderboard") == {"mallory": (1, 9), "alice": (2, 5), "carol": (2, 5), "bob": (4, 3)}
    assert season(service, "previous")["state"] in ("closing", "sealed")  # a slow machine is past ten seconds
    assert score(service, "main", 2, "bob").json["periods"] == {"season": {"epoch": 2, "score": 2, "improved": True}}
    wait_until(lambda: rows(service, live) == {"bob": (1, 2)})
    assert rows(service, "/api/v1/leaderboard?period=all")["bob"] == (2, 5)

    wait_until(lambda: season(service, "previous")["state"] == "sealed", 60, what="the result")
    described(service, "getV1Periods", "/api/v1/periods")
    assert described(service, "getV1PeriodsEpoch", "/api/v1/periods/season/1")["rows"] == 3
    described(service, "getV1PeriodsLeaderboard", "/api/v1/periods/season/1/leaderboard")
    described(service, "getV1PeriodsPlayers", "/api/v1/periods/season/1/players/bob")
    result = "/api/v1/periods/season/previous/leaderboard"
    assert rows(service, result) == {"alice": (1, 5), "carol": (1, 5), "bob": (3, 3)}
    first = service.get(f"{result}?limit=2").json
    assert ([row["place"] for row in first["players"]], first["next"]) == ([1, 2], 2)
    assert [row["user_id"] for row in service.get(f"{result}?limit=2&after=2").json["players"]] == ["bob"]
    assert service.get("/api/v1/periods/season/1/players/bob").json["score"] == 3

    (answer,) = disqualify(service, {"user_id": "mallory", "reason": "appeal", "disqualified": False})
    assert (answer.status, answer.json["error"]) == (409, "result_final")

    (row,) = exported(service, "bob")["results"]
    assert (row["board"], row["period"], row["epoch"], row["place"], row["score"]) == ("main", "season", 1, 3, 3)
    (listed,) = exported(service, "mallory")["disqualified"]
    assert (listed["epoch"], listed["by"], listed["reason"]) == (1, "mod", "speed hack")

    before = described(service, "getV1PeriodsEpoch", "/api/v1/periods/season/1")
    why = {"reason": "asked by letter"}
    erased = service.post("/api/v1/admin/players/carol/erase", why, token=token("mod", scope=MODERATOR))
    assert erased.status == 204
    assert rows(service, result) == {"alice": (1, 5), "bob": (3, 3)}
    assert service.get("/api/v1/periods/season/1/players/carol").status == 404
    first = service.get(f"{result}?limit=1").json
    assert ([row["place"] for row in first["players"]], first["next"]) == ([1], 1)
    last = service.get(f"{result}?limit=1&after=1").json
    assert ([row["place"] for row in last["players"]], last["next"]) == ([3], None)
    epoch = "/api/v1/periods/season/1"
    wait_until(lambda: all(service.get(epoch).json["sha256"] not in (None, before["sha256"]) for _ in range(8)))
    after = described(service, "getV1PeriodsEpoch", "/api/v1/periods/season/1")
    assert (after["rows"], after["erased"]) == (2, 1)

    late = "leaderboard_period_late_updates_total"
    assert service.metric(late) == 0
    end = datetime.fromisoformat(season(service, "previous")["end"])
    wait_until(lambda: datetime.now(UTC) > end + timedelta(seconds=11), what="the grace, and a second of cluster time")
    asyncio.run(score_late(mongo_database, "dave"))
    wait_until(lambda: service.metric(late, board="main", period="season") == (2 if flags else 1))
    wait_until(lambda: service.metric("leaderboard_period_unsealed_seconds") == 0)
    assert service.get("/api/v1/periods/season/1/players/dave").json["error"] == "player_not_found"


def test_periods_of_a_path_that_there_are_not_are_not_found(serve, boards_file):  # noqa: F811
    boards_file.write(main={"periods": {"season": {}}}, kart={})
    service = serve()
    for path in (
        "/api/v1/leaderboard?period=weekly",
        "/boards/kart/api/v1/leaderboard?period=season",
        "/api/v1/periods/weekly/1",
        "/api/v1/periods/season/7",
        "/api/v1/periods/season/x",
        "/api/v1/periods/season/previous",
    ):
        answer = service.get(path)
        assert (path, answer.status, answer.json.get("error")) == (path, 404, "period_not_found")
        if "weekly" in path:
            assert answer.json["message"].endswith("lists its periods: season.")
        if "periods/season" in path:
            assert answer.json["message"].endswith("GET /api/v1/periods has the open epoch, and the one before.")
        elif "kart" in path:
            assert answer.json["message"] == "The board has no periods."
    refused = service.post("/api/v1/admin/periods/season/end", token=token("alice"))
    assert refused.json["error"] == "insufficient_scope"
    with connect(f"{service.ws_url}/ws/scoreboard?period=weekly") as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=20)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "period_not_found")


def test_board_that_shows_a_period_reads_it_by_default(serve, boards_file):  # noqa: F811
    boards_file.write(main={})
    service = serve()
    assert score(service, "main", 5).status == 200
    with connect(f"{service.ws_url}/ws/scoreboard") as client:
        boards_file.write(main={"periods": {"season": {}}, "shows": "season"})
        wait_until(lambda: service.get("/api/v1/periods").json["periods"], 30, what="the period")
        wait_until(lambda: client.protocol.close_code == 1001, 20, what="the end of the socket that shows all time")
    answer = service.get("/api/v1/periods")
    assert answer.json["shows"] == "season"
    assert abs(parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)) < timedelta(seconds=20)
    with (
        connect(f"{service.ws_url}/ws/scoreboard") as shown,
        connect(f"{service.ws_url}/ws/scoreboard?period=all") as all_,
    ):
        assert json.loads(shown.recv(timeout=20))["top_scores"] == []
        assert [row["score"] for row in json.loads(all_.recv(timeout=20))["top_scores"]] == [5]
        answer = service.post("/api/score", {"score": 3}, token=token("alice"))
        assert answer.json["score"] == 3
        for client, expected in ((shown, 3), (all_, 8)):
            wait_until(
                lambda client=client, expected=expected: (
                    [row["score"] for row in json.loads(client.recv(timeout=20))["top_scores"]] == [expected]
                )
            )
    assert [row["score"] for row in service.get("/api/top-scores").json["top_scores"]] == [3]
    assert [row["score"] for row in service.get("/api/top-scores?period=all").json["top_scores"]] == [8]
    assert rows(service, "/api/v1/leaderboard") == {"alice": (1, 8)}
    assert rows(service, "/api/v1/leaderboard?period=season") == {"alice": (1, 3)}


def test_refused_disqualification_says_why(serve, boards_file):  # noqa: F811
    boards_file.write(main={"periods": {"season": {}}})
    service = serve()
    score(service, "main", 5)
    good = {"user_id": "alice", "reason": "speed hack"}
    (forbidden,) = disqualify(service, good, caller="scores:write")
    (unknown,) = disqualify(service, good, epoch=9)
    answers = disqualify(
        service, good, good, {"user_id": "alice"}, {**good, "user_id": "nobody"}, {**good, "user_id": "a b"}
    )
    found = [(answer.status, answer.json.get("error")) for answer in (forbidden, unknown, *answers)]
    assert found == [
        (403, "insufficient_scope"), (404, "period_not_found"), (200, None), (200, None), (400, "invalid_body"),
        (404, "player_not_found"), (404, "player_not_found"),
    ]  # fmt: skip
    assert [answer.json["changed"] for answer in answers[:2]] == [True, False]
    events = [json.loads(line) for line in service.log.splitlines() if "disqualify" in line]
    recorded = [(event.get("player"), event.get("reason"), event.get("changed")) for event in events]
    assert recorded.count(("alice", "speed hack", True)) == 1
    assert sum(event.get("event") == "moderation_refused" for event in events) == 5


def test_audit_proves_results_after_every_kind_of_moderation(serve, boards_file, mongo_database):  # noqa: F811
    kart = {"rule": "best", "order": "ascending"}
    boards_file.write(main={"periods": {"season": {}}}, kart={**kart, "periods": {"season": {}}})
    service = serve()
    moderator = token("mod", scope=MODERATOR)

    def moderate(path, **body):
        answer = service.post(path, {"reason": "speed hack", **body}, token=moderator)
        assert answer.status in (200, 204), answer.json

    for board in ("main", "kart"):
        for number, user in enumerate(("alice", "bob", "carol", "dave", "erin", "frank")):
            for n, value in enumerate((30, 20 + number, 25)):
                path, body = f"/boards/{board}/api/v1/scores", {"points" if board == "main" else "score": value}
                ids = {"Idempotency-Key": f"{user}-{n}"}
                assert service.post(path, body, token=token(user), headers=ids).status == 200
        moderate(f"/boards/{board}/api/v1/admin/players/carol/take-back", action_id="carol-1")
        moderate(f"/boards/{board}/api/v1/admin/periods/season/1/disqualify", user_id="dave")
    moderate("/api/v1/admin/players/bob/hide")
    moderate("/api/v1/admin/players/erin/erase")
    for board in ("main", "kart"):
        moderate(f"/boards/{board}/api/v1/admin/periods/season/end")
    results = {board: f"/boards/{board}/api/v1/periods/season/1" for board in ("main", "kart")}
    for result in results.values():
        wait_until(lambda result=result: service.get(result).json["state"] == "sealed", 60, what="the result")
    moderate("/api/v1/admin/players/frank/erase")
    moderate("/api/v1/admin/players/bob/show")
    for result in results.values():
        wait_until(lambda result=result: service.get(result).json["erased"] == 1, 20, what="the new digest")
    assert rows(service, f"{results['main']}/leaderboard") == {"alice": (2, 75), "carol": (3, 55)}
    assert rows(service, f"{results['kart']}/leaderboard") == {"alice": (1, 20), "carol": (2, 25)}
    uri, name = mongo_database
    out = io.StringIO()
    flags = ("--mongodb-uri", uri, "--mongodb-database", name, "--rate-limit", "1000/60s")
    assert audit.run(audit_options(*flags), out=out, err=io.StringIO()) == 0, out.getvalue()
    assert ", 0 differences" in out.getvalue()
