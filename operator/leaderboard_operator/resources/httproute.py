"""The HTTPRoute of the Gateway API, where one is asked for."""

from leaderboard_operator.resources.names import HTTP_PORT, Board, Object, present


def http_route(board: Board) -> Object | None:
    """The HTTPRoute."""
    asked = board.spec.exposure.gateway
    if asked is None or not asked.parent_refs:
        return None
    spec: Object = {
        "parentRefs": [present(each) for each in asked.parent_refs],
        "rules": [{"backendRefs": [{"name": board.name, "port": HTTP_PORT}]}],
    }
    if asked.hostnames:
        spec["hostnames"] = asked.hostnames
    return board.object("gateway.networking.k8s.io/v1", "HTTPRoute", spec=spec)
