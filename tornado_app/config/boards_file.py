"""Reads `boards_file`, strictly: every error has its line, and a suggestion where a word is similar."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from tornado_app.config.files import UnusableFile, YamlMapping, read_mapping
from tornado_app.config.sources import quoted, suggestion
from tornado_app.config.value_types import Duration, Integer, InvalidValue, ValueType
from tornado_app.core.boards import ALL_TIME, MAIN, MAX_BOARDS, MAX_SUBMITTED, NAME_PATTERN, Board, Bounds, Order, Rule
from tornado_app.core.errors import ConfigError
from tornado_app.core.periods import (
    DEFAULT_ZONE,
    KEEP,
    MAX_PERIODS,
    PERIOD_PATTERN,
    START_YEARS,
    Cron,
    Every,
    InvalidSchedule,
    Period,
    Schedule,
    zone_names,
)

_FORM = "write boards:, and below it the name of each board with its members"
_NAME_FORM = "use up to 32 of a-z 0-9 -, with a letter first"

_KEEP = Integer(low=1, high=1000)
_REVIEW = Duration(low=0, high=30 * 86400)
_LOCAL_TIME = "%Y-%m-%dT%H:%M"
_ANY_START = datetime(START_YEARS[0], 1, 1)  # noqa: DTZ001  # is local; of a schedule with an error

Path_ = tuple[Any, ...]
Choice = TypeVar("Choice", bound=StrEnum)
T = TypeVar("T")


def read_boards(path: Path) -> tuple[Board, ...]:
    """The boards in a file: `main`, also if the file does not name it, then the others by name.

    Raises ConfigError with each error. A file without content is one, as it may be half written.
    """
    try:
        file = read_mapping(path)
    except UnusableFile as error:
        raise ConfigError([str(error)]) from None
    reader = _Reader(path, file)
    boards = {MAIN.name: MAIN} | {board.name: board for board in reader.boards()}
    if reader.faults:
        raise ConfigError(reader.faults)
    return (boards.pop(MAIN.name), *(boards[name] for name in sorted(boards)))


class _Reader:
    """Reads the values of one file, and collects the errors in `faults`."""

    def __init__(self, path: Path, file: YamlMapping) -> None:
        self._path = path
        self._file = file
        self.faults: list[str] = []

    def boards(self) -> Iterator[Board]:
        self._known((), self._file.values, ("boards",))
        named = self._file.values.get("boards")
        if not isinstance(named, dict):
            if "boards" in self._file.values or not self._file.values:
                self._fault(("boards",), f"contains no board; {_FORM}")
            return
        count = len(named.keys() | {MAIN.name})
        if count > MAX_BOARDS:
            self._fault(("boards",), f"{count} boards with {MAIN.name} are too many; use at most {MAX_BOARDS}")
        for name, members in named.items():
            where = ("boards", name)
            if not isinstance(name, str):
                self._fault(where, f"the name {quoted(name)} is not text; put it in quotes")
            elif re.fullmatch(NAME_PATTERN, name) is None:
                self._fault(where, f"{quoted(name)} is not the name of a board; {_similar(name) or _NAME_FORM}")
            elif members is not None and not isinstance(members, dict):
                self._fault(where, f"{quoted(members)} is not a board; write its members below it, or {{}}")
            else:
                yield self._board(name, members or {})

    def _board(self, name: str, members: dict[Any, Any]) -> Board:
        where = ("boards", name)
        self._known(where, members, ("rule", "order", "bounds", "periods", "shows"))
        rule = self._choice((*where, "rule"), members, Rule, MAIN.rule)
        order = self._choice((*where, "order"), members, Order, MAIN.order)
        bounds = self._bounds((*where, "bounds"), members["bounds"], rule) if "bounds" in members else None
        periods = self._periods((*where, "periods"), members["periods"]) if "periods" in members else ()
        shows = self._shows((*where, "shows"), members["shows"], periods) if "shows" in members else None
        return Board(name, rule, order, bounds, periods, shows)

    def _bounds(self, where: Path_, members: Any, rule: Rule) -> Bounds | None:
        if not isinstance(members, dict) or not members:
            self._fault(where, f"{quoted(members)} is not a mapping of min and max")
            return None
        self._known(where, members, ("min", "max"))
        low, high = (self._bound((*where, name), members[name]) if name in members else None for name in ("min", "max"))
        if low is not None and high is not None and low > high:
            self._fault((*where, "min"), f"min, {low}, is greater than max, {high}; exchange them")
        if rule is Rule.SUM and high is not None and high < 1:
            self._fault((*where, "max"), f"{high} accepts no points, which are 1 or more; give at least 1")
        return Bounds(low, high)

    def _bound(self, where: Path_, value: Any) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SUBMITTED:
            return value
        self._fault(where, f"{quoted(value)} is not a whole number of -{MAX_SUBMITTED} to {MAX_SUBMITTED}")
        return None

    def _periods(self, where: Path_, named: Any) -> tuple[Period, ...]:
        if not isinstance(named, dict) or not named:
            self._fault(where, f"{quoted(named)} is not a mapping of periods; write the name of each with its members")
            return ()
        if len(named) > MAX_PERIODS:
            self._fault(where, f"{len(named)} periods are too many; use at most {MAX_PERIODS}")
        found = []
        for name, members in named.items():
            if not isinstance(name, str):
                self._fault((*where, name), f"the name {quoted(name)} is not text; put it in quotes")
            elif re.fullmatch(PERIOD_PATTERN, name) is None:
                form = "use up to 16 of a-z 0-9, with a letter first"
                self._fault((*where, name), f"{quoted(name)} is not the name of a period; {form}")
            elif name == ALL_TIME:
                meaning = f"?period={ALL_TIME} reads the scores of all time; choose another name"
                self._fault((*where, name), f"{quoted(name)} cannot be the name of a period: {meaning}")
            elif members is not None and not isinstance(members, dict):
                self._fault((*where, name), f"{quoted(members)} is not a period; write its members below it, or {{}}")
            else:
                found.append(self._period((*where, name), members or {}))
        return tuple(found)

    def _period(self, where: Path_, members: dict[Any, Any]) -> Period:
        self._known(where, members, ("cron", "every", "from", "timeZone", "keep", "review"))
        keep = self._value((*where, "keep"), members, _KEEP, KEEP)
        review = self._value((*where, "review"), members, _REVIEW, 0.0)
        return Period(where[-1], self._schedule(where, members), keep, review)

    def _value(self, where: Path_, members: dict[Any, Any], kind: ValueType, default: T) -> T:
        """The member that a path ends with, of a type of settings."""
        value = members.get(where[-1], default)
        try:
            return kind.from_yaml(value)  # type: ignore[no-any-return]
        except InvalidValue:
            self._fault(where, f"{quoted(value)} is not {kind.expected}")
            return default

    def _schedule(self, where: Path_, members: dict[Any, Any]) -> Schedule | None:
        """The schedule of a period; None if it has none, or one with an error."""
        zone = self._zone((*where, "timeZone"), members)
        if "cron" in members and "every" in members:
            self._fault((*where, "every"), "cron and every exclude each other; leave one out")
        elif "from" in members and "every" not in members:
            self._fault((*where, "from"), "from belongs to every; add every, or leave from out")
        elif "cron" in members:
            return self._made((*where, "cron"), members["cron"], lambda fields: Cron(fields, zone))
        elif "every" in members:
            start = self._local_time((*where, "from"), members)
            return self._made((*where, "every"), members["every"], lambda interval: Every(interval, start, zone))
        elif "timeZone" in members:
            self._fault((*where, "timeZone"), "timeZone has no effect without cron or every; add one, or leave it out")
        return None

    def _made(self, where: Path_, value: Any, make: Callable[[str], Schedule]) -> Schedule | None:
        try:
            return make(value if isinstance(value, str) else "")
        except InvalidSchedule as error:
            self._fault(where, f"{quoted(value)} is not a schedule: {error}")
            return None

    def _zone(self, where: Path_, members: dict[Any, Any]) -> str:
        value = members.get(where[-1], DEFAULT_ZONE)
        if isinstance(value, str) and value in zone_names():
            return value
        hint = suggestion(str(value), sorted(zone_names())) or "; use a name such as Europe/Berlin, or UTC"
        self._fault(where, f"{quoted(value)} is not a time zone{hint}")
        return DEFAULT_ZONE

    def _local_time(self, where: Path_, members: dict[Any, Any]) -> datetime:
        value = members.get(where[-1])
        try:
            start = datetime.strptime(value if isinstance(value, str) else "", _LOCAL_TIME)  # noqa: DTZ007  # is local
        except ValueError:
            given = f"{quoted(value)} is not a local time" if where[-1] in members else "every needs from, a local time"
            place = where if where[-1] in members else (*where[:-1], "every")
            self._fault(place, f'{given} such as "2026-12-01T18:00"')
            return _ANY_START
        if start.year not in START_YEARS:
            years = f"{START_YEARS[0]} to {START_YEARS[-1]}"
            self._fault(where, f"{quoted(value)} cannot be the first boundary; use a year of {years}")
            return _ANY_START
        return start

    def _shows(self, where: Path_, value: Any, periods: Sequence[Period]) -> str | None:
        names = [period.name for period in periods]
        if value in names:
            return str(value)
        hint = suggestion(str(value).lower(), names) or (f"; use {', '.join(names)}" if names else "; leave it out")
        self._fault(where, f"{quoted(value)} is not a period of the board{hint}")
        return None

    def _choice(self, where: Path_, members: dict[Any, Any], kind: type[Choice], default: Choice) -> Choice:
        value = members.get(where[-1], default)
        try:
            return kind(value)
        except ValueError:
            options = [each.value for each in kind]
            hint = suggestion(str(value).lower(), options)
            self._fault(where, f"{quoted(value)} is not one of {', '.join(options)}{hint}")
            return default

    def _known(self, where: Path_, members: dict[Any, Any], names: Sequence[str]) -> None:
        for key in members:
            if key not in names:
                hint = suggestion(str(key).lower(), names) or f"; use {', '.join(names)}"
                self._fault((*where, key), f"there is no member {quoted(key)}{hint}")

    def _fault(self, where: Path_, problem: str) -> None:
        """Add an error of the value at a path of keys."""
        line = self._file.inner_lines.get(tuple(map(str, where)))
        place = f"{self._path}, line {line}" if line is not None else str(self._path)
        board = f"board {where[1]}: " if len(where) > 2 else ""
        period = f"period {where[3]}: " if len(where) > 4 and where[2] == "periods" else ""
        self.faults.append(f"{place}: {board}{period}{problem}")


def _similar(name: str) -> str:
    """A question with the name of a board that is similar to `name`, or an empty string."""
    similar = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"did you mean {similar}?" if re.fullmatch(NAME_PATTERN, similar) else ""
