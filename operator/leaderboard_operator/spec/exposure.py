"""How the service of a Leaderboard is reached: Service, Ingress, Gateway and the proxies in front."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from leaderboard_operator.spec.kinds import Annotations, DnsName, Object, Part, Rule, Short, field

NetworkText = Annotated[str, field("A network.", max_length=64, pattern=r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$")]


class Service(Part, frozen=True):
    """The Service of clients."""

    RULES = (
        Rule(
            "self.type == 'LoadBalancer' || "
            "(self.loadBalancerSourceRanges.size() == 0 && !has(self.loadBalancerClass))",
            "loadBalancerSourceRanges and loadBalancerClass need type LoadBalancer",
        ),
        Rule(
            "self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)",
            "externalTrafficPolicy needs type LoadBalancer or NodePort",
        ),
    )

    type: Annotated[Literal["ClusterIP", "NodePort", "LoadBalancer"], field("Type of the Service.")] = "ClusterIP"
    annotations: Annotated[
        Annotations, field("Annotations of the Service, such as a cloud's for its load balancer.")
    ] = {}
    port: Annotated[int, field("Port of the Service.", ge=1, le=65_535)] = 8080
    app_protocol: Annotated[
        Literal["http", "kubernetes.io/ws"],
        field("Protocol as the Service names it; some Gateways pass sockets on only with kubernetes.io/ws."),
    ] = "http"
    external_traffic_policy: (
        Annotated[
            Literal["Cluster", "Local"],
            field(
                "Local keeps the address of each client, and uses nodes with a pod only. If unset, Kubernetes' own "
                "default, Cluster, with which all clients come from addresses of nodes, and per-address limits are off."
            ),
        ]
        | None
    ) = None
    load_balancer_class: Annotated[Short, field("Implementation of the load balancer.")] | None = None
    load_balancer_source_ranges: Annotated[
        list[NetworkText], field("Networks that may use the load balancer. If empty, all.", max_length=64)
    ] = []
    ip_family_policy: Annotated[
        Literal["SingleStack", "PreferDualStack", "RequireDualStack"],
        field("Which of IPv4 and IPv6 the Service has."),
    ] = "PreferDualStack"


class Ingress(Part, frozen=True):
    """An Ingress. Sockets need a controller that passes WebSockets on, as all common ones do."""

    host: Annotated[DnsName, field("Host name.")]
    class_name: Annotated[DnsName, field("IngressClass. Left out, the cluster's default.")] | None = None
    tls_secret_name: Annotated[DnsName, field("Secret with the host's certificate; https then.")] | None = None
    annotations: Annotated[
        Annotations,
        field(
            "Annotations of the Ingress. Those that keep sockets open for an hour are there for the controllers of "
            "NGINX, HAProxy and Contour; yours win."
        ),
    ] = {}


HostName = Annotated[
    str,
    Meta(max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
"""A host, or `*.` and a domain."""


class ParentRef(Part, frozen=True):
    """A Gateway, or a listener of one."""

    name: Annotated[DnsName, field("Name of the Gateway.")]
    namespace: Annotated[DnsName, field("Its namespace. Left out, the Leaderboard's.")] | None = None
    section_name: Annotated[DnsName, field("Name of the listener. Left out, all that fit.")] | None = None


GatewayTime = Annotated[str, Meta(max_length=16, pattern=r"^(([0-9]{1,5}(h|m|s|ms)){1,4})?$")]


class Gateway(Part, frozen=True):
    """An HTTPRoute of the Gateway API."""

    parent_refs: Annotated[list[ParentRef], field("The Gateways that route to the service.", max_length=8)] = []
    hostnames: Annotated[list[HostName], field("Host names; none is any that the Gateway serves.", max_length=16)] = []
    request_timeout: Annotated[
        GatewayTime,
        field(
            "Timeout of the route for a request, which a socket is: 0s is none. Empty leaves the field out, for a "
            "Gateway API older than 1.2."
        ),
    ] = "0s"
    filters: Annotated[
        list[Object], field("Filters of the route's rule, in the Gateway API's own form.", max_length=16)
    ] = []
    annotations: Annotated[Annotations, field("Annotations of the HTTPRoute.")] = {}


class Exposure(Part, frozen=True):
    """How the service is reached; within the cluster by the Service of the Leaderboard's name."""

    RULES = (
        Rule(
            "!has(self.ingress) || !has(self.gateway) || self.gateway.parentRefs.size() == 0",
            "set either ingress or gateway",
        ),
    )

    service: Annotated[Service, field("The Service.")] = Service()
    ingress: Annotated[Ingress, field("An Ingress.")] | None = None
    gateway: Annotated[Gateway, field("An HTTPRoute; needs a cluster with the Gateway API.")] | None = None
    trusted_proxies: (
        Annotated[
            list[NetworkText],
            field(
                "Networks of proxies whose X-Forwarded-For is believed. If unset: none without ingress and gateway, "
                "else the private networks, where the proxy's pods are. Name the proxy here where you make the "
                "Ingress, route or mesh yourself: with no proxy all clients share one address, and per-address limits "
                "are off unless `settings` has them.",
                max_length=32,
            ),
        ]
        | None
    ) = None
