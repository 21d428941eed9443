"""Where a request comes from, and how much one address may get wrong. Kept in this process, in bounded memory."""

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
"""Addresses kept in mind; past that the one that was quiet the longest is forgotten."""

IPV6_SITE = 64
"""Bits of an IPv6 address that one customer usually has to itself; the rest can be made up at will."""


class TrustedProxies:
    """Finds the client behind trusted proxies; nobody else's X-Forwarded-For is believed."""

    def __init__(self, trusted: Iterable[str | Network] = (), *, on_ignored: Callable[[], None] = lambda: None) -> None:
        """`on_ignored` is called for each X-Forwarded-For that is not believed."""
        self._on_ignored = on_ignored
        self._trusted = tuple(ip_network(network) for network in trusted)
        self._warned = False

    def client_address(self, peer: str, forwarded: str | None) -> str:
        """The address of the client. `peer`: the connection's; `forwarded`: the header X-Forwarded-For.

        Each proxy appends whom it saw, so the list is read from its end for as long as its members are trusted.
        """
        if forwarded is None:
            return peer
        if not self._trusts(peer):
            self._on_ignored()
            self._warn(peer)
            return peer
        client = peer
        for hop in reversed(forwarded.split(",")):
            address = _plain(hop.strip())
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return client

    def _warn(self, peer: str) -> None:
        """Once for this process: a proxy that the settings do not name looks just like a client that makes it up."""
        if self._warned:
            return
        self._warned = True
        log.warning(
            "X-Forwarded-For from %s is ignored, as trusted_proxies does not name that address. If it is your proxy, "
            "all clients behind it count as one address for max_connections_per_address and auth_failure_limit: "
            "add the proxy to trusted_proxies",
            peer,
            extra={"event": "proxy_not_trusted", "remote": peer},
        )

    def _trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return any((mapped or found) in network for network in self._trusted)


def _plain(hop: str) -> str | None:
    """An address without port or brackets; None where it is none."""
    text = hop.split("]")[0].removeprefix("[")
    if text.count(":") == 1:
        text = text.split(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=MAX_ADDRESSES)
def rate_limit_key(address: str) -> str:
    """What is counted as one address: an IPv4 address, or an IPv6 network of one site."""
    try:
        found = ip_address(address)
    except ValueError:
        return address  # a Unix socket, say
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, IPV6_SITE), strict=False))
    return address


class FailureLimiter:
    """Counts what each address got wrong: at most `most` in any `window` seconds."""

    def __init__(self, most: int, window: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def limit(self) -> str:
        """The bound, as the setting writes it."""
        return f"{self._most}/{self._window:g}s"

    def retry_after(self, address: str) -> float:
        """Seconds until the address may try again; 0 when it may now."""
        times = self._times.get(rate_limit_key(address))
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + self._window - self._clock())

    def record(self, address: str) -> None:
        """The address got something wrong."""
        key = rate_limit_key(address)
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = deque(maxlen=self._most)
            if len(self._times) > MAX_ADDRESSES:
                self._times.popitem(last=False)
        else:
            self._times.move_to_end(key)
        times.append(self._clock())
