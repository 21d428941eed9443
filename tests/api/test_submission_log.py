"""The audit line of a counted update has the data to repeat it after a restore, wherever its id came from."""

import json
from uuid import uuid4

import pytest

from tests.support.frontends import WRITES
from tests.support.service import token
from tornado_app.auth import keys, proofs

SECRET = "proof-key-of-the-audit-lines-0123456789"


@pytest.fixture(scope="module")
def proving(run_service, module_database):
    uri, name = module_database
    return run_service("--auto-register", uri=uri, database=name, env={"LEADERBOARD_PROOF_KEY": SECRET})


@pytest.mark.parametrize("form", [form for form in WRITES if not form.carries_id], ids=lambda form: form.name)
def test_audit_line_of_an_accepted_update_has_id_and_type_of_its_proof(proving, form):
    user = f"u-{uuid4().hex[:12]}"
    key = keys.signing_secret(SECRET)
    proof = proofs.sign_action(key, sub=user, action_type="boss", points=form.points, action_id=f"id-{user}")
    for _ in range(2):
        answer = proving.call(
            form.method, form.path, form.body(user), token=token(user), headers={"Action-Proof": proof}
        )
        assert answer.status in (200, 201)
    lines = [json.loads(line) for line in proving.log.splitlines() if "leaderboard.audit" in line and user in line]
    assert [line["event"] for line in lines] == ["score_accepted", "score_replayed"]
    for line in lines:
        assert (line["action_id"], line["action_type"], line["points"]) == (f"id-{user}", "boss", form.points)
