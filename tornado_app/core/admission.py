"""What a submission must be to become an action: who may, for how many points, and who vouches for it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

import msgspec

from tornado_app.core.errors import (
    ActionProofRequired,
    InvalidActionProof,
    InvalidIncrement,
    UnknownActionType,
    UserMismatch,
)
from tornado_app.core.model import Action, Caller, Profile, Submission, Vouched
from tornado_app.core.policies import DEFAULT_ACTIONS, ProofPolicy


class Proofs(Protocol):
    """Who checks action proofs."""

    def vouch(self, submission: Submission, actions: Mapping[str, int]) -> Vouched:
        """What the submission's proof says. Raises InvalidActionProof, ExpiredActionProof or UnknownActionType."""


class Admission:
    """The rules between a request and the store.

    `actions`: points by action type. `max_increment`: the most points that nothing but the player's token vouches for.
    `auto_register`: an unknown player is made wherever one scores. `proofs` None accepts no proof at all.
    """

    def __init__(
        self,
        *,
        actions: Mapping[str, int] = DEFAULT_ACTIONS,
        max_increment: int = 1000,
        auto_register: bool = False,
        policy: ProofPolicy = ProofPolicy.OPTIONAL,
        proofs: Proofs | None = None,
    ) -> None:
        self.actions = actions
        self._max_increment = max_increment
        self._auto_register = auto_register
        self._policy = policy
        self._proofs = proofs

    def admit(self, submission: Submission) -> Action:
        """The action that a submission may become.

        Raises UserMismatch, UnknownActionType, InvalidIncrement, ActionProofRequired, InvalidActionProof or
        ExpiredActionProof.
        """
        user_id = subject(submission.caller, submission.user_id)
        vouched = self._vouched(submission)
        if vouched is not None:
            submission = msgspec.structs.replace(
                submission, action_id=vouched.id, action_type=vouched.action_type, points=vouched.points
            )
        return self._action(user_id, submission, self._points(submission) if vouched is None else vouched.points)

    def vouches(self, submission: Submission) -> bool:
        """Whether something better than the player's own word stands behind a submission that was admitted."""
        if submission.caller.trusted:
            return True
        return submission.proof is not None and self._policy is not ProofPolicy.OFF

    def _action(self, user_id: str, submission: Submission, points: int) -> Action:
        caller = submission.caller
        return Action(
            user_id=user_id,
            points=points,
            id=submission.action_id,
            fingerprint=fingerprint(submission),
            profile=caller.profile if user_id == caller.user_id else Profile(),
            create=submission.create or self._auto_register,
            type=submission.action_type,
            face=submission.face,
            caller=caller.user_id,
        )

    def _vouched(self, submission: Submission) -> Vouched | None:
        """What the game server's proof says; None where none is needed."""
        if self._policy is ProofPolicy.OFF or submission.caller.trusted:
            return None
        if submission.proof is None:
            if self._policy is ProofPolicy.REQUIRED:
                raise ActionProofRequired
            return None
        if self._proofs is None:
            raise InvalidActionProof("This service has no key to check action proofs with.")
        return self._proofs.vouch(submission, self.actions)

    def _points(self, submission: Submission) -> int:
        if submission.action_type is not None:
            try:
                return self.actions[submission.action_type]
            except KeyError:
                raise UnknownActionType from None
        points = submission.fallback if submission.points is None else submission.points
        if points is None:
            raise InvalidIncrement
        if points > self._max_increment and not submission.caller.trusted:
            raise InvalidIncrement(f"At most {self._max_increment} points can be added at once.")
        return points


def subject(caller: Caller, user_id: str | None) -> str:
    """The player that a caller may act for: oneself, or anybody for a game server. Raises UserMismatch."""
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if not caller.trusted:
        raise UserMismatch
    return user_id


def fingerprint(submission: Submission) -> bytes:
    """8 bytes that tell whether two uses of an action id are the same request, through whichever front end.

    Points that the table gives are no part of it: it is the same request after the table changed.
    """
    claimed = submission.fallback if submission.points is None else submission.points
    tabled = submission.action_type is not None and submission.proof is None
    request = msgspec.json.encode((None if tabled else claimed, submission.action_type))
    return blake2b(request, digest_size=8).digest()
