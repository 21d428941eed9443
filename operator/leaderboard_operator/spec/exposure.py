"""How clients reach the service: Service, Ingress, Gateway, trusted proxies and NetworkPolicy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from leaderboard_operator.spec.types import Annotations, DnsName, Part, RawObject, Rule, ShortText, field

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
        Annotations, field("Annotations of the Service, for example for a cloud's load balancer.")
    ] = {}
    port: Annotated[int, field("Port of the Service.", ge=1, le=65_535)] = 8080
    app_protocol: Annotated[
        Literal["http", "kubernetes.io/ws"],
        field("Application protocol of the port. Some Gateways forward sockets only with kubernetes.io/ws."),
    ] = "http"
    external_traffic_policy: (
        Annotated[
            Literal["Cluster", "Local"],
            field(
                "Local preserves the address of each client, and uses nodes with a pod only. If unset, Cluster: "
                "clients have the addresses of nodes, and per-address limits are off."
            ),
        ]
        | None
    ) = None
    load_balancer_class: Annotated[ShortText, field("Implementation of the load balancer.")] | None = None
    load_balancer_source_ranges: Annotated[
        list[NetworkText], field("Networks that may use the load balancer. If empty, all networks.", max_length=64)
    ] = []
    ip_family_policy: Annotated[
        Literal["SingleStack", "PreferDualStack", "RequireDualStack"],
        field("IPv4 and IPv6 of the Service."),
    ] = "PreferDualStack"


class Ingress(Part, frozen=True):
    """An Ingress. Its controller must support WebSockets, as all common ones do."""

    host: Annotated[DnsName, field("Host name.")]
    class_name: Annotated[DnsName, field("IngressClass. If unset, the default of the cluster.")] | None = None
    tls_secret_name: (
        Annotated[DnsName, field("Secret with the certificate of the host. Required for HTTPS.")] | None
    ) = None
    annotations: Annotated[
        Annotations,
        field(
            "Annotations of the Ingress. They override the operator's annotations for NGINX, HAProxy and Contour, "
            "which keep sockets open for an hour."
        ),
    ] = {}


HostName = Annotated[
    str,
    Meta(max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
"""A host name, or `*.` and a domain."""


class ParentRef(Part, frozen=True):
    """A Gateway, or a listener of one."""

    name: Annotated[DnsName, field("Name of the Gateway.")]
    namespace: Annotated[DnsName, field("Its namespace. If unset, that of the Leaderboard.")] | None = None
    section_name: Annotated[DnsName, field("Name of the listener. If unset, all that match.")] | None = None


GatewayDuration = Annotated[str, Meta(max_length=16, pattern=r"^(([0-9]{1,5}(h|m|s|ms)){1,4})?$")]


class Gateway(Part, frozen=True):
    """An HTTPRoute of the Gateway API."""

    parent_refs: Annotated[list[ParentRef], field("Gateways that route to the service.", max_length=8)] = []
    hostnames: Annotated[
        list[HostName], field("Host names. If empty, all host names of the Gateway.", max_length=16)
    ] = []
    request_timeout: Annotated[
        GatewayDuration,
        field(
            "Request timeout of the route, which also ends sockets. 0s is no timeout. If empty, the route has no "
            "such field, as a Gateway API older than 1.2 needs it."
        ),
    ] = "0s"
    filters: Annotated[
        list[RawObject], field("Filters of the route's rule, in the form of an HTTPRoute.", max_length=16)
    ] = []
    annotations: Annotated[Annotations, field("Annotations of the HTTPRoute.")] = {}


class Exposure(Part, frozen=True):
    """How clients reach the service. Within the cluster they use the Service named as the Leaderboard."""

    RULES = (
        Rule(
            "!has(self.ingress) || !has(self.gateway) || self.gateway.parentRefs.size() == 0",
            "set either ingress or gateway",
        ),
    )

    service: Annotated[Service, field("The Service.")] = Service()
    ingress: Annotated[Ingress, field("An Ingress.")] | None = None
    gateway: Annotated[Gateway, field("An HTTPRoute. The cluster needs the Gateway API.")] | None = None
    trusted_proxies: (
        Annotated[
            list[NetworkText],
            field(
                "Networks of proxies whose X-Forwarded-For is trusted. If unset: the private networks with ingress or "
                "gateway, no network otherwise. Set it if you create the Ingress, route or mesh yourself: without it "
                "all clients share one address, and per-address limits are off unless `settings` sets them.",
                max_length=32,
            ),
        ]
        | None
    ) = None


class NetworkPolicy(Part, frozen=True):
    """Limits connections to the pods."""

    enabled: Annotated[bool, field("Whether the operator creates a NetworkPolicy.")] = True
    allow_from: Annotated[
        list[RawObject],
        field("Allowed clients, in the form of `from` in a NetworkPolicy. If empty, all clients.", max_length=32),
    ] = []
