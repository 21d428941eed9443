"""Value types for hosts, networks, web origins and URLs."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from tornado_app.config.value_types import Base, InvalidValue, Texts
from tornado_app.core.origins import host_pattern, is_address, is_host_name, is_loopback, origin_pattern

_MONGODB_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?|[^:]*%2[Ff][^:]*", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
"""A range of addresses."""


def is_host(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address or a host name."""
    return is_address(text) or is_host_name(text)


class Host(Base, frozen=True, kw_only=True):
    """An address to listen on."""

    metavar: str = "HOST"
    expected: str = "an IP address or a host name, such as 127.0.0.1, ::1, :: (every interface) or 0.0.0.0 (IPv4 only)"

    def parse(self, text: str) -> str:
        """`text` itself."""
        if not is_host(text):
            raise InvalidValue("write an IPv6 address without brackets" if text.startswith("[") else "")
        return text


class Networks(Texts, frozen=True, kw_only=True):
    """Networks in CIDR form or single addresses."""

    metavar: str = "CIDR,..."
    expected: str = "a list of networks separated by commas, such as 10.0.0.0/8, 192.0.2.7 or fd00::/8"

    def item(self, text: str) -> Network:
        """A network. Raises InvalidValue."""
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            pass
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise InvalidValue("an item is not a network") from None
        raise InvalidValue(f"an address within a network is not the network; did you mean {meant}?")


class Url(Base, frozen=True, kw_only=True):
    """The URL of a trusted service: https, or http on a loopback address, so that no other host can read the
    requests."""

    metavar: str = "URL"
    expected: str = "an https:// URL (or http:// on a loopback address), without user name, password or fragment"

    def parse(self, text: str) -> str:
        """`text` itself."""
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError:
            raise InvalidValue from None
        visible = text.isascii() and text.isprintable() and " " not in text
        if not visible or not host or not is_host(host) or port == 0 or "@" in url.netloc or "#" in text:
            raise InvalidValue
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(host)):
            raise InvalidValue
        return text

    def format(self, value: Any) -> str:
        """Without the query, which may contain a secret."""
        address, question, _ = value.partition("?")
        return f"{address}{question and '?***'}"


LOOPBACK = ("localhost", "*.localhost", "127.0.0.1", "::1")
"""Names of the loopback interface."""


class Patterns(Texts, frozen=True, kw_only=True):
    """Names with an optional wildcard."""

    def from_yaml(self, value: object) -> tuple[str, ...]:
        """A list of text, or text that `parse` reads; a lone `*` is any name."""
        if not isinstance(value, list) or "*" not in value:
            return super().from_yaml(value)
        if value != ["*"]:
            raise InvalidValue("* stands alone")
        return self.any

    def item(self, text: str) -> str:
        """A pattern in its normal form. Raises InvalidValue."""
        try:
            return self.pattern(text)
        except ValueError as error:
            raise InvalidValue(str(error)) from None

    @property
    def any(self) -> tuple[str, ...]:
        """The value of a lone `*`."""
        return ("*",)

    def pattern(self, text: str) -> str:
        """As `item`. Raises ValueError with the error."""
        raise NotImplementedError


class Origins(Patterns, frozen=True, kw_only=True):
    """Web origins."""

    metavar: str = "ORIGIN,..."
    expected: str = (
        "a list of web origins separated by commas, such as https://play.example.com, https://*.example.com (exactly "
        "one label), capacitor://localhost or null; or * for any"
    )

    def pattern(self, text: str) -> str:
        """Raises ValueError."""
        return origin_pattern(text)


class HostNames(Patterns, frozen=True, kw_only=True):
    """Names by which clients may address the service."""

    metavar: str = "NAME,..."
    expected: str = (
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
    """A MongoDB connection string. Only its form is checked here; the driver parses it."""

    metavar: str = "URI"
    expected: str = "a MongoDB connection string, such as mongodb://host:27017/?replicaSet=rs0 or mongodb+srv://host"

    def parse(self, text: str) -> str:
        """`text` itself."""
        if any(ord(c) < 33 or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in text):
            raise InvalidValue("it contains a space or a control character")
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("mongodb", "mongodb+srv"):
            raise InvalidValue("it begins with mongodb:// or mongodb+srv://")
        hosts = re.split(r"[/?]", rest.rpartition("@")[2], maxsplit=1)[0]
        if not all(_MONGODB_HOST.fullmatch(host) for host in hosts.split(",")):
            raise InvalidValue(
                "its hosts cannot be read; write @ : / and % in a user name or password as %40 %3A %2F %25"
            )
        return text

    def format(self, value: Any) -> str:
        """Hosts and database; credentials and options, which may be secret, are masked."""
        scheme, _, rest = value.partition("://")
        # Everything up to the last @ counts as credentials, so that a badly escaped password stays hidden too.
        credentials, at, place = rest.rpartition("@")
        place, question, _ = place.partition("?")
        return f"{scheme}://{'***' if credentials else ''}{at}{place}{question and '?***'}"


def uri_option(uri: str, name: str) -> str | None:
    """The value of an option (case-insensitive) of a MongoDB connection string; None if it is not given."""
    for option in re.split("[&;]", uri.partition("?")[2]):
        found, _, value = option.partition("=")
        if found.lower() == name.lower():
            return value
    return None
