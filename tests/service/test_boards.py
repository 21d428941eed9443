"""Several boards of one service: at the start, and added, changed and removed while it runs."""

import json
import os
import signal
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import AsyncMock, Mock

import pytest
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.processes import workers
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.auth import keys, proofs
from tornado_app.core.boards import Board, Bounds
from tornado_app.core.errors import StartupError
from tornado_app.core.periods import Period
from tornado_app.service.boards import Boards

PROOF_KEY = "proof-key-of-the-boards-0123456789abcdef"


class BoardsFile:
    """The file of a running service."""

    def __init__(self, path):
        self.path = path

    def write(self, **boards):
        """Replace the file at once, as a ConfigMap does."""
        self.write_text(yaml.safe_dump({"boards": boards}))

    def write_text(self, text):
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.path)


@pytest.fixture
def boards_file(tmp_path):
    return BoardsFile(tmp_path / "boards.yaml")


@pytest.fixture
def serve(start, mongo_database, boards_file):
    """Starts a service with the file."""

    def serve(*flags):
        uri, name = mongo_database
        env = {"LEADERBOARD_PROOF_KEY": PROOF_KEY}
        return start("--boards-file", str(boards_file.path), *flags, uri=uri, database=name, env=env)

    return serve


def names(service):
    return [board["name"] for board in service.get("/api/v1/boards").json["boards"]]


def score(service, board, value, user="alice", **body):
    member = "points" if board == "main" else "score"
    return service.post(f"/boards/{board}/api/v1/scores", {member: value, **body}, token=token(user))


def scores(service, board):
    return {row["user_id"]: row["score"] for row in service.get(f"/boards/{board}/api/v1/leaderboard").json["players"]}


@contextmanager
def socket(service, board):
    with connect(f"{service.ws_url}/boards/{board}/ws/scoreboard") as client:
        client.recv(timeout=20)
        yield client


KART = {"rule": "best", "order": "ascending"}


def test_service_with_several_boards_serves_each_by_its_own_rule(serve, boards_file):
    boards_file.write(main={}, kart=KART, chess={"rule": "last"})
    service = serve()
    for board in ("main", "kart", "chess"):
        for value in (9, 5, 7):
            assert score(service, board, value).status == 200
    wait_until(
        lambda: [scores(service, board) for board in ("main", "kart", "chess")] == [{"alice": n} for n in (21, 5, 7)]
    )
    listed = service.get("/api/v1/boards").json["boards"]
    assert [(row["name"], row["rule"], row["order"], row["players"]) for row in listed] == [
        ("main", "sum", "descending", 1), ("chess", "last", "descending", 1), ("kart", "best", "ascending", 1),
    ]  # fmt: skip
    wrong = service.post("/boards/kart/api/score", {"score": 5}, token=token("alice"))
    assert (wrong.status, wrong.json["error"]) == (409, "wrong_rule")
    audited = [json.loads(line) for line in service.log.splitlines() if '"score_accepted"' in line]
    assert [line.get("board", "main") for line in audited] == ["main"] * 3 + ["kart"] * 3 + ["chess"] * 3


def test_proof_of_one_board_is_refused_on_another(serve, boards_file):
    boards_file.write(kart={}, chess={})
    service = serve()
    key = keys.signing_secret(PROOF_KEY)
    for signed in ("main", "kart"):
        text = proofs.sign_action(key, sub="alice", action_type="race", points=5, action_id="race-1", board=signed)
        for board in ("main", "kart", "chess"):
            answer = service.post(
                f"/boards/{board}/api/v1/scores", {"points": 5}, token=token("alice"), headers={"Action-Proof": text}
            )
            expected = (200, None) if board == signed else (403, "invalid_action_proof")
            assert (answer.status, answer.json.get("error")) == expected
    wait_until(lambda: (scores(service, "main"), scores(service, "kart")) == ({"alice": 5}, {"alice": 5}))
    assert scores(service, "chess") == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_board_is_added_and_removed_while_the_service_runs(serve, boards_file, processes):
    boards_file.write(main={})
    service = serve("--processes", str(processes))

    def wait_logged(text, times):
        """Each process follows the file by itself."""
        wait_until(lambda: service.log.count(text) == times * processes, what=text)

    assert names(service) == ["main"]
    assert score(service, "main", 3).status == 200
    with socket(service, "main") as main:
        boards_file.write(main={}, kart=KART)
        wait_logged("board kart is served now", 1)
        assert names(service) == ["main", "kart"]
        assert service.readiness() == (200, [])
        assert score(service, "kart", 9).status == 200
        with socket(service, "kart") as kart:
            assert score(service, "kart", 8, "bob").status == 200
            wait_until(
                lambda: [row["user_id"] for row in json.loads(kart.recv(timeout=20))["top_scores"]] == ["bob", "alice"]
            )
            boards_file.write(main={})
            with pytest.raises(ConnectionClosed) as closed:
                next(iter(lambda: kart.recv(timeout=20), None))
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "going away")
        wait_logged("board kart is no longer served", 1)
        assert score(service, "kart", 7).status == 404
        assert service.get("/boards/kart/api/top-scores").json["error"] == "board_not_found"
        assert score(service, "main", 4).status == 200
        wait_until(
            lambda: json.loads(main.recv(timeout=20))["top_scores"][0]["score"] == 7, what="the board main goes on"
        )
    boards_file.write(kart=KART)
    wait_logged("board kart is served now", 2)
    assert scores(service, "kart") == {"bob": 8, "alice": 9}, "the data stayed"


@pytest.mark.long
def test_restarted_process_serves_the_boards_that_were_added_meanwhile(serve, boards_file):
    boards_file.write(main={})
    service = serve("--processes", "2")
    added = {f"kart-{number}": KART for number in range(4)}
    boards_file.write(**added)
    served = "board kart-3 is served now"
    wait_until(lambda: service.log.count(served) == 2, what="both processes serve the boards")
    os.kill(workers(service)[0], signal.SIGKILL)
    statuses = set()

    def restarted():
        for board in added:
            try:
                statuses.add(service.get(f"/boards/{board}/api/top-scores").status)
            except ConnectionError:  # one that the killed process had accepted
                continue
        return service.readiness() == (200, []) and service.log.count(served) == 3

    wait_until(restarted, 60)
    assert statuses == {200}


def test_changed_bounds_take_effect_while_the_service_runs(serve, boards_file):
    boards_file.write(kart={**KART, "bounds": {"min": 10}})
    service = serve()
    assert score(service, "kart", 9).json["error"] == "out_of_bounds"
    boards_file.write(kart={**KART, "bounds": {"min": 5}})
    wait_until(lambda: score(service, "kart", 9).status == 200)
    assert service.get("/api/v1/boards").json["boards"][1]["bounds"] == {"min": 5}
    assert score(service, "kart", 4).json["error"] == "out_of_bounds"


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        (
            "boards: {kart: {rule: last, order: ascending}, chess: {}}",
            "board kart has the rule best and the order ascending",
        ),
        ("boards: {kart: {rule: bset, order: ascending}, chess: {}}", "is not one of sum, best, last"),
        ("boards: [", "boards.yaml"),
        (None, "boards.yaml"),
    ],
    ids=["other rule", "wrong value", "no YAML", "no file"],
)
def test_file_with_an_error_leaves_the_boards_as_they_are(serve, boards_file, text, logged):
    boards_file.write(kart=KART)
    service = serve()
    assert service.metric("leaderboard_boards_file_applied") == 1
    if text is None:
        boards_file.path.unlink()
    else:
        boards_file.write_text(text)
    wait_until(lambda: service.metric("leaderboard_boards_file_applied") == 0)
    (line, *_) = [line for line in service.log.splitlines() if "is not applied" in line]
    assert logged in line
    assert names(service) == ["main", "kart"]
    assert score(service, "kart", 9).status == 200
    assert service.readiness() == (200, [])
    boards_file.write(kart=KART, chess={})
    wait_until(lambda: names(service) == ["main", "chess", "kart"])
    assert service.metric("leaderboard_boards_file_applied") == 1


def test_removed_board_comes_back_with_its_own_rule_only(serve, boards_file):
    boards_file.write(kart=KART)
    service = serve()
    assert score(service, "kart", 9).status == 200
    boards_file.write(main={})
    wait_until(lambda: names(service) == ["main"])
    boards_file.write(kart={"rule": "last"})
    wait_until(lambda: service.metric("leaderboard_boards_file_applied") == 0)
    assert names(service) == ["main"]
    assert "board kart" in next(line for line in service.log.splitlines() if "is not applied" in line)
    boards_file.write(kart=KART)
    wait_until(lambda: names(service) == ["main", "kart"])
    assert scores(service, "kart") == {"alice": 9}


def test_moderation_is_of_all_boards_and_a_take_back_of_one(serve, boards_file):
    def moderate(verb, board="main", **body):
        path = (
            f"/boards/{board}/api/v1/admin/players/alice/{verb}"
            if board != "main"
            else f"/api/v1/admin/players/alice/{verb}"
        )
        return service.post(path, {"reason": "speed hack", **body}, token=token("mod", scope="leaderboard:admin"))

    boards_file.write(kart={"rule": "best", "order": "ascending"})
    service = serve()
    score(service, "main", 5)
    score(service, "kart", 900)
    assert score(service, "kart", 100).json["score"] == 100
    since = "2026-01-01T00:00:00Z"
    wait_until(
        lambda: moderate("take-back", "kart", since=since).json["score"] is None, what="kart has no score of alice"
    )
    assert service.get("/api/v1/players/alice").json["score"] == 5
    assert moderate("suspend").json["suspended"]
    for board in ("main", "kart"):
        assert score(service, board, 90).json["error"] == "player_suspended"
    boards_file.write(kart={"rule": "best", "order": "ascending"}, golf={"rule": "last"})
    wait_until(lambda: "golf" in names(service), 60, "the new board")
    assert score(service, "golf", 90).json["error"] == "player_suspended"
    assert moderate("suspend", "kart").status == 404
    assert moderate("reinstate").json["changed"]
    assert score(service, "golf", 90).json["score"] == 90
    assert moderate("erase").status == 204
    for board in ("main", "kart", "golf"):
        wait_until(lambda board=board: scores(service, board) == {}, 20, "the player is gone")


def made(board):
    """A served board, of fakes."""
    live = SimpleNamespace(view=None, wait_ready=AsyncMock())
    return SimpleNamespace(
        definition=board,
        store=SimpleNamespace(cache=None, capacity=1, close=AsyncMock()),
        live=live,
        lives=[live],
        periods={period.name: None for period in board.periods},
        views={},
    )


def boards_with(*boards, planned, feed):
    """Boards that are served, without a database."""
    return Boards(
        map(made, boards),
        make=made,
        planned=planned,
        prepare=AsyncMock(),
        views=Mock(),
        hub=Mock(),
        feed=feed,
        router=Mock(),
        registry=Mock(close=AsyncMock()),
        shedder=Mock(),
    )


SEASON = (Period("season"),)


async def test_boards_that_change_are_planned_from_the_first_of_them_until_all_are_served():
    def note(board, *_):
        planned.append(sorted((each.name, len(each.periods)) for each in boards.definitions))

    planned = []
    feed = Mock(add=AsyncMock(side_effect=note), wait_loaded=AsyncMock())
    boards = boards_with(Board(), planned=AsyncMock(side_effect=note), feed=feed)
    await boards.apply([Board(periods=SEASON), Board("chess", periods=SEASON), Board("kart", periods=SEASON)])
    assert len(planned) == 6
    assert all({("chess", 1), ("kart", 1), ("main", 1)} <= set(each) for each in planned)
    assert [(each.name, len(each.periods)) for each in boards.definitions] == [("main", 1), ("chess", 1), ("kart", 1)]


async def test_boards_that_cannot_be_planned_leave_the_served_ones_as_they_were():
    before = [Board(), Board("golf")]
    boards = boards_with(*before, planned=AsyncMock(side_effect=StartupError("not planned")), feed=Mock())
    bounds = Board(bounds=Bounds(min=0))
    with pytest.raises(StartupError):
        await boards.apply([bounds, Board("kart", periods=SEASON)])
    assert boards.definitions == before
