"""The Ingress, where one is asked for."""

from leaderboard_operator.resources.names import Board, Object

SOCKETS = {
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    "nginx.org/proxy-read-timeout": "3600s",
    "nginx.org/proxy-send-timeout": "3600s",
    "haproxy.org/timeout-tunnel": "1h",
    "haproxy-ingress.github.io/timeout-tunnel": "1h",
    "projectcontour.io/response-timeout": "infinity",
    "projectcontour.io/websocket-routes": "/",
}
"""What keeps sockets open where a controller would close them; a controller ignores the annotations of others."""


def ingress(board: Board) -> Object | None:
    """The Ingress."""
    asked = board.spec.exposure.ingress
    if asked is None:
        return None
    backend = {"service": {"name": board.name, "port": {"name": "http"}}}
    spec: Object = {
        "rules": [{"host": asked.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    }
    if asked.class_name:
        spec["ingressClassName"] = asked.class_name
    if asked.tls_secret_name:
        spec["tls"] = [{"hosts": [asked.host], "secretName": asked.tls_secret_name}]
    annotations = {**SOCKETS, "nginx.org/websocket-services": board.name, **asked.annotations}
    return board.object("networking.k8s.io/v1", "Ingress", annotations=annotations, spec=spec)
