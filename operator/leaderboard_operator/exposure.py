"""The URL of a Leaderboard, from the status of its Service, Ingress, or HTTPRoute and Gateways."""

from __future__ import annotations

import msgspec

from leaderboard_operator import Object
from leaderboard_operator.conditions import Explanation
from leaderboard_operator.resources.view import LeaderboardView
from leaderboard_operator.spec.exposure import Ingress, ParentRef

_PORTS = {"http": 80, "https": 443}


class Exposure(msgspec.Struct, frozen=True):
    """Whether controllers have accepted `spec.exposure`, and the current URL of the service."""

    accepted: bool
    explanation: Explanation
    url: str


def exposure(
    leaderboard: LeaderboardView,
    *,
    service: Object | None = None,
    ingress: Object | None = None,
    route: Object | None = None,
    gateways: dict[ParentRef, Object] | None = None,
) -> Exposure:
    """The exposure according to the live objects."""
    spec = leaderboard.spec.exposure
    if spec.ingress is not None:
        return _ingress(leaderboard, spec.ingress, ingress)
    if spec.gateway is not None and spec.gateway.parent_refs:
        return _route(leaderboard, spec.gateway.hostnames, route, gateways or {})
    if spec.service.type == "LoadBalancer":
        return _load_balancer(leaderboard, service)
    explanation = Explanation("InCluster", "Clients within the cluster reach the service")
    return Exposure(accepted=True, explanation=explanation, url=internal_url(leaderboard))


def internal_url(leaderboard: LeaderboardView) -> str:
    """The URL within the cluster."""
    return f"{leaderboard.scheme}://{leaderboard.name}.{leaderboard.namespace}.svc:{leaderboard.spec.exposure.service.port}"


def _load_balancer(leaderboard: LeaderboardView, service: Object | None) -> Exposure:
    address = _address(service)
    if not address:
        text = f"The load balancer has no address yet; `kubectl describe service {leaderboard.name}` shows why"
        return Exposure(accepted=False, explanation=Explanation("AddressPending", text), url=internal_url(leaderboard))
    url = _url(leaderboard.scheme, address, leaderboard.spec.exposure.service.port)
    return Exposure(
        accepted=True, explanation=Explanation("Accepted", f"The load balancer has the address {address}"), url=url
    )


def _ingress(leaderboard: LeaderboardView, spec: Ingress, ingress: Object | None) -> Exposure:
    if not _address(ingress):
        text = (
            f"No controller has accepted the Ingress {leaderboard.name}; check its class and the log of the controller"
        )
        return Exposure(accepted=False, explanation=Explanation("NotAccepted", text), url=internal_url(leaderboard))
    url = f"http{'s' if spec.tls_secret_name else ''}://{spec.host}"
    return Exposure(
        accepted=True, explanation=Explanation("Accepted", "A controller has accepted the Ingress"), url=url
    )


def _route(
    leaderboard: LeaderboardView, hostnames: list[str], route: Object | None, gateways: dict[ParentRef, Object]
) -> Exposure:
    parents = (route or {}).get("status", {}).get("parents", [])
    generation = (route or {}).get("metadata", {}).get("generation", 0)
    refusals = [_refusal(parent, generation) for parent in parents]
    accepted = [parent["parentRef"] for parent, refusal in zip(parents, refusals, strict=True) if not refusal]
    if accepted:  # one Gateway is enough
        text = f"The Gateway {accepted[0]['name']} routes to the service"
        urls = [_listener_url(hostnames, parent, _gateway(leaderboard, parent, gateways)) for parent in accepted]
        known = [url for url in urls if url]
        url = min(known, key=lambda url: not url.startswith("https:"), default=internal_url(leaderboard))
        return Exposure(accepted=True, explanation=Explanation("Accepted", text), url=url)
    if refusals:
        return Exposure(
            accepted=False, explanation=Explanation("RouteRefused", refusals[0]), url=internal_url(leaderboard)
        )
    text = "No Gateway has accepted the HTTPRoute; check exposure.gateway.parentRefs and the controller of its class"
    return Exposure(accepted=False, explanation=Explanation("NotAccepted", text), url=internal_url(leaderboard))


def _refusal(parent: Object, generation: int) -> str:
    """Why a parent does not route; empty if it does."""
    name = parent["parentRef"]["name"]
    current = [row for row in parent.get("conditions", []) if row.get("observedGeneration", 0) >= generation]
    failed = [row for row in current if row["type"] in ("Accepted", "ResolvedRefs") and row["status"] != "True"]
    if failed:
        return (
            f"The Gateway {name} does not route to the service: {failed[0]['reason']}: {failed[0].get('message', '')}"
        )
    if all(row["type"] != "Accepted" for row in current):
        return f"The Gateway {name} has not processed the HTTPRoute yet"
    return ""


def _gateway(leaderboard: LeaderboardView, parent: Object, gateways: dict[ParentRef, Object]) -> Object | None:
    wanted = (parent["name"], parent.get("namespace", leaderboard.namespace))
    matches = (live for ref, live in gateways.items() if (ref.name, ref.namespace or leaderboard.namespace) == wanted)
    return next(matches, None)


def _listener_url(hostnames: list[str], parent: Object, gateway: Object | None) -> str:
    """The URL of the first listener with a host, HTTPS before HTTP; empty without a host."""
    hosts = [name for name in hostnames if not name.startswith("*")]
    if gateway is None:  # the operator may not read it: a route with a host name is usually public, with HTTPS
        return f"https://{hosts[0]}" if hosts else ""
    listeners = [row for row in gateway["spec"]["listeners"] if _accepts(row, parent.get("sectionName"))]
    address = next((row["value"] for row in gateway.get("status", {}).get("addresses", [])), "")
    for listener in sorted(listeners, key=lambda row: row["protocol"] != "HTTPS"):
        host = _host(hostnames, listener.get("hostname", ""), address)
        if host:
            return _url(listener["protocol"].lower(), host, listener["port"])
    return ""


def _accepts(listener: Object, section: str | None) -> bool:
    """Whether a listener accepts HTTPRoutes (TCP and TLS listeners do not) and has the name of the section."""
    return listener["protocol"] in ("HTTP", "HTTPS") and section in (None, listener["name"])


def _host(hostnames: list[str], served: str, address: str) -> str:
    """A host of both the route and a listener. Without host names it is the address; empty if there is none."""
    if not hostnames and not served:
        return address
    names = [_narrower(served or name, name) for name in hostnames] or [served]
    return next((name for name in names if name and not name.startswith("*")), "")


def _narrower(left: str, right: str) -> str:
    """The narrower of two host names: of `*.example` and `a.example` the second; empty if they do not overlap."""
    if _covers(left, right):
        return right
    return left if _covers(right, left) else ""


def _covers(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _address(live: Object | None) -> str:
    """The first load balancer address of a Service or an Ingress."""
    entries = (live or {}).get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return next((entry.get("hostname") or entry.get("ip", "") for entry in entries), "")


def _url(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" + ("" if port == _PORTS[scheme] else f":{port}")
