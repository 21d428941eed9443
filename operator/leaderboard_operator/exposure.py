"""Where a Leaderboard is reached, from what was accepted: Service, Ingress, or HTTPRoute and Gateway."""

from __future__ import annotations

import msgspec

from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.names import Board, Object
from leaderboard_operator.spec.exposure import Ingress, ParentRef

_PORTS = {"http": 80, "https": 443}


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
    accepted = [each["parentRef"] for each, refusal in zip(parents, refusals, strict=True) if not refusal]
    if accepted:  # one Gateway that routes is enough
        text = f"The Gateway {accepted[0]['name']} routes to the service"
        urls = [_routed(hostnames, each, _gateway(board, each, gateways)) for each in accepted]
        url = min(filter(None, urls), key=lambda each: not each.startswith("https:"), default=inner(board))
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
    listeners = [each for each in gateway["spec"]["listeners"] if _takes(each, parent.get("sectionName"))]
    address = next((each["value"] for each in gateway.get("status", {}).get("addresses", [])), "")
    for listener in sorted(listeners, key=lambda each: each["protocol"] != "HTTPS"):
        host = _host(hostnames, listener.get("hostname", ""), address)
        if host:
            return _url(listener["protocol"].lower(), host, listener["port"])
    return ""


def _takes(listener: Object, section: str | None) -> bool:
    """Whether a listener takes an HTTPRoute, which one of TCP or TLS does not, and is the one that is named."""
    return listener["protocol"] in ("HTTP", "HTTPS") and section in (None, listener["name"])


def _host(hostnames: list[str], served: str, address: str) -> str:
    """A host that both the route and a listener have; the address if neither names one, empty if there is none."""
    if not hostnames and not served:
        return address
    names = [_narrower(served or each, each) for each in hostnames] or [served]
    return next((each for each in names if each and not each.startswith("*")), "")


def _narrower(one: str, other: str) -> str:
    """The one of two names that the other covers, as `*.example` does `a.example`; empty if neither does."""
    if _covers(one, other):
        return other
    return one if _covers(other, one) else ""


def _covers(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _address(live: Object | None) -> str:
    """The first address of a load balancer that a Service or an Ingress got."""
    entries = (live or {}).get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return next((each.get("hostname") or each.get("ip", "") for each in entries), "")


def _url(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" + ("" if port == _PORTS[scheme] else f":{port}")
