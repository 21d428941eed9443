"""Pure builders, one module for each kind: a `Board` in, an object out, None where none is wanted."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from leaderboard_operator.resources.autoscaler import autoscaler
from leaderboard_operator.resources.configmap import config_map
from leaderboard_operator.resources.deployment import deployment
from leaderboard_operator.resources.disruptionbudget import disruption_budget
from leaderboard_operator.resources.httproute import http_route
from leaderboard_operator.resources.ingress import ingress
from leaderboard_operator.resources.names import Board, Object
from leaderboard_operator.resources.networkpolicy import network_policy
from leaderboard_operator.resources.prometheusrule import prometheus_rule
from leaderboard_operator.resources.service import metrics_service, service
from leaderboard_operator.resources.serviceaccount import service_account
from leaderboard_operator.resources.servicemonitor import service_monitor


class Kind(msgspec.Struct, frozen=True):
    """A kind of object that Leaderboards have. `optional`: not every cluster knows it."""

    group: str
    version: str
    plural: str
    build: Callable[[Board], Object | None]
    optional: bool = False

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = (
    Kind("", "v1", "serviceaccounts", service_account),
    Kind("", "v1", "configmaps", config_map),
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
"""In the order in which they are applied: what pods need stands before them."""

__all__ = ["KINDS", "Board", "Kind", "Object"]
