"""Conversion of Kubernetes quantities to numbers.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from contextlib import suppress

from leaderboard_operator.spec.pod import Resources

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]+))?")

_POWERS = {suffix: power for power, suffix in zip((-3, -2, -1, 1, 2, 3, 4, 5, 6), "numkMGTPE", strict=True)}
_BINARY_POWERS = {f"{suffix}i": power for power, suffix in enumerate("KMGTPE", start=1)}


def number(quantity: str | int) -> float:
    """`500m` is 0.5, `512Mi` is 536870912. Raises ValueError if Kubernetes would refuse the quantity."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    digits, suffix, exponent = match.groups()
    binary = 1024.0 ** _BINARY_POWERS.get(suffix, 0)
    decimal = 1000.0 ** _POWERS.get(suffix, 0) * 10.0 ** int(exponent or 0)
    return float(digits) * float(binary) * float(decimal)


def numbers(resources: Resources) -> dict[tuple[str, str], float]:
    """CPU in cores and memory in bytes, by resource and kind (request, limit).

    Quantities that Kubernetes refuses are omitted: the status of the Leaderboard reports them.
    """
    values: dict[tuple[str, str], float] = {}
    for kind, quantities in (("request", resources.requests), ("limit", resources.limits)):
        for resource in quantities.keys() & {"cpu", "memory"}:
            with suppress(ValueError, OverflowError):
                values[resource, kind] = number(quantities[resource])
    return values
