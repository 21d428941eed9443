"""docs/signing.md and its examples: the service accepts what they sign, and the page is correct."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.forgery import ec_private_pem, public_pem
from tests.support.project import ROOT
from tests.support.requirements import missing
from tests.support.service import RunningService, token
from tornado_app.auth.keys import KeySet, public_key, secret_key
from tornado_app.auth.proofs import ProofVerifier
from tornado_app.config import SETTINGS

pytestmark = pytest.mark.long

EXAMPLES = ROOT / "docs" / "examples"
KEY = "the-examples-proof-key-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ODD = 'naïve <level> & "quotes" \\ 日本'


def command(name: str) -> list[str]:
    """How an example is run; skips where its tool is missing."""
    path = str(EXAMPLES / name)
    if name.endswith(".py"):
        return [sys.executable, path]
    tool, *words = ["node"] if name.endswith(".mjs") else ["go", "run"]
    found = shutil.which(tool)
    if found is None:
        missing(f"{tool} is not on PATH: install {'Node.js 16' if tool == 'node' else 'Go 1.18'} or newer")
    return [str(found), *words, path]


def run(name: str, *arguments: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    environ.pop("PROOF_KEY", None)
    if key is not None:
        environ["PROOF_KEY"] = key
    return subprocess.run(
        [*command(name), *arguments], capture_output=True, text=True, env=environ, timeout=110, check=False
    )


def sign(name: str, *arguments: str, key: str = KEY) -> str:
    done = run(name, *arguments, key=key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


@pytest.fixture(scope="module", params=["sign_action.py", "sign_action.mjs", "sign_action.go"])
def example(request) -> str:
    command(request.param)
    return request.param


def test_example_signs_what_the_service_accepts(example: str):
    check = ProofVerifier(KeySet([secret_key(KEY)]))
    before = int(time.time())
    proof = check.verify(sign(example, "alice@example.com", ODD, "50", "level-8c1f:~!"))
    assert (proof.player, proof.action_type, proof.points, proof.id) == ("alice@example.com", ODD, 50, "level-8c1f:~!")
    assert before <= proof.issued_at <= time.time()
    assert proof.expires_at - proof.issued_at == 60


def test_example_creates_an_id_if_none_is_given(example: str):
    check = ProofVerifier(KeySet([secret_key(KEY)]))
    ids = {check.verify(sign(example, "alice", "level_complete", "50")).id for _ in range(2)}
    assert len(ids) == 2


def test_example_prints_its_usage(example: str):
    for done in (run(example), run(example, "alice", "level_complete", "50", key=None), run(example, "a", "b", "many")):
        assert done.returncode != 0
        assert not done.stdout
        assert KEY not in done.stderr


def test_example_with_a_private_key_is_accepted_with_its_public_key():
    private = ec_private_pem().decode()
    proof = sign("sign_action_es256.mjs", "alice", ODD, "50", "level-8c1f", key=private)
    checked = ProofVerifier(KeySet([public_key(public_pem(private.encode()))])).verify(proof)
    assert (checked.player, checked.action_type, checked.points, checked.id) == ("alice", ODD, 50, "level-8c1f")


# -- at a running service -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(module_database, tmp_path_factory):
    uri, database = module_database
    service = RunningService(
        "--action-proof", "required", "--auto-register", uri=uri, database=database, env={"LEADERBOARD_PROOF_KEY": KEY}
    )  # fmt: skip
    yield service.start(tmp_path_factory.mktemp("signing") / "log")
    service.close()


def test_example_proof_counts_once(service: RunningService, example: str):
    player = example.replace(".", "-")
    proof = sign(example, player, "boss_defeated", "5000", "level-8c1f")
    who = token(player)
    answers = [
        service.post("/api/score", {"score": 5000}, token=who, headers={"Action-Proof": proof}),
        service.post("/api/score", {"score": 5000}, token=who, headers={"Action-Proof": proof}),
        service.post("/api/v1/score", {"user_id": player, "score_increase": 5000, "proof": proof}, token=who),
        service.post("/api/update-score", token=who, headers={"Action-Proof": proof}),
    ]
    assert [answer.status for answer in answers] == [201, 201, 200, 200]
    assert [answer.headers["Idempotent-Replay"] for answer in answers] == [None, "true", "true", "true"]
    assert service.get(f"/api/v1/players/{player}").json["score"] == 5000


def test_example_proof_is_refused_for_another_player_or_action(service: RunningService):
    proof = sign("sign_action.py", "alice", "level_complete", "50", "level-1")
    for path, body, who in (
        ("/api/score", {"score": 51}, "alice"),
        ("/api/score", {"score": 50}, "mallory"),
        ("/api/update-score", {"action_type": "enemy_defeated"}, "alice"),
        ("/api/scores/update", {"actionId": "level-2", "actionType": "level_complete"}, "alice"),
        ("/api/actions", {"user_id": "alice", "action_id": "level_complete:1"}, "alice"),
    ):
        answer = service.post(path, body, token=token(who), headers={"Action-Proof": proof})
        assert (answer.status, answer.json["error"]) == (403, "invalid_action_proof"), path
    answer = service.post("/api/score", {"score": 50}, token=token("alice"))
    assert (answer.status, answer.json["error"]) == (403, "action_proof_required")
    answer = service.post("/api/score", {"score": 50}, token=token("alice"), headers={"Action-Proof": token("alice")})
    assert (answer.status, answer.json["error"]) == (403, "invalid_action_proof")
    assert service.get("/api/top-scores", token=proof).status == 200
    assert service.get("/api/leaderboard", token=proof).status == 401
    assert service.get("/api/v1/players/alice").status == 404


def test_example_id_identifies_one_action(service: RunningService):
    who = token("bob")
    for points, status in (("50", 201), ("51", 409)):
        proof = sign("sign_action.py", "bob", "level_complete", points, "level-1")
        answer = service.post("/api/score", {"score": int(points)}, token=who, headers={"Action-Proof": proof})
        assert answer.status == status
    assert service.get("/api/v1/players/bob").json["score"] == 50


def test_example_proof_is_accepted_by_every_frontend(service: RunningService):
    requests = {
        "/api/score": {"score": 50},
        "/api/update-score": {"increment": 50, "action_type": "level_complete"},
        "/api/scores/update": {"actionId": "level_complete:3", "actionType": "level_complete"},
        "/api/actions": {"user_id": "carol", "action_id": "level_complete:4"},
        "/api/v1/score": {"user_id": "carol", "score_increase": 50},
    }
    for number, (path, body) in enumerate(requests.items(), 1):
        action_id = f"level_complete:{number}"
        proof = sign("sign_action.py", "carol", "level_complete", "50", action_id)
        headers = {} if path in ("/api/scores/update", "/api/actions") else {"Idempotency-Key": action_id}
        answer = service.post(path, body, token=token("carol"), headers={"Action-Proof": proof, **headers})
        assert answer.status in (200, 201), (path, answer.json)
    assert service.get("/api/v1/players/carol").json["score"] == 250


# -- the page -------------------------------------------------------------------------------------


def test_signing_page_links_and_settings_exist():
    page = (ROOT / "docs" / "signing.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page)
    assert {path.name for path in EXAMPLES.glob("sign_*")} <= {Path(link).name for link in links}
    assert all((ROOT / "docs" / link).is_file() for link in links)
    flags = set(re.findall(r"leaderboard serve (--[a-z-]+)(?: \w+ (--[a-z-]+))?", page))
    known = {setting.flag for setting in SETTINGS}
    assert {flag for pair in flags for flag in pair if flag} <= known
    assert "how-long-an-actions-id-is-remembered" in page
    assert "### How long an action's id is remembered" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_signing_page_claims_equal_those_of_the_examples():
    page = (ROOT / "docs" / "signing.md").read_text(encoding="utf-8")
    claims = re.findall(r"^\| `([a-z]{3})` \| (?!is taken)", page, re.MULTILINE)
    claims.remove("brd")  # left out for the board main
    header, payload, _ = sign("sign_action.py", "alice", "level_complete", "50").split(".")
    assert claims == list(json.loads(_decoded(payload)))
    assert json.loads(_decoded(header))["typ"] in page


def _decoded(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
