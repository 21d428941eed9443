"""The version of a board, which is the database's cluster time as an integer, and the number that clients get for it.

A version is exact: seconds · 2³² + increment. A board version, as in the header of that name, is seconds · 2²¹ +
increment: below 2⁵³ until 2106, so that JavaScript can represent it. It grows with the version. Versions of one second
with an increment of 2²¹ − 1 or more share the greatest board version of that second. A second has so many writes only
when the database's clock was set back, because the cluster time waits for the clock.
"""

from __future__ import annotations

_BITS = 32
_MASK = (1 << _BITS) - 1
_PUBLIC_BITS = 21
_PUBLIC_MASK = (1 << _PUBLIC_BITS) - 1


def version_at(seconds: int, increment: int) -> int:
    """The version of a cluster time."""
    return seconds << _BITS | increment


def seconds_of(version: int) -> int:
    """The seconds since the epoch."""
    return version >> _BITS


def to_board_version(version: int) -> int:
    """The number that clients get."""
    return version >> _BITS << _PUBLIC_BITS | min(version & _MASK, _PUBLIC_MASK)


def from_board_version(number: int) -> int:
    """The greatest version with this number: a board that includes it includes all that the number may stand for."""
    increment = number & _PUBLIC_MASK
    return version_at(number >> _PUBLIC_BITS, _MASK if increment == _PUBLIC_MASK else increment)


def excess_increment(version: int) -> int:
    """The increment if the board version does not contain it, otherwise 0."""
    increment = version & _MASK
    return increment if increment > _PUBLIC_MASK else 0


def exact_version(number: int, excess: int) -> int:
    """The version with this board version and `excess_increment`."""
    return version_at(number >> _PUBLIC_BITS, max(number & _PUBLIC_MASK, excess))
