"""Operation of the pods: autoscaling, rollouts, disruptions and monitoring."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leaderboard_operator.spec.types import IntOrText, Part, RawObject, Rule, field, ruled


class ScalingMetric(Part, frozen=True, kw_only=True):
    """A metric and its target per pod."""

    RULES = (
        Rule(
            "self.type == 'CPU' ? has(self.averageUtilization) != has(self.averageValue) : has(self.averageValue) && "
            "!has(self.averageUtilization)",
            "CPU needs averageUtilization or averageValue, Sockets needs averageValue",
        ),
        Rule("self.type == 'Sockets' || !has(self.api)", "api applies to Sockets only; leave it out with CPU"),
    )

    type: Annotated[
        Literal["CPU", "Sockets"], field("CPU, or open sockets (the metric leaderboard_websocket_connections).")
    ]
    average_utilization: Annotated[int, field("Percent of the requested CPU.", ge=1, le=1000)] | None = None
    average_value: (
        Annotated[IntOrText, field("Average per pod: CPU, such as 400m, or sockets, such as 4000.")] | None
    ) = None
    api: (
        Annotated[
            Literal["Custom", "External"],
            field(
                "API that serves the sockets: custom.metrics.k8s.io by pod, or external.metrics.k8s.io by the labels "
                "namespace and leaderboard. If unset, Custom."
            ),
        ]
        | None
    ) = None


class Autoscaling(Part, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler on the Leaderboard's scale. Leave `replicas` out of Git then."""

    RULES = (
        Rule(
            "self.minReplicas <= self.maxReplicas", "minReplicas is more than maxReplicas; lower it or raise the other"
        ),
    )

    min_replicas: Annotated[int, field("Minimum number of pods.", ge=1, le=100)] = 2
    max_replicas: Annotated[int, field("Maximum number of pods.", ge=1, le=100)]
    target_cpu_utilization: Annotated[
        int,
        field("Average CPU of the pods, in percent of the request. Ignored if `metrics` is set.", ge=1, le=100),
    ] = msgspec.field(name="targetCPUUtilization", default=70)
    metrics: Annotated[
        list[ScalingMetric],
        field("Metrics to scale by; the one that needs the most pods decides. If empty, CPU.", max_length=2),
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    behavior: Annotated[
        RawObject,
        field(
            "Scaling behavior, in the form of a HorizontalPodAutoscaler. If empty and with Sockets: after ten minutes "
            "of lower load, one pod is removed every two minutes, because a removed pod closes its sockets."
        ),
    ] = {}


class Rollout(Part, frozen=True):
    """Replacement of pods after a change of settings or image."""

    RULES = (
        Rule(
            "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
            "maxSurge and maxUnavailable are both 0: no pod could be replaced; raise one of them",
        ),
    )

    max_surge: Annotated[IntOrText, field("Maximum number or percentage of additional pods.")] = 1
    max_unavailable: Annotated[IntOrText, field("Maximum number or percentage of missing pods.")] = 0
    min_ready_seconds: Annotated[
        int, field("Seconds for which a new pod must be ready before the next pod is replaced.", ge=0, le=3600)
    ] = 0
    progress_deadline_seconds: Annotated[
        int, field("Seconds without progress after which a rollout has failed.", ge=30, le=86_400)
    ] = 300


class Disruption(Part, frozen=True):
    """The PodDisruptionBudget, for example for the drain of a node. It exists with two pods or more."""

    max_unavailable: Annotated[
        int, field("Maximum number of pods that may be evicted at the same time.", ge=1, le=100)
    ] = 1


Threshold = Literal["25ms", "50ms", "100ms", "250ms", "500ms", "1s", "2.5s", "5s"]
"""The bounds of the service's histogram buckets. Other thresholds cannot be measured."""


class Slo(Part, frozen=True):
    """The service level objectives that alerts check."""

    availability: Annotated[
        str,
        field(
            "Percent of players' requests that do not fail (5xx).", max_length=7, pattern=r"^[0-9]{2}(\.[0-9]{1,4})?$"
        ),
        ruled(
            Rule(
                "double(self) >= 95.0", "set a percentage from 95 to 99.9999; with a lower one no outage causes a page"
            )
        ),
    ] = "99.9"
    latency: Annotated[Threshold, field("Maximum response time of 99 % of players' requests.")] = "250ms"
    propagation: Annotated[
        Threshold, field("Maximum time until 99 % of changes of the top 10 are sent to the sockets.")
    ] = "500ms"


Auto = Literal["Auto", "Disabled"]


class Monitoring(Part, frozen=True):
    """Objects for the Prometheus operator. `Auto` creates them if the cluster has their kinds."""

    service_monitor: Annotated[Auto, field("The ServiceMonitor for the pods.")] = "Auto"
    rules: Annotated[Auto, field("The PrometheusRule with the alerts for `slo`.")] = "Auto"
    dashboard: Annotated[
        Literal["Auto"],
        field("The dashboards of the chart show all Leaderboards. There is no dashboard per Leaderboard."),
    ] = "Auto"
    slo: Annotated[Slo, field("Service level objectives.")] = Slo()
