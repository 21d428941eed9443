"""Environment variables of the pods: OpenTelemetry, for one, reads its own. Settings of the service are fields."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from leaderboard_operator.spec.kinds import DnsName, Part, Rule, SecretKey, field

SETTINGS_PREFIX = "LEADERBOARD_"

KEYED_BY_NAME = Meta(
    extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
)
"""A list in which each name is there once, and of which several owners may have an element each."""


class ConfigMapKey(Part, frozen=True):
    """A key of a ConfigMap in the same namespace."""

    name: Annotated[DnsName, field("Name of the ConfigMap.")]
    key: Annotated[
        str,
        field("Key in the ConfigMap's data.", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"),
    ]


class FieldRef(Part, frozen=True):
    """A field of the pod."""

    field_path: Annotated[str, field("Path of the field, such as metadata.name.", min_length=1, max_length=400)]


class Source(Part, frozen=True):
    """Where a value comes from."""

    RULES = (
        Rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(there, there).size() == 1",
            "set exactly one of secretKeyRef, configMapKeyRef and fieldRef",
        ),
    )

    secret_key_ref: Annotated[SecretKey, field("A key of a Secret; a change of it rolls the pods.")] | None = None
    config_map_key_ref: Annotated[ConfigMapKey, field("A key of a ConfigMap.")] | None = None
    field_ref: Annotated[FieldRef, field("A field of the pod.")] | None = None


class Variable(Part, frozen=True):
    """An environment variable."""

    RULES = (
        Rule(
            f"!self.name.startsWith('{SETTINGS_PREFIX}')",
            "settings of the service are fields of spec, such as rateLimit, live and logging, and not variables",
        ),
        Rule("has(self.value) != has(self.valueFrom)", "set either value or valueFrom"),
    )

    name: Annotated[str, field("Name of the variable.", min_length=1, max_length=253, pattern=r"^[A-Za-z_]\w*$")]
    value: Annotated[str, field("Its value; $(NAME) is that of an earlier one.", max_length=4096)] | None = None
    value_from: Annotated[Source, field("Where its value comes from.")] | None = None
