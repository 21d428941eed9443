"""Resets under load: whether each acknowledged score is in one season, and in which."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bench.bench import Bench
from bench.database import DATABASE
from bench.peers import nakama
from bench.processes import START_SECONDS, Failed, until
from bench.report import Column, Report
from bench.systems import System

HOW = """\
Clients score while two windows are reset, `short` every 5 seconds and `long` every 10: this service with two periods,
Nakama with two leaderboards and one function of the server that writes to both (`bench/peers/nakama.py`). Each client
is a player that adds one point at a time and keeps an account of its acknowledged points, with the season that each
answer named. One in ten points is sent a second time with the same id, as by a client that did not see the answer.

When all seasons are over, the account is compared with the archives: the results of this service's epochs, and
Nakama's records of each expiry. `lost` and `doubled` are acknowledged points that are in no season, and points that no
client meant. `other season`: points in an archive of another season than the answer named, or named by the answer
though that season was not open at any moment between request and answer. `apart`: actions that one window counts before
a boundary that both have, and the other one after it. `at the end`: points of a season that were not in it yet when it
was handed over: by the function that Nakama calls at a reset, and by this service as the sealed result. An action has
a point in each window, and counts in both."""

COLUMNS = (
    Column("acknowledged", "acknowledged", 0),
    Column("again", "sent again", 0),
    Column("boundaries", "boundaries", 0),
    Column("lost", "lost", 0),
    Column("doubled", "doubled", 0),
    Column("other", "other season", 0),
    Column("apart", "apart", 0),
    Column("late", "at the end", 0),
)

SERVICE, NAKAMA = "this service", "Nakama"
SHORT, LONG = 5, 10
"""Seconds."""
WINDOWS = {"short": SHORT, "long": LONG}
AGAIN = 0.1
PAUSE = 0.3
"""Seconds that a client waits at most before its next action."""
SLACK = 0.05
"""Seconds by which the clock of a client and that of a database of the same machine may be apart in a comparison."""

Season = Any
"""The number of an epoch, or the seconds at which a record of Nakama expires."""

Answer = tuple[int, dict[str, Season]]
"""Status, and the season of each window that the answer names."""

Send = Callable[[http.client.HTTPConnection, str, str], Answer]
"""Sends a point with a token and an id."""


@dataclass(frozen=True)
class Action:
    """An acknowledged point. `sent` and `answered` in seconds since 1970."""

    player: str
    sent: float
    answered: float
    seasons: Mapping[str, Season]


@dataclass
class Account:
    """What one client knows. `again`: how many of its points were sent a second time."""

    actions: list[Action] = field(default_factory=list)
    again: int = 0
    refused: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Archive:
    """Points of each player by window and season, when each season began and ended, and its points when it ended."""

    points: Mapping[tuple[str, Season], Mapping[str, int]]
    spans: Mapping[tuple[str, Season], tuple[float, float]]
    at_end: Mapping[tuple[str, Season], int]


def run(bench: Bench) -> Report:
    """Each product once, for so many boundaries."""
    report = Report("Resets under load", HOW, COLUMNS)
    clients, seconds = bench.pick((96, 62.0), (8, 7.0))
    with bench.stage(all_cores=True) as stage:
        start = {"from": "2026-01-01T00:00", "keep": 1000}
        periods = {name: {"every": f"{step}s", **start} for name, step in WINDOWS.items()}
        ours = stage.service(clients, periods=periods, flags=("--rate-limit", "1000/60s"))
        peer = stage.nakama(clients, {name: f"*/{step} * * * * * *" for name, step in WINDOWS.items()})
        for name, system, send, read in (
            (SERVICE, ours, _score, _results), (NAKAMA, peer, _call_function, _records),
        ):  # fmt: skip
            accounts = _play(system, send, seconds)
            report.add(name, **compared(accounts, read(system, accounts)))
            refused = sum([account.refused for account in accounts], Counter[int]())
            if refused:
                report.notes.append(f"{name} refused: {dict(refused)}")
    report.notes.append(nakama.versions())
    return report


# -- the clients ----------------------------------------------------------------------------------


def _play(system: System, send: Send, seconds: float) -> list[Account]:
    assert system.players is not None
    lines = [line.split() for line in system.players.read_text(encoding="ascii").splitlines()]
    accounts = [Account() for _ in lines]
    end = time.time() + seconds

    def play(account: Account, player: str, token: str) -> None:
        chance, address = random.Random(player), urlsplit(system.url)  # a repeatable order
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=START_SECONDS)
        number = 0
        while (sent := time.time()) < end:
            number += 1
            status, seasons = send(connection, token, f"{player}-{number}")
            if status == http.client.OK:
                account.actions.append(Action(player, sent, time.time(), seasons))
                if chance.random() < AGAIN:
                    account.again += 1
                    send(connection, token, f"{player}-{number}")
            else:
                account.refused[status] += 1
            time.sleep(chance.uniform(0, PAUSE))
        connection.close()

    threads = [
        threading.Thread(target=play, args=(account, *line), daemon=True)
        for account, line in zip(accounts, lines, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + START_SECONDS)
        if thread.is_alive():
            raise Failed(f"{system.name} did not answer")
    return accounts


def _post(connection: http.client.HTTPConnection, path: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if answer.status == http.client.OK else None


def _score(connection: http.client.HTTPConnection, token: str, action: str) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": action}
    status, answer = _post(connection, "/api/v1/scores", {"points": 1}, headers)
    return status, {} if answer is None else {name: answer["periods"][name]["epoch"] for name in WINDOWS}


def _call_function(connection: http.client.HTTPConnection, token: str, _: str) -> Answer:
    status, answer = _post(connection, nakama.RPC_PATH, {}, {"Authorization": f"Bearer {token}"})
    return status, answer or {}


# -- the archives ---------------------------------------------------------------------------------


def _last(accounts: Sequence[Account]) -> dict[str, Season]:
    return {name: max(action.seasons[name] for each in accounts for action in each.actions) for name in WINDOWS}


def _results(system: System, accounts: Sequence[Account]) -> Archive:
    """The sealed results of the service."""
    assert system.base is not None
    points, spans, last = {}, {}, _last(accounts)
    with system.base.client() as client:
        database = client[DATABASE]
        over = {"$or": [{"period": name, "epoch": {"$lte": last[name]}} for name in WINDOWS]}
        for _ in until(START_SECONDS, "all results are sealed"):
            if database["periods"].count_documents({**over, "state": {"$ne": "sealed"}}) == 0:
                break
        for epoch in database["periods"].find(over):
            season = epoch["period"], epoch["epoch"]
            rows = database[f"results.main.{season[0]}.{season[1]}"].find()
            points[season] = {row["_id"]: int(row["score"]) for row in rows}
            spans[season] = _seconds(epoch["start"]), _seconds(epoch["end"])
    return Archive(points, spans, {season: sum(found.values()) for season, found in points.items()})


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()


def _records(system: System, accounts: Sequence[Account]) -> Archive:
    """Nakama's records of each season, and what the function at a reset logged."""
    assert system.log is not None
    seasons = {(name, action.seasons[name]) for each in accounts for action in each.actions for name in WINDOWS}
    at_end: dict[tuple[str, Season], int] = {}
    for _ in until(START_SECONDS, "Nakama calls its function at each reset"):
        logged = re.findall(r"reset of (\w+) at (\d+): (\d+)", system.log.read_text(encoding="utf-8"))
        at_end = {(name, int(end)): int(total) for name, end, total in logged}
        if seasons <= at_end.keys():
            break
    points = {season: _page(system, *season) for season in seasons}
    spans = {(name, end): (end - WINDOWS[name], end) for name, end in seasons}
    return Archive(points, spans, at_end)


def _page(system: System, board: str, expiry: int) -> dict[str, int]:
    assert system.players is not None
    token = system.players.read_text(encoding="ascii").split(maxsplit=2)[1]
    url = f"{system.url}{nakama.RECORDS}{board}?expiry={expiry}&limit=100"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=START_SECONDS) as answer:
        records = json.load(answer).get("records", [])
    return {record["username"]: int(record["score"]) for record in records}


# -- the comparison -------------------------------------------------------------------------------


def compared(accounts: Sequence[Account], archive: Archive) -> dict[str, float]:
    """The figures of a row."""
    actions = [action for each in accounts for action in each.actions]
    lost = doubled = other = 0
    named: defaultdict[tuple[str, str], Counter[Season]] = defaultdict(Counter)
    for action in actions:
        for name in WINDOWS:
            named[action.player, name][action.seasons[name]] += 1
    for (player, name), counts in named.items():
        found = {season: rows.get(player, 0) for (window, season), rows in archive.points.items() if window == name}
        surplus = sum(found.values()) - counts.total()
        lost, doubled = lost + max(0, -surplus), doubled + max(0, surplus)
        other += sum(max(0, count - found.get(season, 0)) for season, count in counts.items()) - max(0, -surplus)
    spans = archive.spans
    other += sum(not _open_during(action, spans[season]) for action in actions for season in action.seasons.items())
    return {
        "acknowledged": len(actions),
        "again": sum(each.again for each in accounts),
        "boundaries": len({action.seasons["short"] for action in actions}) - 1,
        "lost": lost,
        "doubled": doubled,
        "other": other,
        "apart": sum(not _meet([spans[season] for season in action.seasons.items()]) for action in actions),
        "late": sum(max(0, sum(rows.values()) - archive.at_end[season]) for season, rows in archive.points.items()),
    }


def _open_during(action: Action, span: tuple[float, float]) -> bool:
    return span[0] <= action.answered + SLACK and action.sent - SLACK < span[1]


def _meet(spans: Sequence[tuple[float, float]]) -> bool:
    """Whether some instant is in all of them."""
    return max(start for start, _ in spans) < min(end for _, end in spans)
