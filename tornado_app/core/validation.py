"""Validates a submission: the player, the points, and the action proof."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

import msgspec

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.errors import (
    ActionProofRequired,
    InsufficientScope,
    InvalidActionProof,
    InvalidIncrement,
    UnknownActionType,
    UserMismatch,
    WrongRule,
)
from tornado_app.core.model import Action, Caller, Profile, Scope, Submission, VerifiedProof
from tornado_app.core.policies import DEFAULT_ACTIONS, ProofPolicy


class ProofVerifier(Protocol):
    """Verifies action proofs."""

    def verify_submission(self, submission: Submission, actions: Mapping[str, int], board: str) -> VerifiedProof:
        """The contents of the submission's proof, which must be for the board.

        Raises InvalidActionProof, ExpiredActionProof or UnknownActionType.
        """


class SubmissionValidator:
    """The rules between a request and the store.

    `actions`: points by action type. `max_increment`: maximum points without an action proof. `auto_register`: every
    update creates an unknown player. `proofs` None accepts no proof. `board`: the board of the submissions.
    """

    def __init__(
        self,
        *,
        actions: Mapping[str, int] = DEFAULT_ACTIONS,
        max_increment: int = 1000,
        auto_register: bool = False,
        policy: ProofPolicy = ProofPolicy.OPTIONAL,
        proofs: ProofVerifier | None = None,
        board: Board = MAIN,
    ) -> None:
        self.actions = actions
        self._max_increment = max_increment
        self._auto_register = auto_register
        self._policy = policy
        self._proofs = proofs
        self._board = board

    def validate(self, submission: Submission) -> Action:
        """The action of a submission.

        Raises WrongRule, UserMismatch, UnknownActionType, InvalidIncrement, ActionProofRequired, InvalidActionProof or
        ExpiredActionProof.
        """
        self._check_rule(submission)
        user_id = subject(submission.caller, submission.user_id)
        proven = self._verified_proof(submission)
        if proven is not None:
            value = "points" if submission.score is None else "score"
            submission = msgspec.structs.replace(
                submission, action_id=proven.id, action_type=proven.action_type, **{value: proven.value}
            )
        return self._action(user_id, submission, self._value(submission) if proven is None else proven.value)

    def is_verified(self, submission: Submission) -> bool:
        """Whether a game server is the caller, or an action proof supports the submission."""
        if submission.caller.trusted:
            return True
        return submission.proof is not None and self._policy is not ProofPolicy.OFF

    def _check_rule(self, submission: Submission) -> None:
        board = self._board
        if (submission.score is None) is (board.rule is Rule.SUM):
            return
        if board.rule is Rule.SUM:
            text = f"Board {board.name} adds points: send points, not a score."
        else:
            text = (
                f"Board {board.name} keeps the {board.rule} score: send the score to POST /api/v1/scores, not points."
            )
        raise WrongRule(text, detail=f"board {board.name} has the rule {board.rule}")

    def _action(self, user_id: str, submission: Submission, value: int) -> Action:
        caller = submission.caller
        return Action(
            user_id=user_id,
            value=value,
            id=submission.action_id,
            fingerprint=fingerprint(submission),
            profile=caller.profile if user_id == caller.user_id else Profile(),
            create_player=submission.create_player or self._auto_register,
            type=submission.action_type,
            frontend=submission.frontend,
            caller=caller.user_id,
            metadata=submission.metadata,
        )

    def _verified_proof(self, submission: Submission) -> VerifiedProof | None:
        """The verified proof; None if there is none and none is required."""
        if self._policy is ProofPolicy.OFF or submission.caller.trusted:
            return None
        if submission.proof is None:
            if self._policy is ProofPolicy.REQUIRED:
                raise ActionProofRequired(
                    detail="action_proof is required, the request has no proof, and the token no scope scores:write"
                )
            return None
        if self._proofs is None:
            raise InvalidActionProof(
                "The service has no key to verify action proofs.",
                reason="no_proof_key",
                detail="neither proof_key, proof_key_file nor proof_jwks_file is set",
            )
        return self._proofs.verify_submission(submission, self.actions, self._board.name)

    def _value(self, submission: Submission) -> int:
        """The score, or the points. A score needs no maximum without a proof: the board has bounds."""
        if submission.score is not None:
            return submission.score
        if submission.action_type is not None:
            try:
                return self.actions[submission.action_type]
            except KeyError:
                raise UnknownActionType(
                    f"Unknown action type {submission.action_type!r}: it is not in the service's actions table.",
                    detail=f"{submission.action_type!r} is not one of the {len(self.actions)} types of actions",
                ) from None
        points = submission.default_points if submission.points is None else submission.points
        if points is None:
            raise InvalidIncrement(detail="neither points nor an action type")
        if points > self._max_increment and not submission.caller.trusted:
            raise self._above_increment(points)
        return points

    def _above_increment(self, points: int) -> InvalidIncrement:
        remedy = "" if self._policy is ProofPolicy.OFF else " without an action proof; send one in Action-Proof"
        return InvalidIncrement(
            f"{points} points exceed max_increment, {self._max_increment} points per update{remedy}.",
            reason="max_increment",
            detail=f"{points} points, max_increment {self._max_increment}, action_proof {self._policy}",
        )


def subject(caller: Caller, user_id: str | None) -> str:
    """The player that the caller acts for: the caller, or any player for a game server. Raises UserMismatch."""
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if not caller.trusted:
        raise UserMismatch(
            detail=f"the token is for {caller.user_id!r}, the request for {user_id!r}; {missing(caller, Scope.WRITE)}"
        )
    return user_id


def missing(caller: Caller, scope: Scope) -> str:
    """For the log: the scopes of the token, and the required one."""
    return f"scopes {' '.join(sorted(caller.scopes)) or 'none'}, needs {scope}"


def require(caller: Caller, scope: Scope) -> None:
    """Raises InsufficientScope for a token without the scope."""
    if scope not in caller.scopes:
        raise InsufficientScope(f"A token with the scope {scope} is required.", detail=missing(caller, scope))


def fingerprint(submission: Submission) -> bytes:
    """8 bytes to compare two uses of an action id: equal if they are the same request, through any frontend.

    Points from the actions table are not included: it is the same request after the table changed.
    """
    claimed: int | None
    if submission.score is not None:
        claimed, tabled = submission.score, False
    else:
        claimed = submission.default_points if submission.points is None else submission.points
        tabled = submission.action_type is not None and submission.proof is None
    metadata = () if submission.metadata is None else (submission.metadata,)
    request = msgspec.json.encode((None if tabled else claimed, submission.action_type, *metadata))
    return blake2b(request, digest_size=8).digest()
