"""Unit tests of the trials: the check finds lost, doubled, invented and wrong values, and the proxy's faults work."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path
from random import Random

import pytest

from tests.endurance.__main__ import pair
from tests.endurance.account import Account, judge, judge_results
from tests.endurance.agreement import ranked
from tests.endurance.faults import FAULTS
from tests.endurance.observer import MOST_LINES, busiest, complaints
from tests.endurance.report import append, table
from tests.endurance.trial import Outcome, Recovery
from tests.support.background import BackgroundLoop
from tests.support.proxy import Proxy
from tests.support.wait import wait_until


def entry(action_id, *, points=5, score=5, **more):
    return {"kind": "action", "player": "ann", "id": action_id, "points": points, "score": score, **more}


def ann(score, *remembered):
    return [
        {
            "_id": "ann",
            "score": score,
            "h": {str(n): json.dumps(["a", 5, "w", 0, 0, "ann", i]) for n, i in enumerate(remembered)},
        }
    ]


def account(**fields):
    kept = Account()
    action = kept.open("a", "ann", 5)
    for name, value in fields.items():
        setattr(action, name, value)
    return kept


def test_check_passes_if_each_acknowledged_action_exists_once():
    assert judge(account(scores=[5, 5]), [entry("a")], ann(5)).problems == []


def test_check_allows_unanswered_actions_to_exist_or_not():
    assert judge(account(unclear=True), [], []).problems == []
    assert judge(account(unclear=True), [entry("a")], ann(5)).problems == []


def test_check_uses_the_players_document_if_the_ledger_has_only_sums():
    assert judge(account(scores=[5]), [], ann(5, "a")).problems == []
    assert len(judge(account(scores=[5]), [], ann(5, "b")).lost) == 1


def test_check_finds_a_lost_action():
    assert len(judge(account(scores=[5]), [], []).lost) == 1


@pytest.mark.parametrize("fields", [{"scores": [5]}, {"unclear": True}])
def test_check_finds_a_doubled_action(fields):
    assert len(judge(account(**fields), [entry("a"), entry("a", score=10)], ann(10)).doubled) == 1


@pytest.mark.parametrize(
    ("kept", "entries", "scores"),
    [
        (account(), [entry("a")], ann(5)),  # it was refused, and counts
        (account(scores=[6]), [entry("a")], ann(5)),  # answered with what never was
        (account(scores=[5]), [entry("a", points=6, score=5)], ann(5)),
        (account(scores=[5]), [entry("a")], ann(6)),  # more points than its actions have
        (account(scores=[5]), [entry("a"), entry("b")], ann(5)),  # which no client sent
    ],
)
def test_check_finds_responses_that_the_database_contradicts(kept, entries, scores):
    assert judge(kept, entries, scores).wrong != []


COUNTED = [entry("a", epochs={"second": 3}), entry("b", epochs={"second": 4})]


def test_check_passes_if_results_have_the_points_of_their_epochs():
    results = {2: {}, 3: {"ann": 5}, 4: {"ann": 5}}
    assert judge_results(account(scores=[5], epochs={3}), COUNTED, ann(10), results) == []


@pytest.mark.parametrize(
    ("kept", "results", "score"),
    [
        (account(), {3: {"ann": 5}}, 5),  # a result lacks an action
        (account(), {3: {"ann": 5}, 4: {"ann": 10}}, 15),  # which counts twice
        (account(), {3: {"ann": 10}, 4: {}}, 10),  # in the wrong epoch
        (account(), {2: {"bob": 1}, 3: {"ann": 5}, 4: {"ann": 5}}, 10),  # a player that no client has
        (account(), {3: {"ann": 5}, 4: {"ann": 5}}, 11),  # all time has more than the results
        (account(epochs={4}), {3: {"ann": 5}, 4: {"ann": 5}}, 10),  # another epoch than the answer named
        (account(epochs={3, 4}), {3: {"ann": 5}, 4: {"ann": 5}}, 10),  # two answers
    ],
)
def test_check_finds_results_that_the_account_contradicts(kept, results, score):
    assert judge_results(kept, COUNTED, ann(score), results) != []


def test_check_ranks_ties_equal_and_skips_the_next():
    board = [("a", 9), ("b", 7), ("c", 7), ("d", 1)]
    assert [rank for _, _, rank in ranked(board)] == [1, 2, 2, 4]


def test_check_finds_forbidden_lines_in_logs():
    fine = '{"ts":"2026-01-01T00:00:00.123Z","level":"info","message":"score update"}'
    warning = fine.replace("info", "warning")
    assert complaints("\n".join([fine] * 10 * MOST_LINES)) == []
    assert busiest("\n".join([warning] * 3 + [warning.replace("00:00.", "00:01.")])) == 3
    assert complaints("\n".join([warning] * (MOST_LINES + 1))) != []
    assert complaints(fine.replace("}", ',"exception":"Traceback (most recent call last)…"}')) != []


def test_report_sums_trials(tmp_path):
    for number, shown in enumerate((0.5, 2.5, 0.7)):
        recovery = Recovery(0.1, shown, 0.2, ())
        append(tmp_path / "trials.csv", Outcome("kill-service", number, 1000, 2, 0, 0, 1.0, recovery, 3, ()))
    assert "| kill-service | 3 | 3,000 | 6 | 0 | 0 | 1.0, 1.0 | 0.1, 0.1 | 0.7, 2.5 | 0.2, 0.2 | 1 | 0 |" in table(
        tmp_path / "trials.csv"
    )


def test_docs_table_is_that_of_the_trials():
    docs = Path(__file__).parents[2] / "docs"
    assert table(docs / "reliability.csv") in (docs / "reliability.md").read_text(encoding="utf-8")


def test_docs_describe_every_fault():
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [name for name in FAULTS if f"`{name}`" not in text] == []


def test_faults_of_every_pair_share_a_requirement():
    for seed in range(200):
        first, second = pair(Random(seed))
        assert first.topology == second.topology
        assert first is not second
        assert not first.alone
        assert not second.alone


# -- the proxy ------------------------------------------------------------------------------------


@pytest.fixture
def loop():
    with BackgroundLoop() as running:
        yield running


@pytest.fixture
def echo(loop):
    """The port of a server that sends back what it gets; `echo.heard` is all that reached it."""

    class Echo:
        heard = b""

    async def serve(reader, writer):
        while data := await reader.read(1000):
            Echo.heard += data
            writer.write(data)
        writer.close()

    async def start():
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    server = loop.run(start())
    Echo.port = server.sockets[0].getsockname()[1]
    yield Echo
    loop.call(server.close)


@pytest.fixture
def proxy(loop, echo):
    with Proxy(loop, echo.port) as proxy:
        yield proxy


@pytest.fixture
def wire(proxy):
    with dial(proxy) as wire:
        assert exchange(wire) == b"hello"
        yield wire


def dial(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def exchange(wire, seconds=10.0):
    """What comes back for a greeting; None where nothing does in time."""
    wire.settimeout(seconds)
    try:
        wire.sendall(b"hello")
        return wire.recv(100)
    except TimeoutError:
        return None
    except ConnectionError:
        return b""


def test_proxy_cut_closes_connections(proxy, wire):
    proxy.cut()
    assert exchange(wire) == b""
    with dial(proxy) as other:
        assert exchange(other) == b""
    proxy.heal()
    with dial(proxy) as other:
        assert exchange(other) == b"hello"


def test_proxy_thaw_delivers_the_frozen_bytes(proxy, wire, echo):
    echo.heard = b""
    proxy.freeze()
    assert exchange(wire, 0.3) is None
    assert echo.heard == b""
    proxy.heal()
    assert wire.recv(100) == b"hello"


def test_proxy_drops_responses_only(proxy, wire, echo):
    echo.heard = b""
    proxy.freeze(answers_only=True)
    assert exchange(wire, 0.3) is None
    wait_until(lambda: echo.heard == b"hello")


def test_proxy_keeps_an_abandoned_connection_dead_and_passes_new_ones(proxy, wire):
    proxy.forsake()
    assert exchange(wire, 0.3) is None
    with dial(proxy) as other:
        assert exchange(other) == b"hello"


def test_proxy_delays_and_limits_bandwidth(proxy, wire):
    proxy.slow(delay=0.2)
    began = time.monotonic()
    assert exchange(wire) == b"hello"
    assert time.monotonic() - began > 0.4
    proxy.slow(rate=1000)
    sending = threading.Thread(target=wire.sendall, args=(bytes(500),))
    began = time.monotonic()
    sending.start()
    got = 0
    while got < 500:
        got += len(wire.recv(1000))
    sending.join()
    assert time.monotonic() - began > 0.8
