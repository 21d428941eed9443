"""What may happen to a board, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.properties.model import MAX_SCORE, Rules, Wanted

WINDOW = 60_000


@dataclass(frozen=True)
class Submit:
    """`store`: the number of the process that it comes to."""

    wanted: Wanted
    store: int


@dataclass(frozen=True)
class Register:
    user: str
    name: str | None
    store: int


@dataclass(frozen=True)
class Tick:
    """The board's clock advances or steps back."""

    ms: int


@dataclass(frozen=True)
class Skew:
    """The clock of one process differs from the board's."""

    store: int
    ms: int


@dataclass(frozen=True)
class Moderate:
    verb: str
    user: str


@dataclass(frozen=True)
class TakeBack:
    """One action by its id, or all of the last `back` milliseconds."""

    user: str
    action_id: str | None
    back: int | None


@dataclass(frozen=True)
class Erase:
    user: str


@dataclass(frozen=True)
class Together:
    """All of it at once, over both processes."""

    parts: tuple[Submit | Moderate, ...]


Step = Submit | Register | Tick | Skew | Moderate | TakeBack | Erase | Together

USERS = st.sampled_from("aaaabc")
STORES = st.sampled_from([0, 1])
IDS = st.none() | st.sampled_from(["x", "y", "z"])
POINTS = st.integers(1, 12) | st.sampled_from([1, 50, 100, 101, MAX_SCORE // 2, MAX_SCORE - 20, MAX_SCORE])
NAMES = st.sampled_from([None, None, None, "Zoë", "B"])
METADATA = st.sampled_from([None, None, '{"kart":7}'])
REQUESTS = st.sampled_from([b"f", b"f", b"f", b"g"])
SPANS = st.sampled_from([WINDOW, WINDOW // 2, WINDOW - 1, 1, WINDOW + 1])

wanted = st.builds(Wanted, USERS, POINTS, IDS, REQUESTS, st.sampled_from([True, True, False]), NAMES, METADATA)
submits = st.builds(Submit, wanted, STORES)
ticks = st.builds(Tick, SPANS) | st.builds(Tick, SPANS | SPANS.map(lambda ms: -ms))
skews = st.builds(Skew, STORES, st.sampled_from([0]) | SPANS | SPANS.map(lambda ms: -ms))
moderates = st.builds(Moderate, st.sampled_from(["suspend", "reinstate", "hide", "show"]), USERS)
take_backs = st.builds(TakeBack, USERS, st.sampled_from("xyz"), st.none()) | st.builds(
    TakeBack, USERS, st.none(), SPANS
)
one_by_one: st.SearchStrategy[Step] = st.one_of(
    submits, submits, submits, submits, ticks, skews, moderates, take_backs, st.builds(Register, USERS, NAMES, STORES),
    st.builds(Erase, USERS),
)  # fmt: skip
together = st.lists(st.one_of(submits, submits, submits, submits, moderates), min_size=2, max_size=14).map(
    lambda parts: Together(tuple(parts))
)
rules = st.builds(
    lambda updates, times, cap, rule, ascending, bounds: Rules(
        updates, WINDOW, WINDOW * times, cap, rule, ascending, *bounds
    ),
    st.integers(1, 4),
    st.integers(2, 3),
    st.sampled_from([None, None, 100]),
    st.sampled_from(["sum", "sum", "best", "last"]),
    st.booleans(),
    st.sampled_from([(None, None), (None, None), (-4, None), (None, 50)]),
)
"""An id is remembered for two windows at least: `policies.history_retention` gives no less."""
