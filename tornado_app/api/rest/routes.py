"""All REST routes of the API: the frontends' and the players', and what a socket's path says without a handshake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from tornado_app.api.authentication import Authenticator
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.boards import BoardHandler
from tornado_app.api.rest.players import PlayerEndpoints
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.rest.submit import ScoreHandler
from tornado_app.core.policies import RateLimit
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.errors import WITHOUT_UPGRADE, UpgradeRequired
from tornado_app.http.messages import Endpoint, Request, Response, Route

SOCKET_ARGUMENTS = frozenset({"token"})


def rest_routes(
    frontends: Collection[Frontend],
    scoreboard: Scoreboard,
    authenticator: Authenticator,
    limit: RateLimit,
    recorder: SubmissionRecorder,
) -> list[Route]:
    """Each path once, with what answers its methods."""
    methods: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for frontend in frontends:
        for write in frontend.writes:
            methods[write.path][write.method] = ScoreHandler(
                frontend, write, scoreboard, authenticator, limit, recorder
            )
        for read in frontend.reads:
            methods[read.path]["GET"] = BoardHandler(read, scoreboard, authenticator)
        for path, _ in frontend.sockets:
            methods[path]["GET"] = _upgrade_required
    sockets = {path for frontend in frontends for path, _ in frontend.sockets}
    routes = [
        Route(path, endpoints, SOCKET_ARGUMENTS if path in sockets else frozenset())
        for path, endpoints in methods.items()
    ]
    return routes + PlayerEndpoints(scoreboard, authenticator).routes()


def _upgrade_required(request: Request) -> Response:
    if "Sec-WebSocket-Key" in request.headers:
        raise UpgradeRequired(WITHOUT_UPGRADE, reason="no_upgrade_header", detail="the handshake has no Upgrade")
    raise UpgradeRequired
