"""The URL of a Leaderboard, from the status of its objects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from leaderboard_operator.exposure import exposure
from leaderboard_operator.spec.exposure import ParentRef
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec

INTERNAL_URL = "http://arcade.games.svc:8080"

Object = dict[str, Any]


def addressed(**entry: str) -> Object:
    return {"status": {"loadBalancer": {"ingress": [entry]}}}


def with_service(**service: Any) -> Object:
    return spec(exposure={"service": service})


def with_ingress(**ingress: Any) -> Object:
    return spec(exposure={"ingress": {"host": "scores.example", **ingress}})


ADDRESSES = [
    # spec, live objects: accepted, reason, url
    (spec(), {}, True, "InCluster", INTERNAL_URL),
    (with_service(type="NodePort", port=80), {}, True, "InCluster", "http://arcade.games.svc:80"),
    (with_service(type="LoadBalancer"), {}, False, "AddressPending", INTERNAL_URL),
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
    (with_ingress(), {}, False, "NotAccepted", INTERNAL_URL),
    (with_ingress(), {"ingress": addressed(ip="192.0.2.7")}, True, "Accepted", "http://scores.example"),
    (with_ingress(tlsSecretName="tls"), {"ingress": addressed(ip="a")}, True, "Accepted", "https://scores.example"),
]


@pytest.mark.parametrize(("content", "live", "accepted", "reason", "url"), ADDRESSES)
def test_exposure_of_service_or_ingress_has_its_address(content, live, accepted, reason, url):
    result = exposure(view(content), **live)
    assert (result.accepted, result.explanation.reason, result.url) == (accepted, reason, url)
    assert result.explanation.message


def with_gateway(*hostnames: str, **parent: str) -> Object:
    return spec(exposure={"gateway": {"parentRefs": [{"name": "public", **parent}], "hostnames": list(hostnames)}})


def route(generation: int = 1, observed: int = 1, section: str = "", **conditions: str) -> Object:
    parent = {"name": "public", **({"sectionName": section} if section else {})}
    rows = [
        {
            "type": type_,
            "status": status,
            "reason": f"{type_}Is{status}",
            "message": "m",
            "observedGeneration": observed,
        }
        for type_, status in conditions.items()
    ]
    return {"metadata": {"generation": generation}, "status": {"parents": [{"parentRef": parent, "conditions": rows}]}}


ACCEPTED = {"Accepted": "True", "ResolvedRefs": "True"}
PLAIN_HTTP = {"name": "web-tls", "protocol": "HTTP", "port": 80}
SECURE = {"name": "plain", "protocol": "HTTPS", "port": 443, "hostname": "*.games.example"}
OTHERS = {"name": "others", "protocol": "HTTPS", "port": 7443, "hostname": "*.other.test"}
NAMED = {"name": "named", "protocol": "HTTPS", "port": 9443, "hostname": "a.example"}
TCP = {"name": "mongo", "protocol": "TCP", "port": 27017}
TLS = {"name": "passed", "protocol": "TLS", "port": 6443}
OTHER_PORT = {"name": "other-port", "protocol": "HTTPS", "port": 8443}


def gateway(*listeners: Object, address: str = "") -> Object:
    return {"spec": {"listeners": list(listeners)}, "status": {"addresses": [{"value": address}] if address else []}}


A_GAME = "https://a.games.example"

ROUTES = [
    # spec, route, Gateway: accepted, reason, url
    (with_gateway("a.example"), None, None, False, "NotAccepted", INTERNAL_URL),
    (with_gateway("a.example"), {"metadata": {"generation": 1}}, None, False, "NotAccepted", INTERNAL_URL),
    (with_gateway("a.example"), route(Accepted="False"), None, False, "RouteRefused", INTERNAL_URL),
    (
        with_gateway("a.example"),
        route(Accepted="True", ResolvedRefs="False"),
        None,
        False,
        "RouteRefused",
        INTERNAL_URL,
    ),
    (with_gateway("a.example"), route(2, 1, **ACCEPTED), None, False, "RouteRefused", INTERNAL_URL),
    (with_gateway("a.example"), route(**ACCEPTED), None, True, "Accepted", "https://a.example"),
    (with_gateway(), route(**ACCEPTED), None, True, "Accepted", INTERNAL_URL),
    (with_gateway("a.example"), route(**ACCEPTED), gateway(PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (with_gateway("a.games.example"), route(**ACCEPTED), gateway(PLAIN_HTTP, SECURE), True, "Accepted", A_GAME),
    (with_gateway("a.example"), route(**ACCEPTED), gateway(OTHER_PORT), True, "Accepted", "https://a.example:8443"),
    (
        with_gateway("a.example", sectionName="web-tls"),
        route(section="web-tls", **ACCEPTED),
        gateway(PLAIN_HTTP, SECURE),
        True,
        "Accepted",
        "http://a.example",
    ),
    (with_gateway("*.example"), route(**ACCEPTED), gateway(SECURE), True, "Accepted", INTERNAL_URL),
    (
        with_gateway("*.example"),
        route(**ACCEPTED),
        gateway(PLAIN_HTTP, address="192.0.2.7"),
        True,
        "Accepted",
        INTERNAL_URL,
    ),
    (with_gateway("*.example"), route(**ACCEPTED), gateway(OTHERS, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway(), route(**ACCEPTED), gateway(SECURE, address="192.0.2.7"), True, "Accepted", INTERNAL_URL),
    (with_gateway(), route(**ACCEPTED), gateway(SECURE, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway("a.example"), route(**ACCEPTED), gateway(OTHERS, NAMED), True, "Accepted", "https://a.example:9443"),
    (with_gateway("a.example"), route(**ACCEPTED), gateway(OTHERS, PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (
        with_gateway("a.example"),
        route(**ACCEPTED),
        gateway(TCP, TLS, OTHER_PORT),
        True,
        "Accepted",
        "https://a.example:8443",
    ),
    (with_gateway("a.example"), route(**ACCEPTED), gateway(TCP, TLS, PLAIN_HTTP), True, "Accepted", "http://a.example"),
    (
        with_gateway("b.games.example"),
        route(**ACCEPTED),
        gateway(OTHERS, SECURE),
        True,
        "Accepted",
        "https://b.games.example",
    ),
    (with_gateway(), route(**ACCEPTED), gateway(PLAIN_HTTP, address="192.0.2.7"), True, "Accepted", "http://192.0.2.7"),
]


@pytest.mark.parametrize(("content", "live", "parent", "accepted", "reason", "url"), ROUTES)
def test_exposure_of_route_has_url_of_listener(content, live, parent, accepted, reason, url):
    name = next(iter(content["exposure"]["gateway"]["parentRefs"])).get("sectionName")
    gateways = {} if parent is None else {ParentRef("public", None, name): parent}
    result = exposure(view(content), route=live, gateways=gateways)
    assert (result.accepted, result.explanation.reason, result.url) == (accepted, reason, url)
    assert result.explanation.message


def test_exposure_with_one_accepting_gateway_is_accepted():
    refused, accepted = route(Accepted="False"), route(**ACCEPTED)
    refused["status"]["parents"] += accepted["status"]["parents"]
    assert exposure(view(with_gateway("a.example")), route=refused).accepted


@pytest.mark.parametrize("sections", [("web-tls", "other-port"), ("other-port", "web-tls"), ("mongo", "other-port")])
def test_exposure_with_several_parents_has_https_url(sections):
    """A route is often attached to the HTTP listener too, for a redirect."""
    refs = [ParentRef("public", None, section) for section in sections]
    content = spec(
        exposure={"gateway": {"parentRefs": [msgspec.to_builtins(ref) for ref in refs], "hostnames": ["a.example"]}}
    )
    first, second = (route(section=section, **ACCEPTED) for section in sections)
    first["status"]["parents"] += second["status"]["parents"]
    gateways = dict.fromkeys(refs, gateway(PLAIN_HTTP, OTHER_PORT, TCP))
    assert exposure(view(content), route=first, gateways=gateways).url == "https://a.example:8443"
