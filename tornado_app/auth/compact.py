"""A compact JWS opened in the one strict way, for tokens and for action proofs.

python-jose checks the signature with a key that was built beforehand; its own parsers, which pick the algorithm by the
header and skip what is not base64, never see what a stranger sent. Sources: RFC 7515, RFC 8725.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NoReturn

from tornado_app.auth.keys import ALGORITHMS, MAX_KID, KeySet, VerificationKey
from tornado_app.core.numbers import integer

MAX_LENGTH = 4096
"""Characters of a token or proof; a longer one is refused before any of it is decoded."""

MAX_DATE = 253402300799
"""The last second of the year 9999. A date in milliseconds by mistake lies past it."""

_SEGMENTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc"})
"""Extensions we must understand but do not, keys and places of keys that the sender chose, compression."""


class Refused(Exception):
    """This is no JWS that we accept. The text is empty, or a sentence for the holder of a rightly signed one."""


class UnknownKey(Refused):
    """The JWS names a key id that the set does not have; another set may."""


def open_jws(text: str, keys: KeySet, types: frozenset[str | None]) -> dict[str, Any]:
    """The claims of a compact JWS that a key of `keys` signed.

    `types`: what the header's `typ` may be, in lower case; None in it lets the header have none.
    Raises Refused, and nothing else, whatever is sent.
    """
    match = _SEGMENTS.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise Refused
    header = json_object(base64url(match[1]))
    signature = base64url(match[3])
    signed = text[: match.end(2)].encode("ascii")
    algorithm, kid = _checked(header, types)
    if not any(_verifies(key, signed, signature) for key in keys.find(kid, algorithm)):
        if kid is not None and not keys.knows(kid):
            raise UnknownKey
        raise Refused
    return json_object(base64url(match[2]))


def date(claims: dict[str, Any], name: str) -> float | None:
    """The NumericDate of a claim in seconds since the epoch, None where it is absent; raises Refused for any other."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DATE:
        raise Refused(f"The claim {name} must be a time in seconds since 1970.")
    return float(value)


def json_object(octets: bytes) -> dict[str, Any]:
    """The members of a JSON object, none named twice, no NaN or infinity by name; raises Refused."""
    try:
        value = _JSON.decode(octets.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused from None
    if not isinstance(value, dict):
        raise Refused
    return value


def _checked(header: dict[str, Any], types: frozenset[str | None]) -> tuple[str, str | None]:
    """The header's algorithm and key id, where nothing in it asks for more than we do."""
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in ALGORITHMS or not _REFUSED_HEADERS.isdisjoint(header):
        raise Refused
    if typ is not None and not isinstance(typ, str):
        raise Refused
    if (typ if typ is None else typ.lower().removeprefix("application/")) not in types:
        raise Refused
    if kid is not None and not (isinstance(kid, str) and 1 <= len(kid) <= MAX_KID):
        raise Refused
    return algorithm, kid


def _verifies(key: VerificationKey, signed: bytes, signature: bytes) -> bool:
    try:
        return key.key.verify(signed, signature)
    except Exception:  # noqa: BLE001  (the library's errors are many and undocumented; none of them is a yes)
        return False


def base64url(segment: str) -> bytes:
    """The bytes of a segment in its one canonical form, so that a token has no second spelling."""
    try:
        octets = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise Refused from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != segment.encode("ascii"):
        raise Refused
    return octets


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member named twice would be read differently by whoever takes the first."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused
    return members


def _no_constant(name: str) -> NoReturn:
    """NaN and the infinities, which Python's parser allows and JSON does not."""
    raise Refused


def _number(text: str) -> float:
    """`5.0` is the integer 5, as in a request's body."""
    value = integer(text)
    return float(text) if value is None else value


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_number)
