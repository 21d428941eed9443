"""The NetworkPolicy: clients reach the service's port, Prometheus the metrics, nobody anything else."""

from leaderboard_operator.resources.names import HTTP_PORT, METRICS_PORT, Board, Object


def network_policy(board: Board) -> Object | None:
    """The NetworkPolicy, unless it is switched off. What pods connect to is left open: the database is anywhere."""
    asked = board.spec.network_policy
    if not asked.enabled:
        return None
    clients: Object = {"ports": [{"port": HTTP_PORT, "protocol": "TCP"}]}
    if asked.allow_from:
        clients["from"] = asked.allow_from
    metrics = {"ports": [{"port": METRICS_PORT, "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}
    return board.object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        spec={
            "podSelector": {"matchLabels": board.selector},
            "policyTypes": ["Ingress"],
            "ingress": [clients, metrics],
        },
    )
