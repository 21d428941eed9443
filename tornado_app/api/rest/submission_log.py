"""Records each submission: in metrics, in the audit log, and for the abuse rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

from prometheus_client import Counter

from tornado_app.core.abuse import AbuseDetector, AbuseRule
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Caller, Receipt, Registration, Submission
from tornado_app.http.messages import Request
from tornado_app.http.request_log import cause
from tornado_app.observability.metrics import Metrics

audit = logging.getLogger("leaderboard.audit")


class SubmissionRecorder:
    """Records every submission to a board. `on_abuse` is called with a player and the abuse rule that matched."""

    def __init__(
        self,
        metrics: Metrics,
        detector: AbuseDetector,
        on_abuse: Callable[[str, AbuseRule], None],
        board: str = MAIN.name,
    ) -> None:
        self._metrics = metrics
        self._submissions: dict[tuple[str, str], Counter] = {}
        self._points: dict[str, Counter] = {}
        self._detector = detector
        self._on_abuse = on_abuse
        self._board: dict[str, object] = {} if board == MAIN.name else {"board": board}
        self._key: Callable[[str], Hashable] = str if board == MAIN.name else lambda player: (board, player)

    def accepted(self, request: Request, submission: Submission, receipt: Receipt) -> None:
        """Record an update that was accepted, now or before."""
        result = "replayed" if receipt.replayed else "accepted"
        self._count(submission.frontend, result)
        if receipt.replayed:
            rule = self._detector.replayed(self._key(receipt.user_id))
        else:
            rule = None
            if receipt.submitted is None:  # what a submitted score adds says little, and may be negative
                self._add(submission.frontend, receipt.points)
                rule = self._detector.accepted(self._key(receipt.user_id), receipt.points)
        fields = {**self._board, **_asked(request, submission), **_counted(receipt)}
        _audit(f"score update {result}", {"event": f"score_{result}", **fields})
        if rule is not None:
            self._report(receipt.user_id, rule)

    def refused(
        self,
        frontend: str,
        request: Request,
        caller: Caller | None,
        submission: Submission | None,
        refusal: LeaderboardError,
    ) -> None:
        """Record an update that was refused. `submission`: None if the request could not be parsed."""
        self._count(frontend, refusal.code)
        fields: dict[str, object] = {
            "frontend": frontend,
            "caller": caller and caller.user_id,
            "remote": request.remote,
        }
        if submission is not None:
            fields = _asked(request, submission)
        _audit("score update refused", {"event": "score_refused", **self._board, **fields, **cause(refusal)})
        if caller is not None and not caller.trusted:
            rule = self._detector.refused(self._key(caller.user_id), refusal)
            if rule is not None:
                self._report(caller.user_id, rule)

    def unread(self, frontend: str, code: str) -> None:
        """Count an update that was refused before authentication. It has no audit line, as there may be thousands."""
        self._count(frontend, code)

    def _count(self, frontend: str, result: str) -> None:
        counter = self._submissions.get((frontend, result))
        if counter is None:
            counter = self._submissions[frontend, result] = self._metrics.submissions.labels(frontend, result)
        counter.inc()

    def _add(self, frontend: str, points: int) -> None:
        counter = self._points.get(frontend)
        if counter is None:
            counter = self._points[frontend] = self._metrics.points.labels(frontend)
        counter.inc(points)

    def _report(self, player: str, rule: AbuseRule) -> None:
        self._metrics.abuse_reports.labels(rule).inc()
        fields = {**self._board, "player": player, "rule": rule.value}
        audit.warning("suspicious player", extra={"event": "abuse_report", **fields})
        self._on_abuse(player, rule)


def profile_changed(request: Request, caller: Caller, done: Registration) -> None:
    """Log a player who was created, or whose profile changed. A request that changes nothing is not logged."""
    if done.created or done.changed:
        fields = _profile(request, caller, done.player.user_id)
        changed = {"new_player": done.created, "changed": list(done.changed)}
        _audit("profile changed", {"event": "profile_changed", **fields, **changed})


def profile_refused(request: Request, caller: Caller, user_id: str, refusal: LeaderboardError) -> None:
    _audit(
        "profile change refused", {"event": "profile_refused", **_profile(request, caller, user_id), **cause(refusal)}
    )


def _profile(request: Request, caller: Caller, user_id: str) -> dict[str, object]:
    return {"caller": caller.user_id, "player": user_id, "remote": request.remote}


def _audit(message: str, fields: dict[str, object]) -> None:
    """`audit.info` without its search for the caller's line of code, which the log does not show."""
    if audit.isEnabledFor(logging.INFO):
        audit.handle(audit.makeRecord(audit.name, logging.INFO, __file__, 0, message, (), None, extra=fields))


def _counted(receipt: Receipt) -> dict[str, object]:
    """The fields of an accepted update. Id and type may be those of the action proof."""
    counted = {
        "player": receipt.user_id,
        "points": receipt.points,
        "score": receipt.score,
        "submitted": receipt.submitted,
        "action_id": receipt.action_id,
        "action_type": receipt.action_type,
    }
    return {name: value for name, value in counted.items() if value is not None}


def _asked(request: Request, submission: Submission) -> dict[str, object]:
    """The fields of a request; those that it does not have are omitted."""
    caller = submission.caller.user_id
    asked = {
        "frontend": submission.frontend,
        "caller": caller,
        "player": submission.user_id or caller,
        "points": submission.points,
        "submitted": submission.score,
        "action_id": submission.action_id,
        "action_type": submission.action_type,
        "remote": request.remote,
    }
    return {name: value for name, value in asked.items() if value is not None}
