"""Validation of submissions."""

import pytest

from tornado_app.core.boards import Board, Rule
from tornado_app.core.errors import (
    ActionProofRequired,
    InvalidActionProof,
    InvalidIncrement,
    UnknownActionType,
    UserMismatch,
    WrongRule,
)
from tornado_app.core.model import Caller, Profile, Scope, Submission, VerifiedProof
from tornado_app.core.policies import ProofPolicy
from tornado_app.core.validation import SubmissionValidator, fingerprint, missing

ALICE = Caller("alice", 0, Profile("Alice"))
SERVER = Caller("server", 0, Profile("Server"), frozenset({"scores:write"}))


class FakeProofs:
    """Verifies every proof except `bad`, with 7 points."""

    def verify_submission(self, submission, actions, board):
        if submission.proof == "bad":
            raise InvalidActionProof
        return VerifiedProof("proof-id", "boss_beaten", 7)


def validator(policy=ProofPolicy.OPTIONAL, **options):
    return SubmissionValidator(
        actions={"level": 50, "huge": 5000}, max_increment=1000, policy=policy, proofs=FakeProofs(), **options
    )


def validate(caller=ALICE, policy=ProofPolicy.OPTIONAL, **request):
    return validator(policy).validate(Submission(caller, **request))


def test_points_come_from_the_request_the_action_table_or_the_default():
    assert validate(points=5).value == 5
    assert validate(points=5, action_type="level").value == 50
    assert validate(default_points=1).value == 1
    assert validate(action_type="huge").value == 5000  # the points of the action table are not bounded


def test_unverified_points_are_bounded():
    assert validate(points=1000).value == 1000
    with pytest.raises(InvalidIncrement):
        validate(points=1001)
    assert validate(SERVER, points=10**9).value == 10**9


KART = Board("kart", Rule.BEST)


def test_score_has_no_maximum_without_a_proof():
    assert validator(board=KART).validate(Submission(ALICE, score=83_123)).value == 83_123


@pytest.mark.parametrize("request_", [{"points": 5}, {"action_type": "level"}, {"default_points": 1}])
def test_points_for_a_board_of_another_rule_are_refused(request_):
    with pytest.raises(WrongRule, match="POST /api/v1/scores"):
        validator(board=KART).validate(Submission(ALICE, **request_))


def test_score_for_a_board_that_adds_points_is_refused():
    with pytest.raises(WrongRule, match="send points"):
        validate(score=5)


def test_fingerprint_of_a_score_has_the_score():
    assert fingerprint(Submission(ALICE, score=5)) != fingerprint(Submission(ALICE, score=6))
    typed = Submission(ALICE, score=5, action_type="race")
    assert fingerprint(typed) not in (
        fingerprint(Submission(ALICE, score=6, action_type="race")),
        fingerprint(Submission(ALICE, score=5)),
    )


@pytest.mark.parametrize("request_", [{}, {"points": None}])
def test_submission_without_points_is_refused(request_):
    with pytest.raises(InvalidIncrement):
        validate(**request_)


def test_unknown_action_type_is_refused():
    with pytest.raises(UnknownActionType):
        validate(action_type="no_such")


def test_user_id_of_another_player_is_refused_except_for_a_game_server():
    assert validate(points=1, user_id="alice").user_id == "alice"
    with pytest.raises(UserMismatch):
        validate(points=1, user_id="bob")
    action = validate(SERVER, points=1, user_id="bob")
    assert (action.user_id, action.caller, action.profile) == ("bob", "server", Profile())


def test_required_proof_is_required_of_players_and_not_of_game_servers():
    with pytest.raises(ActionProofRequired):
        validate(policy=ProofPolicy.REQUIRED, points=1)
    assert validate(SERVER, ProofPolicy.REQUIRED, points=5000).value == 5000


@pytest.mark.parametrize("policy", [ProofPolicy.REQUIRED, ProofPolicy.OPTIONAL])
def test_proof_sets_the_action(policy):
    action = validate(policy=policy, proof="good", default_points=1)
    assert (action.id, action.type, action.value) == ("proof-id", "boss_beaten", 7)
    with pytest.raises(InvalidActionProof):
        validate(policy=policy, proof="bad", points=1)


def test_proof_is_ignored_when_proofs_are_off():
    assert validate(policy=ProofPolicy.OFF, proof="bad", points=5).id is None


def test_proof_without_a_proof_key_is_refused():
    with pytest.raises(InvalidActionProof):
        SubmissionValidator().validate(Submission(ALICE, points=1, proof="good"))


def test_auto_register_creates_players_for_every_submission():
    assert not validate(points=1).create_player
    assert validator(auto_register=True).validate(Submission(ALICE, points=1)).create_player


def test_fingerprint_is_the_same_through_every_frontend():
    same = [
        Submission(ALICE, points=1, frontend="A"),
        Submission(ALICE, default_points=1, frontend="B", create_player=True),
    ]
    assert len({fingerprint(s) for s in same}) == 1
    table = [Submission(ALICE, action_type="level", points=p) for p in (None, 1)]
    assert len({fingerprint(s) for s in table}) == 1
    others = [*same, *table, Submission(ALICE, points=2), Submission(ALICE, action_type="huge")]
    assert len({fingerprint(s) for s in others}) == 4


def test_fingerprint_of_a_proven_action_includes_its_points():
    proven = [Submission(ALICE, action_type="level", points=points, proof="good") for points in (1, 2)]
    assert len({fingerprint(submission) for submission in proven}) == 2


@pytest.mark.parametrize(
    ("submission", "policy", "verified"),
    [
        (Submission(SERVER), ProofPolicy.OFF, True),
        (Submission(ALICE), ProofPolicy.OPTIONAL, False),
        (Submission(ALICE, proof="good"), ProofPolicy.OPTIONAL, True),
        (Submission(ALICE, proof="good"), ProofPolicy.OFF, False),
    ],
)
def test_submission_is_verified_by_a_game_server_or_a_proof_that_is_read(submission, policy, verified):
    assert validator(policy).is_verified(submission) is verified


@pytest.mark.parametrize(("policy", "remedy"), [(ProofPolicy.OPTIONAL, True), (ProofPolicy.OFF, False)])
def test_refusal_of_large_points_names_a_proof_only_where_one_helps(policy, remedy):
    with pytest.raises(InvalidIncrement) as refusal:
        validate(policy=policy, points=1001)
    assert "max_increment, 1000 points per update" in refusal.value.text
    assert ("Action-Proof" in refusal.value.text) is remedy


def test_missing_scope_is_named_with_the_scopes_of_the_token():
    assert missing(ALICE, Scope.WRITE) == "scopes none, needs scores:write"
    caller = Caller("mod", 0, scopes=frozenset({"b", "a"}))
    assert missing(caller, Scope.ADMIN) == "scopes a b, needs leaderboard:admin"
