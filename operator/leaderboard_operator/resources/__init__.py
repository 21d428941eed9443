"""Pure builders of the objects of a Leaderboard. A builder returns None if the Leaderboard does not need the object."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from leaderboard_operator import Object
from leaderboard_operator.resources.configmap import boards, config_map
from leaderboard_operator.resources.deployment import deployment, service_account
from leaderboard_operator.resources.monitoring import prometheus_rule, service_monitor
from leaderboard_operator.resources.networking import http_route, ingress, metrics_service, network_policy, service
from leaderboard_operator.resources.scaling import autoscaler, disruption_budget
from leaderboard_operator.resources.view import LeaderboardView


class Kind(msgspec.Struct, frozen=True):
    """A kind of owned objects and its builder. `optional`: some clusters do not have this kind."""

    group: str
    version: str
    plural: str
    build: Callable[[LeaderboardView], Object | None]
    optional: bool = False

    @property
    def api_version(self) -> str:
        """The `apiVersion` of these objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = (
    Kind("", "v1", "serviceaccounts", service_account),
    Kind("", "v1", "configmaps", config_map),
    Kind("", "v1", "configmaps", boards),
    Kind("apps", "v1", "deployments", deployment),
    Kind("", "v1", "services", service),
    Kind("", "v1", "services", metrics_service),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", autoscaler),
    Kind("policy", "v1", "poddisruptionbudgets", disruption_budget),
    Kind("networking.k8s.io", "v1", "networkpolicies", network_policy),
    Kind("networking.k8s.io", "v1", "ingresses", ingress),
    Kind("gateway.networking.k8s.io", "v1", "httproutes", http_route, optional=True),
    Kind("monitoring.coreos.com", "v1", "servicemonitors", service_monitor, optional=True),
    Kind("monitoring.coreos.com", "v1", "prometheusrules", prometheus_rule, optional=True),
)
"""All kinds in the order of their application: objects that pods need come before the Deployment."""

__all__ = ["KINDS", "Kind", "LeaderboardView"]
