"""Periods of a board: their epochs, and the results of those that are over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import format_datetime
from typing import Annotated, Protocol

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.board_routes import period_not_found
from tornado_app.api.rest.moderation import NO_STORE, Reason, record, refusals
from tornado_app.api.rest.operations import (
    ANY,
    BODY,
    CREDENTIALS,
    MODERATOR,
    Operation,
    Outcome,
    Parameter,
    Tag,
    cached,
    handles,
    routes_of,
)
from tornado_app.api.rest.params import IF_NONE_MATCH, USER_ID, int_query_param, path_user_id
from tornado_app.api.schema import TIME, AvatarUrl, Decoder, Name, PlayerId, Rank, Score, Time
from tornado_app.core import identity
from tornado_app.core.boards import Board, View
from tornado_app.core.errors import (
    DatabaseError,
    InsufficientScope,
    PeriodNotFound,
    PlayerNotFound,
    ResultFinal,
    ResultNotFinal,
)
from tornado_app.core.model import Place, Scope, rfc3339, utc_datetime
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.periods import Cron, Epoch, EpochState, Every, Period
from tornado_app.core.text import integer
from tornado_app.core.validation import require
from tornado_app.http.conditional import PUBLIC, json_response
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

PAGE, MAX_PAGE = 50, 200
MAX_NUMBER = 2**31 - 1

TAG = Tag("Periods", "The periods of a board, such as weeks, and the results of those that are over.")

PeriodName = Annotated[str, msgspec.Meta(description="Name of the period.")]


class Schedule(msgspec.Struct, omit_defaults=True):
    """When epochs end: five fields of cron, or an interval from a local time on."""

    time_zone: str
    cron: str | None = None
    every: str | None = None
    start: str | None = msgspec.field(name="from", default=None)


class EpochRow(msgspec.Struct):
    """An epoch. A `planned` one has not begun; a `closing` one is over, and its result not final. The result of a
    `sealed` one is final, that of a `dropped` one removed; `rows` and `sha256` are those of the result. They are null
    if a `dropped` one never had a result, as enough newer ones were made at the same time. After the
    erasure of a player, `sha256` is null for some seconds."""

    epoch: Annotated[int, msgspec.Meta(ge=1, description="Number of the epoch; the first is 1.")]
    state: Annotated[str, msgspec.Meta(description="One of planned, open, closing, sealed and dropped.")]
    start: Time
    end: Annotated[Time | None, msgspec.Meta(description="Null while it is not known.")]
    rows: int | None
    sha256: str | None
    sealed_at: Time | None
    erased: Annotated[int, msgspec.Meta(ge=0, description="Number of rows that erasures of players removed.")]


class PeriodRow(msgspec.Struct):
    """A period. `schedule` is null if epochs are ended by hand. `previous`: the newest epoch that is over."""

    name: PeriodName
    schedule: Schedule | None
    keep: Annotated[int, msgspec.Meta(description="Number of results that are kept.")]
    review: Annotated[float, msgspec.Meta(description="Seconds after an end in which moderation changes the result.")]
    current: EpochRow | None
    previous: EpochRow | None


class PeriodList(msgspec.Struct):
    """The periods of a board. The header `Date` has the time of the database, with which their ends compare."""

    periods: list[PeriodRow]
    shows: Annotated[str | None, msgspec.Meta(description="The period that APIs A to E read; null: all time.")]


class ResultRow(msgspec.Struct):
    """A row of a result. `place` is its number, also where ranks are equal; an erased player leaves a gap."""

    place: Annotated[int, msgspec.Meta(ge=1)]
    rank: Rank
    user_id: PlayerId
    username: Name
    avatar_url: AvatarUrl | None
    score: Score
    updated_at: Time


class ResultPage(msgspec.Struct):
    """A page of a result."""

    epoch: EpochRow
    players: list[ResultRow]
    next: Annotated[int | None, msgspec.Meta(description="Value of `after` for the next page; null on the last page.")]


class End(msgspec.Struct):
    """The epoch that ends now."""

    period: PeriodName
    epoch: EpochRow


class Disqualification(msgspec.Struct, omit_defaults=True):
    """The player to leave out of the result, and the reason."""

    user_id: PlayerId
    reason: Reason
    disqualified: Annotated[bool, msgspec.Meta(description="False takes it back.")] = True


class Disqualified(msgspec.Struct):
    """Whether the player is disqualified after the request. `changed`: whether the request changed it."""

    period: PeriodName
    epoch: int
    user_id: PlayerId
    disqualified: bool
    changed: bool


class Periods(Protocol):
    """The epochs of all boards, and their results. The methods raise DatabaseError."""

    def now(self) -> int:
        """The time of the database, in milliseconds since the epoch of Unix."""

    def epochs(self, view: View) -> Sequence[Epoch]:
        """Those that are not dropped, oldest first."""

    async def epoch(self, view: View, number: int) -> Epoch | None:
        """An epoch of any state."""

    async def end_now(self, view: View) -> Epoch:
        """End the open epoch in some seconds; returns it with its end."""

    async def disqualify(self, view: View, number: int, case: ModerationRequest, *, disqualified: bool) -> bool:
        """Leave a player out of a result, or take that back; whether it changed anything. Raises ResultFinal."""

    async def page(self, view: View, number: int, *, after: int, limit: int) -> list[Place]:
        """Up to `limit` rows of a result after a place, in their order."""

    async def player(self, view: View, number: int, user_id: str) -> Place | None:
        """A player's row of a result."""


_PERIOD = Parameter(key="period_name", name="period", place="path", description="Name of the period.", example="weekly")
_EPOCH = Parameter(
    name="epoch",
    place="path",
    description="Number of the epoch, or `previous`: the newest epoch that is over.",
    pattern="^([1-9][0-9]{0,9}|previous)$",
    example="previous",
)
_LIMIT = Parameter(
    key="result_limit",
    name="limit",
    place="query",
    description="Maximum number of players on a page.",
    maximum=MAX_PAGE,
    default=PAGE,
)
_AFTER = Parameter(
    key="result_after",
    name="after",
    place="query",
    description="The previous page's `next`. Without it, the response is the first page.",
    maximum=MAX_NUMBER,
)
_SEALED = EpochRow(
    14, "sealed", TIME, TIME, 2, "3a56f1c07e0d2b9a4c8e6f5d1b3a29708c4e6d5f7a8b9c0d1e2f3a4b5c6d7e8f", TIME, 0
)
_OPEN = EpochRow(15, "open", TIME, TIME, None, None, None, 0)
_ROW = ResultRow(1, 1, "alice", "Alice", None, 171, TIME)
_FOUND = (*ANY, PeriodNotFound, DatabaseError)


class PeriodEndpoints:
    """The endpoints under `/api/v1/periods` of one board; `board` returns its definition."""

    def __init__(self, board: Callable[[], Board], periods: Periods, authenticator: Authenticator) -> None:
        self._board = board
        self._periods = periods
        self._authenticator = authenticator
        self._disqualification = Decoder(Disqualification)

    def routes(self) -> list[Route]:
        return routes_of(self)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/periods",
            tag=TAG,
            summary="List the periods of the board, each with its open epoch and the one before.",
            outcomes=cached(
                PeriodList(
                    [PeriodRow("weekly", Schedule("Europe/Berlin", "0 0 * * MON"), 12, 3600.0, _OPEN, _SEALED)], None
                )
            ),
            errors=(*ANY, DatabaseError),
            parameters=(IF_NONE_MATCH,),
        )
    )
    def get_all(self, request: Request) -> Response:
        board = self._board()
        now = self._periods.now() if board.periods else 0
        rows = [self._period(period, now) for period in board.periods]
        body = msgspec.json.encode(PeriodList(rows, board.shows))
        date = [("Date", format_datetime(utc_datetime(now), usegmt=True))] if rows else []
        return json_response(request, body, PUBLIC, *date)

    def _period(self, period: Period, now: int) -> PeriodRow:
        epochs = self._periods.epochs(View(self._board().name, period.name))
        begun = [epoch for epoch in epochs if epoch.start <= now]
        current = next((epoch for epoch in begun if not _is_over(epoch, now)), None)
        previous = next((epoch for epoch in reversed(begun) if _is_over(epoch, now)), None)
        return PeriodRow(
            period.name,
            _schedule(period),
            period.keep,
            period.review,
            None if current is None else _row(current, now),
            None if previous is None else _row(previous, now),
        )

    @handles(
        Operation(
            method="GET",
            path="/api/v1/periods/{period}/{epoch}",
            tag=TAG,
            noun="epoch",
            summary="Return one epoch of a period.",
            outcomes=cached(_SEALED),
            errors=_FOUND,
            parameters=(_PERIOD, _EPOCH, IF_NONE_MATCH),
        )
    )
    async def get(self, request: Request) -> Response:
        _, epoch = await self._epoch(request)
        return json_response(request, msgspec.json.encode(_row(epoch, self._periods.now())), PUBLIC)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/periods/{period}/{epoch}/leaderboard",
            tag=TAG,
            summary="Return the result of an epoch, page by page.",
            outcomes=cached(ResultPage(_SEALED, [_ROW], None)),
            errors=(*_FOUND, ResultNotFinal),
            parameters=(_PERIOD, _EPOCH, _LIMIT, _AFTER, IF_NONE_MATCH),
        )
    )
    async def page(self, request: Request) -> Response:
        limit = int_query_param(request, "limit", PAGE, MAX_PAGE)
        after = int_query_param(request, "after", None, MAX_NUMBER) or 0
        view, epoch = await self._sealed(request)
        places = await self._periods.page(view, epoch.number, after=after, limit=limit + 1)
        more, places = len(places) > limit, places[:limit]
        page = ResultPage(
            _row(epoch, self._periods.now()), list(map(_result, places)), places[-1].number if more else None
        )
        return json_response(request, msgspec.json.encode(page), PUBLIC)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/periods/{period}/{epoch}/players/{user_id}",
            tag=TAG,
            summary="Return a player's row of a result.",
            outcomes=cached(_ROW),
            errors=(*_FOUND, PlayerNotFound, ResultNotFinal),
            parameters=(_PERIOD, _EPOCH, USER_ID, IF_NONE_MATCH),
        )
    )
    async def player(self, request: Request) -> Response:
        user_id = path_user_id(request)
        view, epoch = await self._sealed(request)
        place = await self._periods.player(view, epoch.number, user_id)
        if place is None:
            raise PlayerNotFound("The player is not in this result.")
        return json_response(request, msgspec.json.encode(_result(place)), PUBLIC)

    @handles(
        Operation(
            method="POST",
            path="/api/v1/admin/periods/{period}/end",
            tag=TAG,
            summary="End the open epoch of a period, in some seconds; the next one begins.",
            outcomes={200: Outcome("The epoch, with its end.", End("weekly", _OPEN), ("Cache-Control",))},
            errors=(*_FOUND, *CREDENTIALS, InsufficientScope),
            access=MODERATOR,
            parameters=(_PERIOD,),
        )
    )
    async def end(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals("end_period", request, caller):
            require(caller, Scope.ADMIN)
            view = self._view(request)
            epoch = await self._periods.end_now(view)
        record("end_period", caller, board=view.board, period=view.period, epoch=epoch.number)
        body = End(view.period or "", _row(epoch, self._periods.now()))
        return Response(200, msgspec.json.encode(body), (JSON_TYPE, NO_STORE))

    @handles(
        Operation(
            method="POST",
            path="/api/v1/admin/periods/{period}/{epoch}/disqualify",
            tag=TAG,
            summary="Leave a player out of the result of an epoch that is not final; all-time and other epochs stay.",
            outcomes={
                200: Outcome(
                    "The player's state after the request.",
                    Disqualified("weekly", 15, "mallory", True, True),  # noqa: FBT003
                    ("Cache-Control",),
                )
            },
            errors=(*_FOUND, *CREDENTIALS, *BODY, InsufficientScope, PlayerNotFound, ResultFinal),
            access=MODERATOR,
            parameters=(_PERIOD, _EPOCH),
            body=Disqualification("mallory", "Speed hack"),
        )
    )
    async def disqualify(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals("disqualify", request, caller):
            require(caller, Scope.ADMIN)
            body = self._disqualification(request)
            view, epoch = await self._epoch(request)
            if not identity.is_user_id(body.user_id):
                raise PlayerNotFound(reason="no_user_id", detail="the body does not contain a valid user id")
            case = ModerationRequest(body.user_id, caller.user_id, body.reason)
            changed = await self._periods.disqualify(view, epoch.number, case, disqualified=body.disqualified)
        fields = {"board": view.board, "period": view.period, "epoch": epoch.number, "changed": changed}
        verb = "disqualify" if body.disqualified else "requalify"
        record(verb, caller, player=body.user_id, reason=body.reason, **fields)
        answer = Disqualified(view.period or "", epoch.number, body.user_id, body.disqualified, changed)
        return Response(200, msgspec.json.encode(answer), (JSON_TYPE, NO_STORE))

    def _view(self, request: Request) -> View:
        name, names = request.params["period"], [period.name for period in self._board().periods]
        if name not in names:
            raise period_not_found(name, names)
        return View(self._board().name, name)

    async def _epoch(self, request: Request) -> tuple[View, Epoch]:
        view, number = self._view(request), request.params["epoch"]
        if number == "previous":
            now = self._periods.now()
            over = [epoch.number for epoch in self._periods.epochs(view) if _is_over(epoch, now)]
            wanted = max(over, default=None)
        else:
            wanted = integer(number)
        found = None if wanted is None or not 1 <= wanted <= MAX_NUMBER else await self._periods.epoch(view, wanted)
        if found is None:
            raise PeriodNotFound(PeriodNotFound.no_epoch)
        return view, found

    async def _sealed(self, request: Request) -> tuple[View, Epoch]:
        """The epoch of a path, whose result is final. Raises ResultNotFinal."""
        view, epoch = await self._epoch(request)
        if epoch.state is EpochState.DROPPED:
            raise PeriodNotFound("The result of this epoch was removed: keep of the period is the number of results.")
        if epoch.state is not EpochState.SEALED:
            raise ResultNotFinal
        return view, epoch


def _is_over(epoch: Epoch, now: int) -> bool:
    return epoch.end is not None and epoch.end <= now


def _row(epoch: Epoch, now: int) -> EpochRow:
    state = epoch.state.value
    if epoch.state is EpochState.PLANNED:
        state = "closing" if _is_over(epoch, now) else "open" if epoch.start <= now else "planned"
    end, sealed_at = (None if moment is None else rfc3339(moment) for moment in (epoch.end, epoch.sealed_at))
    return EpochRow(epoch.number, state, rfc3339(epoch.start), end, epoch.rows, epoch.sha256, sealed_at, epoch.erased)


def _schedule(period: Period) -> Schedule | None:
    schedule = period.schedule
    if isinstance(schedule, Cron):
        return Schedule(schedule.time_zone, cron=schedule.fields)
    if isinstance(schedule, Every):
        start = schedule.start.isoformat(timespec="minutes")
        return Schedule(schedule.time_zone, every=schedule.interval, start=start)
    return None


def _result(place: Place) -> ResultRow:
    player = place.standing.player
    return ResultRow(
        place.number,
        place.standing.rank,
        player.user_id,
        player.username,
        player.avatar_url,
        player.score,
        rfc3339(player.updated_at),
    )
