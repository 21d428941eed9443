"""Where a Leaderboard is reached, from what was accepted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leaderboard_operator.exposure import exposure
from leaderboard_operator.spec.exposure import ParentRef
from tests.operator.boards import spec
from tests.operator.samples import board

INNER = "http://arcade.games.svc:8080"

Object = dict[str, Any]


def addressed(**entry: str) -> Object:
    return {"status": {"loadBalancer": {"ingress": [entry]}}}


def with_service(**service: Any) -> Object:
    return spec(exposure={"service": service})


def with_ingress(**ingress: Any) -> Object:
    return spec(exposure={"ingress": {"host": "scores.example", **ingress}})


PLAIN = [
    # spec, live objects: whether, reason, url
    (spec(), {}, True, "InCluster", INNER),
    (with_service(type="NodePort", port=80), {}, True, "InCluster", "http://arcade.games.svc:80"),
    (with_service(type="LoadBalancer"), {}, False, "AddressPending", INNER),
    (
        with_service(type="LoadBalancer"),
        {"service": addressed(ip="192.0.2.7")},
        True,
        "Accepted",
        "http://192.0.2.7:8080",
    ),
    (
        with_service(type="LoadBalancer", port=80),
        {"service": addressed(ip="fd00::7")},
        True,
        "Accepted",
        "http://[fd00::7]",
    ),
    (
        with_service(type="LoadBalancer", port=80),
        {"service": addressed(hostname="lb.example", ip="192.0.2.7")},
        True,
        "Accepted",
        "http://lb.example",
    ),
    (
        {**with_service(type="LoadBalancer", port=443), "settings": {"tls_cert_file": "/a", "tls_key_file": "/b"}},
        {"service": addressed(ip="192.0.2.7")},
        True,
        "Accepted",
        "https://192.0.2.7",
    ),
    (with_ingress(), {}, False, "NotAccepted", INNER),
    (with_ingress(), {"ingress": addressed(ip="192.0.2.7")}, True, "Accepted", "http://scores.example"),
    (with_ingress(tlsSecretName="tls"), {"ingress": addressed(ip="a")}, True, "Accepted", "https://scores.example"),
]


@pytest.mark.parametrize(("content", "live", "so", "reason", "url"), PLAIN)
def test_service_and_ingress_are_exposed_by_their_address(content, live, so, reason, url):
    found = exposure(board(content), **live)
    assert (found.accepted, found.explanation.reason, found.url) == (so, reason, url)
    assert found.explanation.message


def with_gateway(*hostnames: str, **parent: str) -> Object:
    return spec(exposure={"gateway": {"parentRefs": [{"name": "public", **parent}], "hostnames": list(hostnames)}})


def route(generation: int = 1, seen: int = 1, section: str = "", **conditions: str) -> Object:
    parent = {"name": "public", **({"sectionName": section} if section else {})}
    rows = [
        {"type": type_, "status": status, "reason": f"{type_}Is{status}", "message": "m", "observedGeneration": seen}
        for type_, status in conditions.items()
    ]
    return {"metadata": {"generation": generation}, "status": {"parents": [{"parentRef": parent, "conditions": rows}]}}


TAKEN = {"Accepted": "True", "ResolvedRefs": "True"}
PLAIN_HTTP = {"name": "web-tls", "protocol": "HTTP", "port": 80}
SECURE = {"name": "plain", "protocol": "HTTPS", "port": 443, "hostname": "*.games.example"}
OTHERS = {"name": "others", "protocol": "HTTPS", "port": 7443, "hostname": "*.other.test"}
NAMED = {"name": "named", "protocol": "HTTPS", "port": 9443, "hostname": "a.example"}
TCP = {"name": "mongo", "protocol": "TCP", "port": 27017}
TLS = {"name": "passed", "protocol": "TLS", "port": 6443}
ODD_PORT = {"name": "odd", "protocol": "HTTPS", "port": 8443}


def gateway(*listeners: Object, address: str = "") -> Object:
    return {"spec": {"listeners": list(listeners)}, "status": {"addresses": [{"value": address}] if address else []}}


A_GAME = "https://a.games.example"

ROUTES = [
    # spec, route, Gateway: whether, reason, url
    (with_gateway("a.example"), None, None, False, "NotAccepted", INNER),
    (with_gateway("a.example"), {"metadata": {"generation": 1}}, None, False, "NotAccepted", INNER),
    (with_gateway("a.example"), route(Accepted="False"), None, False, "RouteRefused", INNER),
    (with_gateway("a.example"), route(Accepted="True", ResolvedRefs="False"), None, False, "RouteRefused", INNER),
    (with_gateway("a.example"), route(2, 1, **TAKEN), None, False, "RouteRefused", INNER),
    (with_gateway("a.example"), route(**TAKEN), None, True, "Accepted", "https://a.example"),
    (with_gateway(), route(**TAKEN), None, True, "Accepted", INNER),
    (with_gateway("a.example"), route(**TAKEN), gateway(PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (with_gateway("a.games.example"), route(**TAKEN), gateway(PLAIN_HTTP, SECURE), True, "Accepted", A_GAME),
    (with_gateway("a.example"), route(**TAKEN), gateway(ODD_PORT), True, "Accepted", "https://a.example:8443"),
    (
        with_gateway("a.example", sectionName="web-tls"),
        route(section="web-tls", **TAKEN),
        gateway(PLAIN_HTTP, SECURE),
        True,
        "Accepted",
        "http://a.example",
    ),
    (with_gateway("*.example"), route(**TAKEN), gateway(SECURE), True, "Accepted", INNER),
    (with_gateway("*.example"), route(**TAKEN), gateway(PLAIN_HTTP, address="192.0.2.7"), True, "Accepted", INNER),
    (with_gateway("*.example"), route(**TAKEN), gateway(OTHERS, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway(), route(**TAKEN), gateway(SECURE, address="192.0.2.7"), True, "Accepted", INNER),
    (with_gateway(), route(**TAKEN), gateway(SECURE, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway("a.example"), route(**TAKEN), gateway(OTHERS, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway("a.example"), route(**TAKEN), gateway(OTHERS, PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (
        with_gateway("a.example"),
        route(**TAKEN),
        gateway(TCP, TLS, ODD_PORT),
        True,
        "Accepted",
        "https://a.example:8443",
    ),
    (with_gateway("a.example"), route(**TAKEN), gateway(TCP, TLS, PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (
        with_gateway("b.games.example"),
        route(**TAKEN),
        gateway(OTHERS, SECURE),
        True,
        "Accepted",
        "https://b.games.example",
    ),
    (with_gateway(), route(**TAKEN), gateway(PLAIN_HTTP, address="192.0.2.7"), True, "Accepted", "http://192.0.2.7"),
]


@pytest.mark.parametrize(("content", "live", "parent", "so", "reason", "url"), ROUTES)
def test_route_is_exposed_by_the_gateways_listener(content, live, parent, so, reason, url):
    name = next(iter(content["exposure"]["gateway"]["parentRefs"])).get("sectionName")
    gateways = {} if parent is None else {ParentRef("public", None, name): parent}
    found = exposure(board(content), route=live, gateways=gateways)
    assert (found.accepted, found.explanation.reason, found.url) == (so, reason, url)
    assert found.explanation.message


def test_one_gateway_of_two_that_routes_is_enough():
    refused, taken = route(Accepted="False"), route(**TAKEN)
    refused["status"]["parents"] += taken["status"]["parents"]
    assert exposure(board(with_gateway("a.example")), route=refused).accepted


@pytest.mark.parametrize("sections", [("web-tls", "odd"), ("odd", "web-tls"), ("mongo", "odd")])
def test_url_is_the_secure_one_of_several_parents(sections):
    """A route is often on the listener of HTTP too, to redirect."""
    refs = [ParentRef("public", None, each) for each in sections]
    content = spec(
        exposure={"gateway": {"parentRefs": [msgspec.to_builtins(each) for each in refs], "hostnames": ["a.example"]}}
    )
    first, second = (route(section=each, **TAKEN) for each in sections)
    first["status"]["parents"] += second["status"]["parents"]
    gateways = dict.fromkeys(refs, gateway(PLAIN_HTTP, ODD_PORT, TCP))
    assert exposure(board(content), route=first, gateways=gateways).url == "https://a.example:8443"
