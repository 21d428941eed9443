"""The client address of a request behind proxies, and a limit of failures for each address, in bounded memory."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

log = logging.getLogger("leaderboard.http")

MAX_ADDRESSES = 20_000
"""Maximum number of addresses in memory; the least recently used one is dropped."""

IPV6_PREFIX = 64
"""Bits of an IPv6 network that usually belongs to one customer, who can use all addresses in it."""


class TrustedProxies:
    """Finds the client address behind trusted proxies. X-Forwarded-For of any other peer is ignored."""

    def __init__(self, trusted: Iterable[str | Network] = (), *, on_ignored: Callable[[], None] = lambda: None) -> None:
        """`on_ignored` is called for each X-Forwarded-For that is ignored."""
        self._on_ignored = on_ignored
        self._trusted = tuple(ip_network(network) for network in trusted)
        self._warned = False

    def client_address(self, peer: str, forwarded: str | None) -> str:
        """The address of the client. `peer`: that of the connection; `forwarded`: the header X-Forwarded-For.

        Each proxy appends the address of its peer, so the list is read from its end as long as its members are trusted.
        """
        if forwarded is None:
            return peer
        if not self._trusts(peer):
            self._on_ignored()
            self._warn(peer)
            return peer
        client = peer
        for hop in reversed(forwarded.split(",")):
            address = _parse_hop(hop.strip())
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return client

    def _warn(self, peer: str) -> None:
        """Log once in this process, as a proxy that is not configured looks like a client that forges the header."""
        if self._warned:
            return
        self._warned = True
        log.warning(
            "ignoring X-Forwarded-For from %s, which is not in trusted_proxies. If it is your proxy, add it, else all "
            "clients behind it count as one address for max_connections_per_address and auth_failure_limit",
            peer,
            extra={"event": "proxy_not_trusted", "remote": peer},
        )

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return any((mapped or parsed) in network for network in self._trusted)


def _parse_hop(hop: str) -> str | None:
    """The address in a member of X-Forwarded-For, without port and brackets; None if it is invalid."""
    text = hop.split("]")[0].removeprefix("[")
    if text.count(":") == 1:
        text = text.split(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=MAX_ADDRESSES)
def rate_limit_key(address: str) -> str:
    """The key that limits count by: an IPv4 address, or the IPv6 network of IPV6_PREFIX bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address  # such as that of a Unix socket
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address


class FailureLimiter:
    """Limits failures to `maximum` for each address in any `window` seconds."""

    def __init__(
        self,
        maximum: int,
        window: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._maximum = maximum
        self._window = window
        self._clock = clock
        self._max_addresses = max_addresses
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def limit(self) -> str:
        """The limit as the setting is written."""
        return f"{self._maximum}/{self._window:g}s"

    def retry_after(self, address: str) -> float:
        """Seconds until the address may try again; 0 if it may try now."""
        times = self._times.get(rate_limit_key(address))
        if times is None or len(times) < self._maximum:
            return 0.0
        return max(0.0, times[0] + self._window - self._clock())

    def record(self, address: str) -> None:
        key = rate_limit_key(address)
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = deque(maxlen=self._maximum)
            if len(self._times) > self._max_addresses:
                self._times.popitem(last=False)
        else:
            self._times.move_to_end(key)
        times.append(self._clock())
