"""The forms of user ids, usernames, avatar URLs, action ids and action types. Source: the API contract's preamble."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

USER_ID = r"^[!-~](?:[ -~]{0,253}[!-~])?$"
"""A user id, as a JSON Schema pattern: any `sub` of OpenID Connect that has no space at its ends.

Source: OpenID Connect Core 1.0, section 2 (`sub`: at most 255 ASCII characters, case-sensitive).
"""

USER_ID_FORM = "1 to 255 printable ASCII characters, with no space at the start or the end"
"""The same in words, for messages; it completes "use" and "a user id has"."""

MAX_TOKEN = 7 * 1024
"""Characters of a bearer token or an action proof, wherever it comes: header, query, body, socket message.

Keycloak with 120 roles needs 4.5 KB. An `authenticate` message of this size is less than a socket's 8 KiB.
"""

MAX_USERNAME = 64
"""Code points after NFC."""

MAX_AVATAR_URL = 2048

MAX_ACTION_TYPE = 128
"""Maximum characters of an action type."""

_USER_ID = re.compile(USER_ID[1:-1])
_ACTION_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\u206a-\u206f]")
"""Embeddings, overrides, isolates and the deprecated format controls, which change the text around a name."""

_BREAKS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories that no name has: control characters, line separators and halves of surrogate pairs."""

_BLANK = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\ufffe\uffff\U00013441\U00013442"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that show nothing whatever their category says.

Default_Ignorable_Code_Point (Unicode 15.1, DerivedCoreProperties.txt), the Braille, musical and Egyptian blanks, and
noncharacters of the basic plane.
"""

_EMAIL = re.compile(r"[^\s@(\[{</]@[\w\[]|[^\s@] ?@ ?(?:[\w-]+\.)+\w")
_AT_SIGN = re.compile(r"%40| ?[(\[{<] ?at ?[)\]}>] ?", re.IGNORECASE)


def is_user_id(text: str) -> bool:
    """Whether `text` is a user id: 1 to 255 printable ASCII characters, with no space at the start or the end."""
    return _USER_ID.fullmatch(text) is not None


def is_action_id(text: str) -> bool:
    """Whether `text` is an action id: 1 to 128 visible ASCII characters."""
    return _ACTION_ID.fullmatch(text) is not None


def is_action_type(text: str) -> bool:
    """Whether it is text without control characters and half surrogate pairs, which cannot be stored, of valid
    length."""
    return 1 <= len(text) <= MAX_ACTION_TYPE and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def username(text: str) -> str | None:
    """`text` as a username in NFC, without directional controls.

    None where it cannot be one: nothing visible, more than MAX_USERNAME characters, control characters.
    """
    name = _DIRECTION.sub("", unicodedata.normalize("NFC", text)).strip()
    if len(name) > MAX_USERNAME or any(unicodedata.category(c) in _BREAKS for c in name):
        return None
    return name if any(map(_is_visible, name)) else None


def username_of_claim(text: str) -> str | None:
    """As much of an identity provider's claim as can be a username.

    None where nothing is left, or where the claim looks like an e-mail address, which must not become public.
    """
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) not in _BREAKS)
    if looks_like_email(kept):  # not before: omitted characters may stand between the parts of an address
        return None
    return username(_DIRECTION.sub("", kept).strip()[:MAX_USERNAME])


def looks_like_email(text: str) -> bool:
    """Whether `text` is or holds something in the form of an e-mail address.

    Includes internationalized addresses, a name with an address in angle brackets, hosts without a dot, full-width at
    signs, percent-encoding and `ann (at) example.com`. A handle such as `@ann` is no address.
    """
    plain = " ".join(_BLANK.sub("", unicodedata.normalize("NFKC", text)).split())
    return _EMAIL.search(_AT_SIGN.sub("@", plain)) is not None


def avatar_url(text: str) -> str | None:
    """`text` as an absolute http or https URL, or None where it is none (a `javascript:` URL, say)."""
    if len(text) > MAX_AVATAR_URL or not text.isprintable():
        return None
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    return text if url.scheme in ("http", "https") and url.hostname else None


def _is_visible(character: str) -> bool:
    """Whether a name of this character alone shows something; a combining mark needs another to stand on.

    An unassigned code point counts: a newer Unicode version may have a letter or an emoji there.
    """
    category = unicodedata.category(character)
    return (category[0] in "LNPS" or category in ("Co", "Cn")) and _BLANK.fullmatch(character) is None
