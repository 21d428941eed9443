"""Strict verification of a compact JWS, for tokens and action proofs.

python-jose only verifies the signature, with a key that was built beforehand. Its own parsers, which take the algorithm
from the header and skip characters that are not base64, never see input of a client. Sources: RFC 7515, RFC 8725.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from tornado_app.auth.keys import ALGORITHMS, MAX_KID, MAX_TRIED, KeySet, VerificationKey
from tornado_app.core.identity import MAX_TOKEN
from tornado_app.core.text import AmbiguousJson, clip, integer, strict_json_decoder

MAX_DATE = 253402300799
"""The last second of the year 9999; a date in milliseconds exceeds it."""

MAX_SHOWN = 80
"""Characters of a value in a `detail`."""

_SEGMENTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_REFUSED_HEADERS = frozenset({"crit", "zip", "b64", "enc"})
"""Headers of critical extensions, compression and encryption, which are not supported.

`jku`, `jwk`, `x5u` and `x5c` (keys that the sender chooses) are ignored, as RFC 7515 allows: some providers send them
(UAA: `jku`), and keys are only looked up by `kid` among the configured ones.
"""


class InvalidJws(Exception):
    """The JWS is not accepted.

    The text is empty, or a sentence for the holder of a JWS with a valid signature. `reason` and `detail` are for the
    log, as those of a LeaderboardError.
    """

    def __init__(self, text: str = "", *, reason: str = "malformed", detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(text)


class UnknownKey(InvalidJws):
    """The JWS names a key id that is not in the key set."""


class VerifiedJws(NamedTuple):
    """A JWS with a valid signature: its header and claims, and the key that verified it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: VerificationKey


def verify(text: str, keys: KeySet, types: frozenset[str | None], what: str) -> VerifiedJws:
    """Verify a compact JWS with the keys of `keys`.

    `types`: what the header's `typ` may be, in lower case; None in it lets the header have none. `what` is the subject
    of an error's text. Raises InvalidJws, and nothing else, whatever is sent.
    """
    _check_decodable(text, what)
    match = _SEGMENTS.fullmatch(text)
    if match is None:
        raise InvalidJws(detail="not three base64url parts separated by dots")
    header = json_object(base64url(match[1]))
    signature = base64url(match[3])
    signed = text[: match.end(2)].encode("ascii")
    algorithm, kid = _checked(header, types)
    found = keys.find(kid, algorithm)
    key = next((key for key in found if _verifies(key, signed, signature)), None)
    if key is None:
        raise _no_key(keys, found, algorithm, kid)
    return VerifiedJws(header, json_object(base64url(match[2])), key)


def unverified(text: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Header and claims without verification, for display; None for a part that cannot be parsed."""
    match = _SEGMENTS.fullmatch(text) if len(text) <= MAX_TOKEN else None
    return (None, None) if match is None else (_readable(match[1]), _readable(match[2]))


def _readable(segment: str) -> dict[str, Any] | None:
    try:
        return json_object(base64url(segment))
    except InvalidJws:
        return None


def date(claims: dict[str, Any], name: str) -> float | None:
    """The NumericDate of a claim in seconds since the epoch, None if it is absent. Raises InvalidJws."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DATE:
        raise InvalidJws(
            f"The claim {name} must be a time in seconds since 1970.",
            reason="invalid_claim",
            detail=f"claim {name} is {shown(value)}",
        )
    return float(value)


def json_object(octets: bytes) -> dict[str, Any]:
    """The members of a JSON object without duplicate names, NaN or Infinity. Raises InvalidJws."""
    try:
        value = _JSON.decode(octets.decode("utf-8"))
    except AmbiguousJson as error:
        raise InvalidJws(detail=str(error)) from None
    except (ValueError, RecursionError):
        raise InvalidJws(detail="header or claims are not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidJws(detail="header or claims are not a JSON object")
    return value


def shown(value: object) -> str:
    """A value of a header or claim for a `detail`: ASCII JSON of at most MAX_SHOWN characters; `absent` for None."""
    if value is None:
        return "absent"
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return clip(text, MAX_SHOWN)


def _check_decodable(text: str, what: str) -> None:
    """Raises InvalidJws for a text that is longer than MAX_TOKEN or not ASCII, before anything is decoded."""
    if len(text) > MAX_TOKEN:
        raise InvalidJws(
            f"{what} has {len(text)} characters; at most {MAX_TOKEN} are accepted.",
            reason="too_long",
            detail=f"{len(text)} characters, limit {MAX_TOKEN}",
        )
    if not text.isascii():
        raise InvalidJws(detail="not ASCII")


def _checked(header: dict[str, Any], types: frozenset[str | None]) -> tuple[str, str | None]:
    """The header's algorithm and key id. Raises InvalidJws if the header needs something unsupported."""
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if algorithm not in ALGORITHMS:
        raise _algorithm(algorithm, ALGORITHMS)
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise InvalidJws(
            reason="header", detail=f"not supported: {', '.join(sorted(_REFUSED_HEADERS & header.keys()))}"
        )
    if typ is not None and not isinstance(typ, str):
        raise InvalidJws(reason="type", detail=f"typ is {shown(typ)}")
    if (typ if typ is None else typ.lower().removeprefix("application/")) not in types:
        wanted = " or ".join(sorted(shown(each) for each in types))
        raise InvalidJws(reason="type", detail=f"typ had {shown(typ)}, wanted {wanted}")
    if kid is not None and not (isinstance(kid, str) and 1 <= len(kid) <= MAX_KID):
        raise InvalidJws(detail=f"kid is {shown(kid)}, not a string of 1 to {MAX_KID} characters")
    return algorithm, kid


def _no_key(keys: KeySet, tried: tuple[VerificationKey, ...], algorithm: str, kid: str | None) -> InvalidJws:
    """The error for a JWS that none of the keys verifies; `tried` are the keys that were tried."""
    if kid is not None and not keys.knows(kid):
        if tried:
            return UnknownKey(reason="signature", detail=_tried(tried, algorithm, kid))
        known = len(keys.keys)
        return UnknownKey(
            reason="unknown_kid" if known else "no_keys",
            detail=f"kid {shown(kid)}, alg {algorithm}, {known} keys known",
        )
    if tried:
        return InvalidJws(reason="signature", detail=_tried(tried, algorithm, kid))
    if not keys.keys:
        return InvalidJws(reason="no_keys", detail="no key is known (yet)")
    same = [key for key in keys.keys if key.algorithm == algorithm]
    if kid is None and same:
        return InvalidJws(
            reason="missing_kid", detail=f"{len(same)} keys for {algorithm}, and without a kid {MAX_TRIED} are tried"
        )
    return _algorithm(algorithm, {key.algorithm.value for key in keys.keys if kid in (None, key.kid)})


def _tried(tried: tuple[VerificationKey, ...], algorithm: str, kid: str | None) -> str:
    return f"kid {shown(kid)}, alg {algorithm}, {len(tried)} keys tried"


def _algorithm(had: object, wanted: Iterable[str]) -> InvalidJws:
    return InvalidJws(reason="algorithm", detail=f"had {shown(had)}, wanted {' or '.join(sorted(wanted))}")


def _verifies(key: VerificationKey, signed: bytes, signature: bytes) -> bool:
    try:
        return key.key.verify(signed, signature)
    except Exception:  # noqa: BLE001  (the library raises many undocumented errors; each means that the signature is not valid)
        return False


def base64url(segment: str) -> bytes:
    """The bytes of a segment in canonical form only, so that each token has one spelling."""
    try:
        octets = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidJws(detail="a part is not base64url") from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != segment.encode("ascii"):
        raise InvalidJws(detail="a part is not canonical base64url")
    return octets


def _number(text: str) -> float:
    """`5.0` is the integer 5, as in a request body."""
    value = integer(text)
    return float(text) if value is None else value


_JSON = strict_json_decoder(parse_float=_number)
