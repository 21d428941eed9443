"""The HTTPRoute of the Gateway API, where one is asked for."""

import msgspec

from leaderboard_operator.resources.names import HTTP_PORT, Board, Object


def http_route(board: Board) -> Object | None:
    """The HTTPRoute."""
    asked = board.spec.exposure.gateway
    if asked is None or not asked.parent_refs:
        return None
    parents = [
        {name: value for name, value in msgspec.to_builtins(each).items() if value is not None}
        for each in asked.parent_refs
    ]
    spec: Object = {
        "parentRefs": parents,
        "rules": [{"backendRefs": [{"name": board.name, "port": HTTP_PORT}]}],
    }
    if asked.hostnames:
        spec["hostnames"] = asked.hostnames
    return board.object("gateway.networking.k8s.io/v1", "HTTPRoute", spec=spec)
