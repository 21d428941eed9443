"""Types that the fields of the resource share: bounded strings, rules and references."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta


class Rule(msgspec.Struct, frozen=True):
    """A CEL rule that the API server checks. `message` names the correction."""

    rule: str
    message: str


class Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the resource. Its docstring becomes its description in the CRD; `RULES` relate its fields."""

    RULES: ClassVar[tuple[Rule, ...]] = ()


def field(description: str, /, **bounds: Any) -> Meta:
    """The description and the bounds of a field: `ge`, `le`, `min_length`, `max_length`, `pattern`."""
    return Meta(description=description, **bounds)


def ruled(*rules: Rule) -> Meta:
    return Meta(extra_json_schema={"x-kubernetes-validations": [msgspec.to_builtins(rule) for rule in rules]})


def within(low: str, high: str) -> Meta:
    """A rule for the bounds of a duration."""
    rule = f"duration(self) >= duration('{low}') && duration(self) <= duration('{high}')"
    return ruled(Rule(rule, f"set a duration from {low} to {high}"))


RAW = Meta(extra_json_schema={"x-kubernetes-preserve-unknown-fields": True})
"""An object of Kubernetes. The API server checks it when the operator applies it."""

MAX_POINTS = 2**53 - 1
"""The largest integer that all JSON parsers read exactly. The API server does not read 2⁶³ − 1 exactly."""

DnsName = Annotated[
    str,
    Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
"""The name of an object or a host."""

Duration = Annotated[str, Meta(min_length=2, max_length=12, pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h)$")]
"""`100ms`, `60s`, `1m`, `2h`."""

Labels = Annotated[dict[Annotated[str, Meta(max_length=317)], Annotated[str, Meta(max_length=63)]], Meta(max_length=64)]
Annotations = Annotated[
    dict[Annotated[str, Meta(max_length=317)], Annotated[str, Meta(max_length=4096)]], Meta(max_length=64)
]
RawObject = Annotated[dict[str, Any], RAW]
ShortText = Annotated[str, Meta(max_length=317)]
IntOrText = Annotated[str | int, Meta(extra_json_schema={"x-kubernetes-int-or-string": True})]


class SecretKey(Part, frozen=True):
    """A key of a Secret in the same namespace."""

    name: Annotated[DnsName, field("Name of the Secret.")]
    key: Annotated[
        str,
        field("Key in the Secret's data.", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"),
    ]


class ConfigMapKey(Part, frozen=True):
    """A key of a ConfigMap in the same namespace."""

    name: Annotated[DnsName, field("Name of the ConfigMap.")]
    key: Annotated[
        str,
        field("Key in the ConfigMap's data.", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"),
    ]


class LocalName(Part, frozen=True):
    """An object in the same namespace."""

    name: Annotated[DnsName, field("Name of the object.")]
