"""What is kept of each submission: counters, an audit line, and the eye of the rules of suspicion."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tornado_app.api.http import Request
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Caller, Receipt, Submission
from tornado_app.core.suspicion import Rule, Suspicion
from tornado_app.observability.metrics import Metrics

audit = logging.getLogger("leaderboard.audit")


class Record:
    """Told of every submission. `suspect` is called with a player who broke a rule."""

    def __init__(self, metrics: Metrics, suspicion: Suspicion, suspect: Callable[[str, Rule], None]) -> None:
        self._metrics = metrics
        self._suspicion = suspicion
        self._suspect_player = suspect
        for rule in Rule:
            metrics.suspicious.labels(rule)

    def accepted(self, request: Request, submission: Submission, receipt: Receipt) -> None:
        """It was counted, now or before."""
        result = "replayed" if receipt.replayed else "accepted"
        self._metrics.submissions.labels(submission.face, result).inc()
        if receipt.replayed:
            rule = self._suspicion.replayed(receipt.user_id)
        else:
            self._metrics.points.labels(submission.face).inc(receipt.points)
            rule = self._suspicion.accepted(receipt.user_id, receipt.points)
        known = {"player": receipt.user_id, "points": receipt.points, "score": receipt.score}
        audit.info(f"score update {result}", extra={**_asked(request, submission), **known})
        if rule is not None:
            self._suspect(receipt.user_id, rule)

    def refused(
        self,
        face: str,
        request: Request,
        caller: Caller | None,
        submission: Submission | None,
        refusal: LeaderboardError,
    ) -> None:
        """It was refused; `submission` is None where it could not even be read."""
        self._metrics.submissions.labels(face, refusal.code).inc()
        fields: dict[str, object] = {"face": face, "caller": caller and caller.user_id, "remote": request.remote}
        if submission is not None:
            fields = _asked(request, submission)
        audit.info("score update refused", extra={**fields, "error": refusal.code})
        if caller is not None and not caller.trusted:
            rule = self._suspicion.refused(caller.user_id, refusal)
            if rule is not None:
                self._suspect(caller.user_id, rule)

    def _suspect(self, player: str, rule: Rule) -> None:
        self._metrics.suspicious.labels(rule).inc()
        audit.warning("suspicious player", extra={"player": player, "rule": rule.value})
        self._suspect_player(player, rule)


def _asked(request: Request, submission: Submission) -> dict[str, object]:
    """What the request says of itself, for the audit line; what it leaves out is left out."""
    caller = submission.caller.user_id
    asked = {
        "face": submission.face,
        "caller": caller,
        "player": submission.user_id or caller,
        "points": submission.points,
        "action_id": submission.action_id,
        "action_type": submission.action_type,
        "remote": request.remote,
    }
    return {name: value for name, value in asked.items() if value is not None}
