"""Where a Leaderboard is reached, from what was accepted: Service, Ingress, or HTTPRoute and Gateway."""

from __future__ import annotations

import msgspec

from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.names import Board, Object
from leaderboard_operator.spec.runtime import Ingress, ParentRef

_PORTS = {"http": 80, "https": 443}
_SECURE = ("HTTPS", "TLS")


class Exposure(msgspec.Struct, frozen=True):
    """Whether what `spec.exposure` asks for was accepted, why, and the URL by which clients reach the service now."""

    so: bool
    why: Trouble
    url: str


def exposure(
    board: Board,
    *,
    service: Object | None = None,
    ingress: Object | None = None,
    route: Object | None = None,
    gateways: dict[ParentRef, Object] | None = None,
) -> Exposure:
    """What was accepted, from the live objects."""
    asked = board.spec.exposure
    if asked.ingress is not None:
        return _ingress(board, asked.ingress, ingress)
    if asked.gateway is not None and asked.gateway.parent_refs:
        return _route(board, asked.gateway.hostnames, route, gateways or {})
    if asked.service.type == "LoadBalancer":
        return _load_balancer(board, service)
    return Exposure(so=True, why=Trouble("InCluster", "The service is reached within the cluster"), url=inner(board))


def inner(board: Board) -> str:
    """The URL within the cluster."""
    return f"{board.scheme}://{board.name}.{board.namespace}.svc:{board.spec.exposure.service.port}"


def _load_balancer(board: Board, service: Object | None) -> Exposure:
    address = _address(service)
    if not address:
        text = f"The load balancer has no address yet; `kubectl describe service {board.name}` shows why"
        return Exposure(so=False, why=Trouble("AddressPending", text), url=inner(board))
    url = _url(board.scheme, address, board.spec.exposure.service.port)
    return Exposure(so=True, why=Trouble("Accepted", f"The load balancer has the address {address}"), url=url)


def _ingress(board: Board, asked: Ingress, ingress: Object | None) -> Exposure:
    if not _address(ingress):
        text = f"No controller has taken the Ingress {board.name}; check its class, or the controller's log"
        return Exposure(so=False, why=Trouble("NotAccepted", text), url=inner(board))
    url = f"http{'s' if asked.tls_secret_name else ''}://{asked.host}"
    return Exposure(so=True, why=Trouble("Accepted", "A controller has taken the Ingress"), url=url)


def _route(board: Board, hostnames: list[str], route: Object | None, gateways: dict[ParentRef, Object]) -> Exposure:
    parents = (route or {}).get("status", {}).get("parents", [])
    generation = (route or {}).get("metadata", {}).get("generation", 0)
    refusals = [_refusal(each, generation) for each in parents]
    if "" in refusals:  # one Gateway that routes is enough
        parent = parents[refusals.index("")]["parentRef"]
        text = f"The Gateway {parent['name']} routes to the service"
        url = _routed(hostnames, parent, _gateway(board, parent, gateways)) or inner(board)
        return Exposure(so=True, why=Trouble("Accepted", text), url=url)
    if refusals:
        return Exposure(so=False, why=Trouble("RouteRefused", refusals[0]), url=inner(board))
    text = "No Gateway has taken the HTTPRoute; check exposure.gateway.parentRefs, and that the Gateway's class has a "
    return Exposure(so=False, why=Trouble("NotAccepted", f"{text}controller"), url=inner(board))


def _refusal(parent: Object, generation: int) -> str:
    """What a parent that does not route says, or waits for; empty where it routes."""
    name = parent["parentRef"]["name"]
    current = [each for each in parent.get("conditions", []) if each.get("observedGeneration", 0) >= generation]
    bad = [each for each in current if each["type"] in ("Accepted", "ResolvedRefs") and each["status"] != "True"]
    if bad:
        return f"The Gateway {name} does not route to the service: {bad[0]['reason']}: {bad[0].get('message', '')}"
    if all(each["type"] != "Accepted" for each in current):
        return f"The Gateway {name} has not looked at the HTTPRoute yet"
    return ""


def _gateway(board: Board, parent: Object, gateways: dict[ParentRef, Object]) -> Object | None:
    wanted = (parent["name"], parent.get("namespace", board.namespace))
    found = (live for ref, live in gateways.items() if (ref.name, ref.namespace or board.namespace) == wanted)
    return next(found, None)


def _routed(hostnames: list[str], parent: Object, gateway: Object | None) -> str:
    """The URL by the Gateway's listener; empty where no host is known."""
    hosts = [each for each in hostnames if not each.startswith("*")]
    if gateway is None:  # not readable: a route for a host of one's own is for the world, and that is https
        return f"https://{hosts[0]}" if hosts else ""
    section = parent.get("sectionName")
    listeners = [each for each in gateway["spec"]["listeners"] if section in (None, each["name"])]
    listener = min(listeners, key=lambda each: each["protocol"] not in _SECURE, default=None)
    if listener is None:
        return ""
    address = next((each["value"] for each in gateway.get("status", {}).get("addresses", [])), "")
    host = next(iter(hosts), "") or listener.get("hostname", "").removeprefix("*.") or address
    scheme = "https" if listener["protocol"] in _SECURE else "http"
    return _url(scheme, host, listener["port"]) if host else ""


def _address(live: Object | None) -> str:
    """The first address of a load balancer that a Service or an Ingress got."""
    entries = (live or {}).get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return next((each.get("hostname") or each.get("ip", "") for each in entries), "")


def _url(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" + ("" if port == _PORTS[scheme] else f":{port}")
