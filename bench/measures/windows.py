"""Three windows, all time, weekly and daily: this service and Nakama."""

from __future__ import annotations

from dataclasses import replace

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.measures.periods import PERIODS
from bench.peers import nakama
from bench.report import Column, Report, ratio
from bench.systems import System

HOW = """\
One action of a player counts in all time, in the week and in the day. This service writes it once: `POST /api/score` as
in Score updates, on a board with the periods `weekly` and `daily`. In Nakama each window is a leaderboard with a reset
schedule, and the action is three writes: by three requests of the client, or by one request to a function of the server
(Lua) that makes the three writes one after the other. 64 connections, closed loop, server and database on one core. CPU
is that of both, for each action. `× one window` compares with the same product and a single window in the same round.
A latency is that of a request; an action of the row `three requests` has three of them."""

COLUMNS = (
    Column("per_second", "actions/s", 0),
    Column("ratio", "× three requests", 2),
    Column("one", "× one window", 2),
    Column("server", "server µs", 0),
    Column("database", "database µs", 0),
    Column("p50", "p50 ms", 1),
    Column("p99", "p99 ms", 1),
)

WINDOWS = {"season": "", "weekly": "0 0 * * 1", "daily": "0 0 * * *"}
SERVICE, SERVICE_ONE = "this service, three windows", "this service, one window"
REQUESTS, FUNCTION, NAKAMA_ONE = "Nakama, three requests", "Nakama, one function", "Nakama, one window"
ONE = {SERVICE: SERVICE_ONE, REQUESTS: NAKAMA_ONE, FUNCTION: NAKAMA_ONE}
"""The row with which a row is compared."""


def run(bench: Bench) -> Report:
    """Alternating."""
    players, connections = bench.pick((20_000, YARDSTICK_CONNECTIONS), (300, 4))
    report = Report("Three windows", HOW, COLUMNS)
    with bench.stage() as stage:
        peer = stage.nakama(players, WINDOWS)
        periods = {name: PERIODS[name] for name in WINDOWS if WINDOWS[name]}
        systems = {
            SERVICE: bench.played(stage.service(players, periods=periods), players),
            SERVICE_ONE: bench.played(stage.service(players), players),
            FUNCTION: bench.played(replace(peer, write_path=nakama.RPC_PATH), players),
            REQUESTS: _three_requests(peer),
            NAKAMA_ONE: replace(peer, write_path=f"{nakama.RECORDS}season"),
        }
        found = bench.alternating(systems, connections=connections)
    for results in found:
        if report.saw(*results.values()):
            rates = {name: result.raw["per_second"] / _requests(name) for name, result in results.items()}
            for name, result in results.items():
                server, every = result.group_cpu_us("server") * _requests(name), result.cpu_us * _requests(name)
                report.add(
                    name, per_second=rates[name], ratio=ratio(rates[name], rates[REQUESTS]), server=server,
                    one=ratio(rates[name], rates[ONE.get(name, name)]), database=every - server,
                    p50=result.latency("p50"), p99=result.latency("p99"),
                )  # fmt: skip
    report.notes.append(nakama.versions())
    return report


def _requests(name: str) -> int:
    """The requests of an action."""
    return len(WINDOWS) if name == REQUESTS else 1


def _three_requests(peer: System) -> System:
    """Each player's turn is a request for each leaderboard: the generator puts a line's first word into the path."""
    assert peer.players is not None
    tokens = [line.split()[1] for line in peer.players.read_text(encoding="ascii").splitlines()]
    turns = peer.players.with_name("turns")
    turns.write_text("".join(f"{board} {token}\n" for token in tokens for board in WINDOWS), encoding="ascii")
    return replace(peer, players=turns, write_path=nakama.RECORDS + "{player}")
