"""Boards of one service with the same players and action ids: each equals its own model, over HTTP and sockets.

No write, rank, frame, limit or id of one board shows on another.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.sync.client import connect

from tests.properties.model import Model, Rules, Wanted
from tests.properties.test_store_model import LONG, examples
from tests.support.service import token

UPDATES = 3
BOARDS = {
    "main": Rules(UPDATES, 60_000, 120_000, None),
    "kart": Rules(UPDATES, 60_000, 120_000, None, "best", ascending=True, low=-4, high=50),
    "chess": Rules(UPDATES, 60_000, 120_000, None, "last"),
}
"""No action leaves the window or the memory: the test takes less than a minute for an example."""

FILE = {
    "main": {},
    "kart": {"rule": "best", "order": "ascending", "bounds": {"min": -4, "max": 50}},
    "chess": {"rule": "last"},
}
CODES = {
    "": "",
    "ActionConflict": "action_conflict",
    "OutOfBounds": "out_of_bounds",
    "RateLimited": "rate_limited",
}
PERSONAL = "a"
"""The player whose own updates a socket of each board receives."""

submits = st.builds(
    lambda user, points, id_: Wanted(user, points, id_, str(points).encode()),
    st.sampled_from("aaab"),
    st.integers(1, 12) | st.sampled_from([50, 60]),
    st.none() | st.sampled_from("xy"),
)


class BoardClient:
    """The clients of one board, and its model. `states`: the top 10 that it has had, of which a frame shows one."""

    def __init__(self, service, name, prefix):
        self.service, self.name, self.prefix = service, name, prefix
        self.model, self.clock = Model(BOARDS[name]), count()
        self.version = 0

    def play(self, script, number):
        """Send each submission of an example, then compare. Players of each example have ids of their own."""
        player = f"{PERSONAL}{number}"
        bearer = {"Authorization": f"Bearer {token(player)}"}
        before = self._top()
        with (
            connect(f"{self.service.ws_url}{self.prefix}/ws/scoreboard") as public,
            connect(f"{self.service.ws_url}{self.prefix}/ws/leaderboard", additional_headers=bearer) as personal,
        ):
            frames, states = [], [before]
            for wanted in script:
                self._submit(wanted._replace(user=f"{wanted.user}{number}"))
                states.append(self._top())
            while not frames or frames[-1] != states[-1]:
                frames.append(self._frame(public))
            assert [frame for frame in frames if frame not in states] == []
            self._compare_personal(personal, player)
        self._compare_reads([f"a{number}", f"b{number}"])

    def _submit(self, wanted):
        rules, now = self.model.rules, next(self.clock)
        value = rules.submitted(wanted.points)
        headers = {} if wanted.id is None else {"Idempotency-Key": wanted.id}
        body = {"points" if rules.rule == "sum" else "score": value}
        answer = self._post("/api/v1/scores", body, wanted.user, headers)
        expected = self.model.submit(wanted, now)
        assert answer.json.get("error", "") == CODES[expected.refused]
        if not expected.refused:
            assert (answer.json["score"], answer.json["submitted"]) == (expected.score, value)
            assert answer.json["improved"] is expected.improved
            assert (answer.headers["Idempotent-Replay"] == "true") is expected.replayed
            self.version = max(self.version, int(answer.headers["Board-Version"]))
        left = self.model.rate_limit_state(wanted.user, now).remaining
        assert f";r={left};" in answer.headers["RateLimit"]

    def _compare_reads(self, users):
        table = self.model.board()
        rows = {user: (rank, score) for rank, user, score in table}
        seen = {"If-Board-Version": str(self.version)}
        found = self._get("/api/v1/leaderboard?limit=200", seen).json
        assert [(row["rank"], row["user_id"], row["score"]) for row in found["players"]] == table[:200]
        assert found["total"] == len(table)
        assert [(row["user_id"], row["score"]) for row in self._get("/api/top-scores", seen).json["top_scores"]] == (
            self._top()
        )
        for user in users:
            own = self._get(f"/api/v1/players/{user}", seen)
            assert (own.status == 200) is (user in rows)
            if user in rows:
                assert (own.json["rank"], own.json["score"]) == rows[user]
        (listed,) = (row for row in self.service.get("/api/v1/boards").json["boards"] if row["name"] == self.name)
        assert listed["players"] == len(table)

    def _compare_personal(self, personal, player):
        """The changes that a player was told add up to the player's score on this board."""
        score = next((score for _, user, score in self.model.board() if user == player), 0)
        changes, frame = 0, None
        while changes != score or frame is None:
            frame = json.loads(personal.recv(timeout=20))
            if frame["type"] == "user.scoreUpdate":
                changes += frame["data"]["change"]

    def _top(self):
        return [(user, score) for _, user, score in self.model.board()[:10]]

    def _frame(self, client):
        return [(row["user_id"], row["score"]) for row in json.loads(client.recv(timeout=20))["top_scores"]]

    def _post(self, path, body, user, headers):
        return self.service.post(self.prefix + path, body, token=token(user), headers=headers)

    def _get(self, path, headers):
        return self.service.get(self.prefix + path, headers=headers)


@pytest.fixture(scope="module")
def play(run_service, module_database, tmp_path_factory):
    path = tmp_path_factory.mktemp("boards") / "boards.yaml"
    path.write_text(yaml.safe_dump({"boards": FILE}))
    uri, database = module_database
    service = run_service("--boards-file", str(path), "--rate-limit", f"{UPDATES}/60s", uri=uri, database=database)
    clients = [BoardClient(service, name, "" if name == "main" else f"/boards/{name}") for name in BOARDS]
    numbers = count()
    with ThreadPoolExecutor(len(clients)) as threads:

        def play(scripts):
            number = next(numbers)
            playing = [
                threads.submit(client.play, script, number) for client, script in zip(clients, scripts, strict=True)
            ]
            for played in playing:
                played.result()

        yield play


ONE, AGAIN, OTHER = Wanted("a", 5, "x", b"5"), Wanted("a", 5, "x", b"5"), Wanted("a", 7, "x", b"7")


@pytest.mark.timeout(120 + 10 * LONG)
@example(scripts=([ONE, AGAIN, OTHER], [OTHER, ONE, AGAIN], [ONE] * 5))
@examples(20)
@given(scripts=st.tuples(*[st.lists(submits, max_size=6)] * len(BOARDS)))
def test_boards_with_the_same_players_and_ids_each_equal_their_own_model(play, scripts):
    play(scripts)
