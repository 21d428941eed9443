"""The kinds of settings that name something on the network: hosts, networks, web origins, addresses of services."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from tornado_app.config.kinds import Base, Refused, Texts
from tornado_app.core.origins import host_pattern, origin_pattern

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_MONGODB_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?|[^:]*%2[Ff][^:]*", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
"""A range of addresses."""


def is_host(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address or a host name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # Only digits and dots would be a mistyped address, which a resolver reads in surprising ways.
        return len(text) <= 253 and _HOSTNAME.fullmatch(text) is not None and re.fullmatch(r"[0-9.]+", text) is None
    return True


class Host(Base, frozen=True, kw_only=True):
    """An address to listen on."""

    metavar: str = "HOST"
    what: str = "an IP address or a host name, such as 127.0.0.1, ::1, :: (every interface) or 0.0.0.0 (IPv4 only)"

    def parse(self, text: str) -> str:
        """`text` itself."""
        if not is_host(text):
            raise Refused("write an IPv6 address without brackets" if text.startswith("[") else "")
        return text


class Networks(Texts, frozen=True, kw_only=True):
    """Networks in CIDR form or single addresses."""

    metavar: str = "CIDR,..."
    what: str = "a list of networks separated by commas, such as 10.0.0.0/8, 192.0.2.7 or fd00::/8"

    def item(self, text: str) -> Network:
        """A network, else `Refused`."""
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            pass
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Refused("it holds something that is no network") from None
        raise Refused(f"an address within a network is not the network; did you mean {meant}?")


class Url(Base, frozen=True, kw_only=True):
    """The address of a service that is trusted: nobody on the way can read or change what goes there and back."""

    metavar: str = "URL"
    what: str = "an https:// URL (or http:// on a loopback address), without user name, password or fragment"

    def parse(self, text: str) -> str:
        """`text` itself."""
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError:
            raise Refused from None
        visible = text.isascii() and text.isprintable() and " " not in text
        if not visible or not host or not is_host(host) or port == 0 or "@" in url.netloc or "#" in text:
            raise Refused
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
            raise Refused
        return text

    def show(self, value: Any) -> str:
        """Without the values of a query, which may be secret."""
        address, question, _ = value.partition("?")
        return f"{address}{question and '?***'}"


LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")
"""The names of the loopback."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host by this name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Patterns(Texts, frozen=True, kw_only=True):
    """Names with an optional wildcard."""

    def take(self, value: object) -> tuple[str, ...]:
        """A list of text, or text that `parse` reads; a lone `*` is any name."""
        if not isinstance(value, list) or "*" not in value:
            return super().take(value)
        if value != ["*"]:
            raise Refused("* stands alone")
        return self.any

    def item(self, text: str) -> str:
        """A pattern in its one form, else `Refused`."""
        try:
            return self.pattern(text)
        except ValueError as error:
            raise Refused(str(error)) from None

    @property
    def any(self) -> tuple[str, ...]:
        """The value of a lone `*`."""
        return ("*",)

    def pattern(self, text: str) -> str:
        """As `item`. Raises ValueError with what is wrong."""
        raise NotImplementedError


class Origins(Patterns, frozen=True, kw_only=True):
    """Web origins."""

    metavar: str = "ORIGIN,..."
    what: str = (
        "a list of web origins separated by commas, such as https://play.example.com, https://*.example.com (exactly "
        "one label), capacitor://localhost or null; or * for any"
    )

    def pattern(self, text: str) -> str:
        """Raises ValueError."""
        return origin_pattern(text)


class HostNames(Patterns, frozen=True, kw_only=True):
    """Names by which clients may address the service."""

    metavar: str = "NAME,..."
    what: str = (
        "a list of host names and IP addresses separated by commas, without ports, such as play.example.com or "
        "*.example.com (exactly one label)"
    )

    @property
    def any(self) -> tuple[str, ...]:
        """An empty list, which allows any host too."""
        return ()

    def pattern(self, text: str) -> str:
        """Raises ValueError."""
        return host_pattern(text)


class MongodbUri(Base, frozen=True, kw_only=True):
    """A MongoDB connection string. Only its shape is looked at here; the driver reads it."""

    metavar: str = "URI"
    what: str = "a MongoDB connection string, such as mongodb://host:27017/?replicaSet=rs0 or mongodb+srv://host"

    def parse(self, text: str) -> str:
        """`text` itself."""
        if any(ord(c) < 33 or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in text):
            raise Refused("it holds a space or a control character")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("mongodb", "mongodb+srv"):
            raise Refused("it begins with mongodb:// or mongodb+srv://")
        hosts = re.split(r"[/?]", rest.rpartition("@")[2], maxsplit=1)[0]
        if not all(_MONGODB_HOST.fullmatch(host) for host in hosts.split(",")):
            raise Refused("its hosts cannot be read; write @ : / and % in a user name or password as %40 %3A %2F %25")
        return text

    def show(self, value: Any) -> str:
        """The hosts and database; the credentials and options, which may be secret too, masked."""
        scheme, _, rest = value.partition("://")
        # Everything up to the last @ counts as credentials, so that a badly escaped password stays hidden too.
        credentials, at, place = rest.rpartition("@")
        place, question, _ = place.partition("?")
        return f"{scheme}://{'***' if credentials else ''}{at}{place}{question and '?***'}"


def uri_option(uri: str, name: str) -> str | None:
    """The value of an option of a MongoDB connection string, whose names have no case; None where it is not given."""
    for option in re.split("[&;]", uri.partition("?")[2]):
        found, _, value = option.partition("=")
        if found.lower() == name.lower():
            return value
    return None
