"""Web origins and host names: in one form, so that two spellings of the same one are equal, and matched by patterns.

Sources: RFC 6454, section 6 (serialisation); URL Standard, section 3 (hosts), for the forms that browsers send.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

ANY = "*"
NULL = "null"
"""The origin of pages without one, as browsers send it: a sandboxed frame, a file."""

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535
MAX_HOST = 253

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\x00-\x20\x7f/\\?#@:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ONE_LABEL = re.compile(_LABEL, re.ASCII)
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII | re.IGNORECASE)
_OTHER_HOST = re.compile(r"[\x21-\x7e]+", re.ASCII)
_NUMBERS = re.compile(r"[0-9.]+", re.ASCII)


def canonical(origin: str) -> str | None:
    """The origin in lower case, without a default port, an IPv6 address in its short form; None if it is not an origin.

    A scheme other than http and https has no ports and any host: `capacitor://localhost`, `chrome-extension://<id>`.
    """
    if origin == NULL:
        return NULL
    match = _ORIGIN.fullmatch(origin.lower()) if origin.isascii() else None
    if match is None:
        return None
    scheme, host, port = match.groups()
    if scheme not in DEFAULT_PORTS:
        known = port is None and (_OTHER_HOST.fullmatch(host) is not None or (scheme, host) == ("file", ""))
        return match[0] if known else None
    name = _host(host)
    if name is None or not 0 < int(port or 1) <= MAX_PORT:
        return None
    number = DEFAULT_PORTS[scheme] if port is None else int(port)
    return f"{scheme}://{name}" + ("" if number == DEFAULT_PORTS[scheme] else f":{number}")


def host_name(host: str) -> str | None:
    """The name or address of a `Host` header in canonical form, without the port; None if it is invalid.

    A port may be empty (RFC 3986, section 3.2.3).
    """
    origin = canonical(f"http://{host.removesuffix(':')}")
    if origin is None:
        return None
    name = origin.removeprefix("http://")
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0].removesuffix(".")


def same_host(origin: str, host: str) -> bool:
    """Whether a page of this origin comes from the host of a `Host` header, with or without a default port."""
    normalized = canonical(origin)
    scheme = "" if normalized is None else normalized.partition("://")[0]
    return scheme in DEFAULT_PORTS and normalized == canonical(f"{scheme}://{host.removesuffix(':')}")


def is_host_name(text: str) -> bool:
    """Whether `text` is a host name. A text of digits and dots is not: it would be a mistyped address."""
    return len(text) <= MAX_HOST and _NAME.fullmatch(text) is not None and _NUMBERS.fullmatch(text) is None


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether this host is a loopback address or `localhost`."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class OriginPatterns:
    """Matches origins: `*` is any; the star of `https://*.example.com` is exactly one label."""

    def __init__(self, patterns: Collection[str]) -> None:
        """`patterns`: as `origin_pattern` returns them."""
        self._any = ANY in patterns
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._parents = frozenset(pattern.replace("*.", "", 1) for pattern in patterns if "://*." in pattern)

    def __bool__(self) -> bool:
        return self._any or bool(self._exact or self._parents)

    def match(self, origin: str) -> bool:
        """Whether a pattern matches this origin."""
        if self._any or origin in self._exact:
            return True
        normalized = canonical(origin)
        if normalized is None:
            return False
        return normalized in self._exact or (bool(self._parents) and _parent(normalized) in self._parents)


class HostPatterns:
    """Matches names of a `Host` header: the star of `*.example.com` is exactly one label."""

    def __init__(self, patterns: Collection[str]) -> None:
        """`patterns`: as `host_pattern` returns them."""
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._parents = frozenset(pattern.removeprefix("*.") for pattern in patterns if "*" in pattern)

    def match(self, host: str | None) -> bool:
        """Whether a pattern matches this host, on any port."""
        name = None if host is None else host_name(host)
        if name is None:
            return False
        label, _, parent = name.partition(".")
        return name in self._exact or (parent in self._parents and _ONE_LABEL.fullmatch(label) is not None)


def origin_pattern(text: str) -> str:
    """A pattern in canonical form. Raises ValueError with the error."""
    if text.startswith(("http://*.", "https://*.")):
        scheme, _, rest = text.partition("://*.")
        parent = canonical(f"{scheme}://{_ascii(rest)}")
        if parent is None or "." not in parent.partition("://")[2].removesuffix("."):
            raise ValueError("a * stands for one label of a domain, as in https://*.example.com")
        return parent.replace("://", "://*.", 1)
    scheme, separator, rest = text.partition("://")
    pattern = canonical(f"{scheme}{separator}{_ascii(rest) if scheme.lower() in DEFAULT_PORTS else rest}")
    if "*" in text:
        raise ValueError("a * stands for the first label, as in https://*.example.com, or alone")
    if pattern is None:
        raise ValueError(_hint(text))
    return pattern


def host_pattern(text: str) -> str:
    """A pattern in canonical form. Raises ValueError with the error."""
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    name = host_name(f"[{rest}]" if _is_ipv6(rest) else _ascii(rest))
    if name is None or "*" in rest or (":" in rest and not _is_ipv6(rest.strip("[]"))) or (star and is_address(name)):
        raise ValueError("give each as a host name or IP address, without scheme and port")
    return star + name


def _hint(text: str) -> str:
    """The remedy for a text that is not an origin."""
    meant = canonical(text.partition("://")[0] + "://" + text.partition("://")[2].partition("/")[0])
    if "://" in text and meant is not None and text.count("/") > 2:
        return f"browsers send {meant}"
    return "give each with its scheme, such as https:// or capacitor://, and without a path"


def _parent(origin: str) -> str | None:
    """The origin without its first label, if it has more than one."""
    scheme, _, rest = origin.partition("://")
    label, _, parent = rest.partition(".")
    return f"{scheme}://{parent}" if _ONE_LABEL.fullmatch(label) else None


def _host(host: str) -> str | None:
    if host.startswith("["):
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]" if _is_ipv6(host[1:-1]) else None
    return host if is_host_name(host) or (":" not in host and is_address(host)) else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _ascii(host: str) -> str:
    """An international name as browsers send it. Raises ValueError if two standards disagree on the form."""
    if host.isascii():
        return host
    if not {"ß", "ς", "\u200c", "\u200d"}.isdisjoint(host):
        raise ValueError("write this name in the form that begins with xn--, as browsers send it")
    name, colon, port = host.partition(":")
    try:
        return name.encode("idna").decode("ascii") + colon + port
    except UnicodeError:
        raise ValueError("this is no host name") from None
