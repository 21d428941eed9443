"""How clients and Prometheus reach the pods: Services, Ingress, HTTPRoute and NetworkPolicy."""

from leaderboard_operator import GROUP, Object
from leaderboard_operator.resources.view import HTTP_PORT, METRICS_PORT, LeaderboardView, without_unset

GATEWAY_API = "gateway.networking.k8s.io/v1"

METRICS_SUFFIX = "-metrics"

METRICS_LABEL = {f"{GROUP}/service": "metrics"}
"""Label that distinguishes the metrics Service from the Service of clients."""

SOCKET_TIMEOUTS = {
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    "nginx.org/proxy-read-timeout": "3600s",
    "nginx.org/proxy-send-timeout": "3600s",
    "haproxy.org/timeout-tunnel": "1h",
    "haproxy-ingress.github.io/timeout-tunnel": "1h",
    "projectcontour.io/response-timeout": "infinity",
    "projectcontour.io/websocket-routes": "/",
}
"""Annotations that keep sockets open. A controller ignores the annotations of other controllers."""


def service(leaderboard: LeaderboardView) -> Object:
    """The Service of clients."""
    spec = leaderboard.spec.exposure.service
    optional = {
        "externalTrafficPolicy": spec.external_traffic_policy,
        "loadBalancerClass": spec.load_balancer_class,
        "loadBalancerSourceRanges": spec.load_balancer_source_ranges,
    }
    return leaderboard.object(
        "v1",
        "Service",
        annotations=spec.annotations,
        spec={
            "type": spec.type,
            "ipFamilyPolicy": spec.ip_family_policy,
            **{name: value for name, value in optional.items() if value},
            "selector": leaderboard.selector,
            "ports": [
                {
                    "name": "http",
                    "port": spec.port,
                    "targetPort": "http",
                    "protocol": "TCP",
                    "appProtocol": spec.app_protocol,
                }
            ],
        },
    )


def metrics_service(leaderboard: LeaderboardView) -> Object:
    """The Service for scraping. It is always internal, and includes pods that are not ready."""
    return leaderboard.object(
        "v1",
        "Service",
        name=leaderboard.name + METRICS_SUFFIX,
        labels=METRICS_LABEL,
        spec={
            "type": "ClusterIP",
            "clusterIP": "None",
            "ipFamilyPolicy": leaderboard.spec.exposure.service.ip_family_policy,
            "publishNotReadyAddresses": True,
            "selector": leaderboard.selector,
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"}],
        },
    )


def ingress(leaderboard: LeaderboardView) -> Object | None:
    spec = leaderboard.spec.exposure.ingress
    if spec is None:
        return None
    backend = {"service": {"name": leaderboard.name, "port": {"name": "http"}}}
    content: Object = {
        "rules": [{"host": spec.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    }
    if spec.class_name:
        content["ingressClassName"] = spec.class_name
    if spec.tls_secret_name:
        content["tls"] = [{"hosts": [spec.host], "secretName": spec.tls_secret_name}]
    annotations = {**SOCKET_TIMEOUTS, "nginx.org/websocket-services": leaderboard.name, **spec.annotations}
    return leaderboard.object("networking.k8s.io/v1", "Ingress", annotations=annotations, spec=content)


def http_route(leaderboard: LeaderboardView) -> Object | None:
    """The HTTPRoute. By default its rule has no timeout: to a Gateway, a socket is one long request."""
    spec = leaderboard.spec.exposure.gateway
    if spec is None or not spec.parent_refs:
        return None
    rule: Object = {"backendRefs": [{"name": leaderboard.name, "port": leaderboard.spec.exposure.service.port}]}
    if spec.request_timeout:
        rule["timeouts"] = {"request": spec.request_timeout}
    if spec.filters:
        rule["filters"] = spec.filters
    content: Object = {"parentRefs": [without_unset(parent) for parent in spec.parent_refs], "rules": [rule]}
    if spec.hostnames:
        content["hostnames"] = spec.hostnames
    return leaderboard.object(GATEWAY_API, "HTTPRoute", annotations=spec.annotations, spec=content)


def network_policy(leaderboard: LeaderboardView) -> Object | None:
    """The NetworkPolicy. It does not limit egress, because the address of the database is unknown here."""
    spec = leaderboard.spec.network_policy
    if not spec.enabled:
        return None
    clients: Object = {"ports": [{"port": HTTP_PORT, "protocol": "TCP"}]}
    if spec.allow_from:
        clients["from"] = spec.allow_from
    metrics = {"ports": [{"port": METRICS_PORT, "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}
    return leaderboard.object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        spec={
            "podSelector": {"matchLabels": leaderboard.selector},
            "policyTypes": ["Ingress"],
            "ingress": [clients, metrics],
        },
    )
