"""How the service runs in the cluster: its pods, how many, how they are replaced, who may reach them, who watches."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leaderboard_operator.spec.environment import KEYED_BY_NAME, ConfigMapKey, Variable
from leaderboard_operator.spec.kinds import (
    Annotations,
    DnsName,
    IntOrText,
    Labels,
    Object,
    Part,
    Rule,
    SecretKey,
    Short,
    field,
    ruled,
)

Quantities = Annotated[dict[str, IntOrText], Meta(max_length=16)]


class ScalingMetric(Part, frozen=True, kw_only=True):
    """A metric, and how much of it a pod should have on average."""

    RULES = (
        Rule(
            "self.type == 'CPU' ? has(self.averageUtilization) != has(self.averageValue) : has(self.averageValue) && "
            "!has(self.averageUtilization)",
            "CPU needs averageUtilization or averageValue, Sockets needs averageValue",
        ),
        Rule("self.type == 'Sockets' || !has(self.api)", "api is for Sockets; CPU has an API of its own"),
    )

    type: Annotated[
        Literal["CPU", "Sockets"], field("CPU, or open sockets, leaderboard_websocket_connections of /metrics.")
    ]
    average_utilization: Annotated[int, field("Percent of the requested CPU.", ge=1, le=1000)] | None = None
    average_value: (
        Annotated[IntOrText, field("CPU, such as 400m, or sockets, such as 4000, of a pod on average.")] | None
    ) = None
    api: (
        Annotated[
            Literal["Custom", "External"],
            field(
                "API that has the sockets: custom.metrics.k8s.io by pod, or external.metrics.k8s.io by the labels "
                "namespace and leaderboard. If unset, Custom."
            ),
        ]
        | None
    ) = None


class Autoscaling(Part, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler on the Leaderboard's own scale. Leave `replicas` out of Git with it."""

    RULES = (
        Rule(
            "self.minReplicas <= self.maxReplicas", "minReplicas is more than maxReplicas; lower it or raise the other"
        ),
    )

    min_replicas: Annotated[int, field("Fewest pods.", ge=1, le=100)] = 2
    max_replicas: Annotated[int, field("Most pods.", ge=1, le=100)]
    target_cpu_utilization: Annotated[
        int,
        field("Percent of the requested CPU that pods should use on average. `metrics` replaces it.", ge=1, le=100),
    ] = msgspec.field(name="targetCPUUtilization", default=70)
    metrics: Annotated[
        list[ScalingMetric],
        field(
            "What the number of pods follows; of several, what asks for most pods. Empty is CPU alone.", max_length=2
        ),
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    behavior: Annotated[
        Object,
        field(
            "How fast it scales, in the HorizontalPodAutoscaler's own form. Empty with Sockets: one pod less each two "
            "minutes, after ten minutes of less load, since each pod less closes sockets."
        ),
    ] = {}


class Toleration(Part, frozen=True):
    """A toleration of Kubernetes' own."""

    key: Annotated[Short, field("Taint key; left out, all.")] | None = None
    operator: Annotated[Literal["Exists", "Equal"], field("How the value is compared.")] = "Equal"
    value: Annotated[Annotated[str, Meta(max_length=63)], field("Taint value.")] | None = None
    effect: (
        Annotated[Literal["NoSchedule", "PreferNoSchedule", "NoExecute"], field("Taint effect; left out, all.")] | None
    ) = None
    toleration_seconds: Annotated[int, field("How long NoExecute is tolerated.", ge=0, le=31_536_000)] | None = None


class Resources(Part, frozen=True):
    """Requests and limits of the container."""

    requests: Annotated[
        Quantities,
        field(
            "Reserved for a pod. What is left out is memory: 128Mi, and cpu: 100m, or 500m with autoscaling: the "
            "autoscaler works with percents of it."
        ),
    ] = {}
    limits: Annotated[
        Quantities,
        field("Maximum for a pod. Memory, if neither a request nor a limit of it is set, is 512Mi."),
    ] = {}


class Probe(Part, frozen=True):
    """Timing of a probe. What is left out has the operator's default."""

    period_seconds: Annotated[int, field("Seconds between two probes.", ge=1, le=3600)] | None = None
    timeout_seconds: Annotated[int, field("Seconds to wait for the answer.", ge=1, le=300)] | None = None
    failure_threshold: Annotated[int, field("Failures in a row that count.", ge=1, le=1000)] | None = None


class PodMetadata(Part, frozen=True):
    """Labels and annotations of the pods."""

    labels: Annotated[Labels, field("Labels; those that the operator sets itself win.")] = {}
    annotations: Annotated[Annotations, field("Annotations.")] = {}


class PodSpec(Part, frozen=True):
    """Where pods run and with what. As in a pod of Kubernetes."""

    resources: Annotated[Resources, field("Requests and limits.")] = Resources()
    env: Annotated[
        list[Variable],
        field("Environment variables for what reads its own, such as OpenTelemetry (docs/tracing.md).", max_length=32),
        KEYED_BY_NAME,
    ] = []
    termination_grace_period_seconds: Annotated[
        int,
        field(
            "Time that a pod has to end in. All but 20 s of it is for the drain: sockets are closed spread over it, so "
            "that clients reconnect a few at a time.",
            ge=25,
            le=3600,
        ),
    ] = 35
    startup_probe: (
        Annotated[Probe, field("How long a pod may take to start: every 2 s, 60 failures, which is two minutes.")]
        | None
    ) = None
    readiness_probe: (
        Annotated[
            Probe,
            field(
                "When a pod gets no new traffic: every 5 s, 6 failures. That is longer than an election in MongoDB, in "
                "which reads and sockets go on from memory."
            ),
        ]
        | None
    ) = None
    liveness_probe: Annotated[Probe, field("When a pod is restarted: every 10 s, 3 failures.")] | None = None
    env_from: Annotated[
        list[Object],
        field(
            "Sources of environment variables, in Kubernetes' own form, read when a pod starts. Settings come "
            "from the spec: a variable LEADERBOARD_… in a source would win over it.",
            max_length=16,
        ),
    ] = []
    volumes: Annotated[list[Object], field("More volumes, in Kubernetes' own form.", max_length=32)] = []
    volume_mounts: Annotated[
        list[Object], field("Mounts of these in the service's container, in Kubernetes' own form.", max_length=32)
    ] = []
    init_containers: Annotated[
        list[Object],
        field("Containers that run first, or (restartPolicy: Always) beside, in Kubernetes' own form.", max_length=8),
    ] = []
    sidecars: Annotated[
        list[Object], field("Containers beside the service's, in Kubernetes' own form.", max_length=8)
    ] = []
    security_context: Annotated[
        Object, field("Security context of the pod, over the operator's: runAsNonRoot, seccomp RuntimeDefault.")
    ] = {}
    container_security_context: Annotated[
        Object,
        field(
            "Security context of the service's container, over the operator's: no privilege escalation, no "
            "capabilities, a read-only root."
        ),
    ] = {}
    service_account_name: (
        Annotated[
            DnsName,
            field(
                "A ServiceAccount of your own, such as for workload identity. If unset, one that the operator makes."
            ),
        ]
        | None
    ) = None
    automount_service_account_token: Annotated[
        bool, field("Whether the pods get a token of the API server. The service itself needs none.")
    ] = False
    image_pull_policy: (
        Annotated[
            Literal["Always", "IfNotPresent", "Never"], field("When the image is pulled. If unset, as its tag implies.")
        ]
        | None
    ) = None
    runtime_class_name: Annotated[DnsName, field("RuntimeClass of the pods.")] | None = None
    scheduler_name: Annotated[DnsName, field("Scheduler of the pods.")] | None = None
    node_selector: Annotated[Labels, field("Labels that a node must have.")] = {}
    affinity: Annotated[Object, field("Affinity of Kubernetes' own form.")] = {}
    tolerations: Annotated[list[Toleration], field("Taints that pods tolerate.", max_length=32)] = []
    topology_spread_constraints: Annotated[
        list[Object], field("How pods spread. Left out, over nodes, as well as it goes.", max_length=8)
    ] = []
    priority_class_name: Annotated[DnsName, field("PriorityClass of the pods.")] | None = None


class Template(Part, frozen=True):
    """The pods."""

    metadata: Annotated[PodMetadata, field("Labels and annotations.")] = PodMetadata()
    spec: Annotated[PodSpec, field("Where pods run and with what.")] = PodSpec()


class CertificateSource(Part, frozen=True):
    """Certificates of authorities to trust (PEM), beside those of the image: for MongoDB, JWK Set and captcha."""

    RULES = (Rule("has(self.secretRef) != has(self.configMapRef)", "set exactly one of secretRef and configMapRef"),)

    secret_ref: Annotated[SecretKey, field("A key of a Secret; a change of it rolls the pods.")] | None = None
    config_map_ref: Annotated[ConfigMapKey, field("A key of a ConfigMap, which is read when a pod starts.")] | None = (
        None
    )


class Rollout(Part, frozen=True):
    """How pods are replaced by pods of newer settings or another image."""

    RULES = (
        Rule(
            "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
            "maxSurge and maxUnavailable are both 0: no pod could be replaced",
        ),
    )

    max_surge: Annotated[IntOrText, field("Pods, or percent of them, that may be there in addition.")] = 1
    max_unavailable: Annotated[IntOrText, field("Pods, or percent of them, that may be missing.")] = 0
    min_ready_seconds: Annotated[
        int, field("Seconds that a new pod must be ready for before the next is replaced.", ge=0, le=3600)
    ] = 0
    progress_deadline_seconds: Annotated[
        int, field("Seconds without progress after which a rollout counts as stuck.", ge=30, le=86_400)
    ] = 300


class Disruption(Part, frozen=True):
    """What may be taken down at once, such as by a node's drain. Holds from two pods on."""

    max_unavailable: Annotated[int, field("Most pods that may be down on purpose.", ge=1, le=100)] = 1


class NetworkPolicy(Part, frozen=True):
    """Who may open connections to the pods."""

    enabled: Annotated[bool, field("Whether there is a NetworkPolicy.")] = True
    allow_from: Annotated[
        list[Object],
        field("Who may reach the service, in the form of a NetworkPolicy's `from`; empty is anybody.", max_length=32),
    ] = []


Limit = Literal["25ms", "50ms", "100ms", "250ms", "500ms", "1s", "2.5s", "5s"]
"""Bounds of the buckets of the service's histograms: how many were within another time cannot be told."""


class Slo(Part, frozen=True):
    """The service level objectives that alerts hold the service to."""

    availability: Annotated[
        str,
        field(
            "Percent of players' requests that do not fail (5xx).", max_length=7, pattern=r"^[0-9]{2}(\.[0-9]{1,4})?$"
        ),
        ruled(Rule("double(self) >= 95.0", "give a percentage from 95 to 99.9999: below it no outage would page")),
    ] = "99.9"
    latency: Annotated[Limit, field("Within which 99 % of players' requests are answered.")] = "250ms"
    propagation: Annotated[Limit, field("Within which 99 % of changes of the top 10 are on the sockets.")] = "500ms"


Auto = Literal["Auto", "Disabled"]


class Monitoring(Part, frozen=True):
    """Objects for the Prometheus operator. `Auto` makes them where the cluster knows their kind."""

    service_monitor: Annotated[Auto, field("A ServiceMonitor, by which the pods are scraped.")] = "Auto"
    rules: Annotated[Auto, field("A PrometheusRule, which holds the service to `slo`.")] = "Auto"
    dashboard: Annotated[
        Literal["Auto"], field("The chart's dashboards show every Leaderboard; it has none of its own.")
    ] = "Auto"
    slo: Annotated[Slo, field("Service level objectives.")] = Slo()
