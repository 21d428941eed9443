"""Sockets that name a period receive a message when its epochs begin and end, by each process of a real service."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from websockets.sync.client import connect

from tests.service.test_boards import boards_file, score, serve  # noqa: F401  # fixtures
from tests.support.openapi import SOCKETS, check
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.mongo.client.driver import connect as connect_database
from tornado_app.mongo.client.driver import maybe_await

PATIENCE = 30
PATHS = ("/ws/leaderboard", "/ws/scoreboard", "/ws/score")
PROCESSES = pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one process", "two processes"])


class Client:
    """A socket of a period."""

    def __init__(self, socket):
        self.socket = socket
        self.boards = [self.read()]

    def read(self):
        return json.loads(self.socket.recv(timeout=PATIENCE))

    def announcement(self):
        """The next one, without its time; boards before it are kept."""
        while (message := self.read()).get("type") != "period":
            self.boards.append(message)
        check(message, SOCKETS["/ws/scoreboard"]["sends"][-1]["schema"])
        self.now = datetime.fromisoformat(message.pop("now"))
        return message

    def board(self):
        """The next message, which is a board of `/ws/scoreboard`."""
        return [row["score"] for row in self.read()["top_scores"]]


@contextlib.contextmanager
def opened(service, *paths):
    with contextlib.ExitStack() as stack:
        yield [Client(stack.enter_context(connect(service.ws_url + path))) for path in paths]


def opening(epoch, end=None, state="open"):
    return {"type": "period", "period": "season", "epoch": epoch, "state": state, "end": end}


def end_season(service):
    answer = service.post("/api/v1/admin/periods/season/end", token=token("mod", scope="leaderboard:admin"))
    assert answer.status == 200, answer.json
    return answer.json["epoch"]["end"]


@PROCESSES
def test_sockets_of_a_period_receive_its_end_and_the_next_epoch(serve, boards_file, flags):  # noqa: F811
    boards_file.write(main={"periods": {"season": {}}})
    service = serve(*flags)
    assert score(service, "main", 5).status == 200
    live = "/api/v1/leaderboard?period=season"
    wait_until(lambda: all(service.get(live).json["players"] for _ in range(8)), what="the score in each process")
    with opened(service, *["/ws/scoreboard?period=season"] * 6) as clients:
        assert [client.announcement() for client in clients] == [opening(1)] * 6
        end = end_season(service)
        assert [client.announcement() for client in clients] == [opening(1, end)] * 6
        assert all(client.now < datetime.fromisoformat(end) for client in clients)
        assert [client.announcement() for client in clients] == [opening(2)] * 6
        assert all(client.now >= datetime.fromisoformat(end) for client in clients)
        assert [client.board() for client in clients] == [[]] * 6


@PROCESSES
def test_long_epoch_is_announced_a_minute_before_its_end(serve, boards_file, mongo_database, flags):  # noqa: F811
    boards_file.write(main={"periods": {"season": {}}})
    service = serve(*flags)
    with opened(service, *[f"{path}?period=season" for path in PATHS * 2]) as clients:
        assert [client.announcement() for client in clients] == [opening(1)] * 6
        end = (datetime.now(UTC) + timedelta(seconds=65)).replace(microsecond=0)
        edit_first_epoch(mongo_database, start=end - timedelta(hours=1), end=end)
        known = end.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert [client.announcement() for client in clients] == [opening(1, known)] * 6
        assert [client.announcement() for client in clients] == [opening(1, known, "ending")] * 6
        for client in clients:
            assert timedelta(seconds=58) < end - client.now <= timedelta(seconds=60)
        with opened(service, "/ws/scoreboard?period=season") as (late,):
            assert late.announcement() == opening(1, known, "ending")


def edit_first_epoch(mongo_database, **dates):
    """Change it in the database, so that its end is not an hour away."""

    async def edit():
        uri, name = mongo_database
        client = connect_database(uri)
        change = {"$set": dates, "$currentDate": {"revision": {"$type": "timestamp"}}}
        await maybe_await(client[name].periods.update_one({"_id": "main.season.1"}, change))
        await maybe_await(client.close())

    asyncio.run(edit())


@PROCESSES
def test_short_epochs_are_announced_once_each(serve, boards_file, flags):  # noqa: F811
    schedule = {"every": "2s", "from": "2026-11-01T00:00"}
    boards_file.write(main={"periods": {"season": schedule}})
    service = serve(*flags)
    with opened(service, "/ws/scoreboard?period=season", "/ws/scoreboard?period=season") as clients:
        for client in clients:
            found = [client.announcement() for _ in range(5)]
            first = found[0]["epoch"]
            assert [message["epoch"] for message in found] == list(range(first, first + 5))
            assert {message["state"] for message in found} == {"open"}
            ends = [datetime.fromisoformat(message["end"]) for message in found]
            assert ends == [ends[0] + timedelta(seconds=2 * number) for number in range(5)]
            assert timedelta(0) <= client.now - ends[-2] < timedelta(seconds=1.5)


def test_sockets_that_name_no_period_receive_boards_only(serve, boards_file):  # noqa: F811
    boards_file.write(main={})
    service = serve()
    assert score(service, "main", 5).status == 200
    boards_file.write(main={"periods": {"season": {}}, "shows": "season"})
    wait_until(lambda: service.get("/api/v1/periods").json["periods"], PATIENCE, what="the period, added later")
    paths = ("/ws/scoreboard", "/ws/scoreboard?period=all", "/ws/scoreboard?period=season")
    with opened(service, *paths) as (shown, all_time, named):
        assert named.announcement() == opening(1)
        end = end_season(service)
        assert named.announcement() == opening(1, end)
        assert named.announcement() == opening(2)
        assert score(service, "main", 3).status == 200
        wait_until(lambda: shown.board() == [3])
        wait_until(lambda: all_time.board() == [8])
    boards_file.write(main={})
    wait_until(lambda: "board main has no periods now" in service.log, PATIENCE, what="the period, removed")
