"""All REST routes of the frontends and of players, and what the path of a WebSocket answers without a handshake."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.frontends.base import BoardEndpoint, Frontend, ScoreEndpoint
from tornado_app.api.rest.boards import BoardHandler
from tornado_app.api.rest.operations import (
    ANY,
    CREDENTIALS,
    LIMITS,
    OPTIONAL,
    PLAYER,
    SCORE,
    VERSION,
    Operation,
    Outcome,
    Tag,
    cached,
    routes,
)
from tornado_app.api.rest.params import ACTION_PROOF, CAPTCHA_TOKEN, CONDITIONS, IDEMPOTENCY_KEY, PERIOD
from tornado_app.api.rest.players import PlayerEndpoints
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.rest.submit import ScoreHandler
from tornado_app.core.errors import DatabaseError, PeriodNotFound, PlayerNotFound
from tornado_app.core.policies import RateLimit
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.errors import WITHOUT_UPGRADE, UpgradeRequired
from tornado_app.http.messages import Endpoint, Request, Response, Route

SOCKET_ARGUMENTS = frozenset({"token", "period"})


def rest_routes(
    frontends: Collection[Frontend],
    scoreboard: Scoreboard,
    authenticator: Authenticator,
    limit: RateLimit,
    recorder: SubmissionRecorder,
    shown: Scoreboard | None = None,
) -> list[Route]:
    """Each path once, with the endpoints of its methods. `shown`: what those frontends read and answer that can show
    one period; by default, `scoreboard`."""

    def handled() -> Iterator[tuple[Operation, Endpoint]]:
        for frontend in frontends:
            board = shown if shown is not None and frontend.shows_period else scoreboard
            for write in frontend.writes:
                handler = ScoreHandler(frontend, write, board, authenticator, limit, recorder)
                yield score_operation(frontend, write), handler
            for read in frontend.reads:
                yield board_operation(frontend, read), BoardHandler(read, board, authenticator)

    sockets = [path for frontend in frontends for path, _ in frontend.sockets]
    return [
        *routes(handled()),
        *(Route(path, {"GET": _upgrade_required}, SOCKET_ARGUMENTS) for path in sockets),
        *PlayerEndpoints(scoreboard, authenticator).routes(),
    ]


def operations_of_frontend(frontend: Frontend) -> list[Operation]:
    """The operations on the paths of a frontend."""
    return [
        *(score_operation(frontend, write) for write in frontend.writes),
        *(board_operation(frontend, read) for read in frontend.reads),
        *(socket_operation(frontend, path) for path, _ in frontend.sockets),
    ]


def tag(frontend: Frontend) -> Tag:
    """The group of a frontend's operations."""
    live = " and ".join(f"`{path}`" for path, _ in frontend.sockets)
    text = f"Live: {live}." if live else "It has no WebSocket of its own; `/ws/scoreboard` has the same board."
    return Tag(f"API {frontend.name}", text, frontend.name)


def score_operation(frontend: Frontend, write: ScoreEndpoint) -> Operation:
    """A score update."""
    headers = (*LIMITS, VERSION)
    outcomes = {200: Outcome("The points were added.", write.answer, (*headers, "Idempotent-Replay"))}
    if write.created is not None:
        outcomes[201] = Outcome("The player was created, with these points.", write.created, headers)
    proofs = (ACTION_PROOF, CAPTCHA_TOKEN)
    return Operation(
        method=write.method,
        path=write.path,
        tag=tag(frontend),
        summary=write.summary,
        outcomes=outcomes,
        errors=SCORE if write.creates else (*SCORE, PlayerNotFound),
        access=PLAYER,
        parameters=(IDEMPOTENCY_KEY, *proofs) if write.idempotency_key else proofs,
        body=write.body,
        body_required=not write.optional_body,
        limited=True,
    )


def board_operation(frontend: Frontend, read: BoardEndpoint) -> Operation:
    """A read of the board. With a token it can be personal."""
    operation = Operation(
        method="GET",
        path=read.path,
        tag=tag(frontend),
        summary=read.summary,
        outcomes=cached(read.answer, VERSION),
        errors=(*ANY, PeriodNotFound, DatabaseError),
        parameters=(PERIOD, *CONDITIONS),
    )
    if read.personal is None:
        return operation
    return msgspec.structs.replace(operation, errors=(*operation.errors, *CREDENTIALS), access=OPTIONAL)


def socket_operation(frontend: Frontend, path: str) -> Operation:
    """The handshake of a WebSocket."""
    return Operation(
        method="GET",
        path=path,
        tag=tag(frontend),
        summary="Open a WebSocket that sends the top 10; x-websockets describes it.",
        outcomes={101: Outcome("The WebSocket is open.", upgrades=True)},
        errors=(*ANY, PeriodNotFound, UpgradeRequired),
        access=OPTIONAL,
        parameters=(PERIOD,),
    )


def _upgrade_required(request: Request) -> Response:
    if "Sec-WebSocket-Key" in request.headers:
        raise UpgradeRequired(WITHOUT_UPGRADE, reason="no_upgrade_header", detail="the handshake has no Upgrade")
    raise UpgradeRequired
