"""The Ingress, where one is asked for."""

from leaderboard_operator.resources.names import Board, Object


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
    found = board.object("networking.k8s.io/v1", "Ingress", spec=spec)
    if asked.annotations:
        found["metadata"]["annotations"] = asked.annotations
    return found
