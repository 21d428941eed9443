"""The HTTPRoute of the Gateway API, where one is asked for."""

from leaderboard_operator.resources.names import Board, Object, present

GATEWAY_API = "gateway.networking.k8s.io/v1"


def http_route(board: Board) -> Object | None:
    """The HTTPRoute. Its rule has no timeout unless one is asked for: a socket is one long request to a Gateway."""
    asked = board.spec.exposure.gateway
    if asked is None or not asked.parent_refs:
        return None
    rule: Object = {"backendRefs": [{"name": board.name, "port": board.spec.exposure.service.port}]}
    if asked.request_timeout:
        rule["timeouts"] = {"request": asked.request_timeout}
    if asked.filters:
        rule["filters"] = asked.filters
    spec: Object = {"parentRefs": [present(each) for each in asked.parent_refs], "rules": [rule]}
    if asked.hostnames:
        spec["hostnames"] = asked.hostnames
    return board.object(GATEWAY_API, "HTTPRoute", annotations=asked.annotations, spec=spec)
