"""The pods of a Leaderboard: `spec.template` and `spec.trustedCA`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from leaderboard_operator.spec.types import (
    Annotations,
    ConfigMapKey,
    DnsName,
    IntOrText,
    Labels,
    Part,
    RawObject,
    Rule,
    SecretKey,
    ShortText,
    field,
)

Quantities = Annotated[dict[str, IntOrText], Meta(max_length=16)]

SETTINGS_PREFIX = "LEADERBOARD_"

KEYED_BY_NAME = Meta(
    extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
)
"""A list with unique names, whose elements may have different owners."""


class FieldRef(Part, frozen=True):
    """A field of the pod."""

    field_path: Annotated[str, field("Path of the field, such as metadata.name.", min_length=1, max_length=400)]


class VariableSource(Part, frozen=True):
    """The source of a value."""

    RULES = (
        Rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(given, given).size() == 1",
            "set exactly one of secretKeyRef, configMapKeyRef and fieldRef",
        ),
    )

    secret_key_ref: Annotated[SecretKey, field("A key of a Secret. A change restarts the pods.")] | None = None
    config_map_key_ref: Annotated[ConfigMapKey, field("A key of a ConfigMap.")] | None = None
    field_ref: Annotated[FieldRef, field("A field of the pod.")] | None = None


class Variable(Part, frozen=True):
    """An environment variable."""

    RULES = (
        Rule(
            f"!self.name.startsWith('{SETTINGS_PREFIX}')",
            "settings of the service are fields of spec, such as rateLimit, live and logging; variables are refused",
        ),
        Rule("has(self.value) != has(self.valueFrom)", "set either value or valueFrom"),
    )

    name: Annotated[str, field("Name of the variable.", min_length=1, max_length=253, pattern=r"^[A-Za-z_]\w*$")]
    value: (
        Annotated[str, field("Its value. $(NAME) is replaced by the value of an earlier variable.", max_length=4096)]
        | None
    ) = None
    value_from: Annotated[VariableSource, field("The source of its value.")] | None = None


class Toleration(Part, frozen=True):
    """A toleration, as in Kubernetes."""

    key: Annotated[ShortText, field("Taint key. If unset, all.")] | None = None
    operator: Annotated[Literal["Exists", "Equal"], field("Comparison of the value.")] = "Equal"
    value: Annotated[Annotated[str, Meta(max_length=63)], field("Taint value.")] | None = None
    effect: (
        Annotated[Literal["NoSchedule", "PreferNoSchedule", "NoExecute"], field("Taint effect. If unset, all.")] | None
    ) = None
    toleration_seconds: (
        Annotated[int, field("Seconds for which NoExecute is tolerated. If unset, without end.", ge=0, le=31_536_000)]
        | None
    ) = None


class Resources(Part, frozen=True):
    """Requests and limits of the container."""

    requests: Annotated[
        Quantities,
        field(
            "Resources reserved for a pod. If unset, memory: 128Mi and cpu: 100m, or 500m with autoscaling, which "
            "uses percentages of the request."
        ),
    ] = {}
    limits: Annotated[
        Quantities,
        field("Maximum resources of a pod. If memory has neither a request nor a limit, its limit is 512Mi."),
    ] = {}


class Probe(Part, frozen=True):
    """Timing of a probe. An unset field has the operator's default."""

    period_seconds: Annotated[int, field("Seconds between two probes.", ge=1, le=3600)] | None = None
    timeout_seconds: Annotated[int, field("Seconds to wait for the response.", ge=1, le=300)] | None = None
    failure_threshold: (
        Annotated[int, field("Consecutive failures until the probe has failed.", ge=1, le=1000)] | None
    ) = None


class PodMetadata(Part, frozen=True):
    """Labels and annotations of the pods."""

    labels: Annotated[Labels, field("Labels. The operator's own labels override them.")] = {}
    annotations: Annotated[Annotations, field("Annotations.")] = {}


class PodSpec(Part, frozen=True):
    """The pod spec. Fields have the names and meanings of a Kubernetes pod."""

    resources: Annotated[Resources, field("Requests and limits.")] = Resources()
    env: Annotated[
        list[Variable],
        field("Environment variables for libraries, such as OpenTelemetry (docs/tracing.md).", max_length=32),
        KEYED_BY_NAME,
    ] = []
    termination_grace_period_seconds: Annotated[
        int,
        field(
            "Seconds until a terminating pod is killed. All but 20 s of them are for the drain, during which the pod "
            "closes its sockets gradually, so that clients do not reconnect all at once.",
            ge=25,
            le=3600,
        ),
    ] = 35
    startup_probe: (
        Annotated[Probe, field("Limits the start of a pod. Default: every 2 s, 60 failures (two minutes).")] | None
    ) = None
    readiness_probe: (
        Annotated[
            Probe,
            field(
                "Removes a pod from new traffic. Default: every 5 s, 6 failures. That is longer than an election in "
                "MongoDB, during which reads and sockets work from memory."
            ),
        ]
        | None
    ) = None
    liveness_probe: Annotated[Probe, field("Restarts a pod. Default: every 10 s, 3 failures.")] | None = None
    env_from: Annotated[
        list[RawObject],
        field(
            "Sources of environment variables, in the form of a Kubernetes pod, read when a pod starts. A variable "
            "LEADERBOARD_… in a source overrides the spec; avoid that.",
            max_length=16,
        ),
    ] = []
    volumes: Annotated[
        list[RawObject], field("Additional volumes, in the form of a Kubernetes pod.", max_length=32)
    ] = []
    volume_mounts: Annotated[
        list[RawObject], field("Mounts of these volumes in the service's container.", max_length=32)
    ] = []
    init_containers: Annotated[
        list[RawObject],
        field(
            "Init containers, or sidecars with restartPolicy: Always, in the form of a Kubernetes pod.", max_length=8
        ),
    ] = []
    sidecars: Annotated[
        list[RawObject], field("Additional containers, in the form of a Kubernetes pod.", max_length=8)
    ] = []
    security_context: Annotated[
        RawObject,
        field("Security context of the pod. Default: runAsNonRoot, seccomp RuntimeDefault. Fields are merged."),
    ] = {}
    container_security_context: Annotated[
        RawObject,
        field(
            "Security context of the service's container. Default: no privilege escalation, no capabilities, a "
            "read-only root file system. Fields are merged."
        ),
    ] = {}
    service_account_name: (
        Annotated[
            DnsName,
            field("An existing ServiceAccount, for example for workload identity. If unset, the operator creates one."),
        ]
        | None
    ) = None
    automount_service_account_token: Annotated[
        bool, field("Whether the pods get a token for the API server. The service needs none.")
    ] = False
    image_pull_policy: (
        Annotated[
            Literal["Always", "IfNotPresent", "Never"],
            field("When to pull the image. If unset, the default of Kubernetes for its tag."),
        ]
        | None
    ) = None
    runtime_class_name: Annotated[DnsName, field("RuntimeClass of the pods.")] | None = None
    scheduler_name: Annotated[DnsName, field("Scheduler of the pods.")] | None = None
    node_selector: Annotated[Labels, field("Labels that a node must have.")] = {}
    affinity: Annotated[RawObject, field("Affinity, in the form of a Kubernetes pod.")] = {}
    tolerations: Annotated[list[Toleration], field("Taints that pods tolerate.", max_length=32)] = []
    topology_spread_constraints: Annotated[
        list[RawObject], field("Spread of the pods. If empty, over nodes where possible.", max_length=8)
    ] = []
    priority_class_name: Annotated[DnsName, field("PriorityClass of the pods.")] | None = None


class Template(Part, frozen=True):
    """The pods."""

    metadata: Annotated[PodMetadata, field("Labels and annotations.")] = PodMetadata()
    spec: Annotated[PodSpec, field("The pod spec.")] = PodSpec()


class CertificateSource(Part, frozen=True):
    """Certificates of trusted authorities (PEM) in addition to the image's, for MongoDB, JWK Set and captcha."""

    RULES = (Rule("has(self.secretRef) != has(self.configMapRef)", "set exactly one of secretRef and configMapRef"),)

    secret_ref: Annotated[SecretKey, field("A key of a Secret. A change restarts the pods.")] | None = None
    config_map_ref: Annotated[ConfigMapKey, field("A key of a ConfigMap. It is read when a pod starts.")] | None = None
