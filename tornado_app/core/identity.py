"""What a user id, a username, an avatar URL and an action id may be. Source: the API contract's preamble."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

USER_ID = r"^[A-Za-z0-9_.:@-]{1,128}$"
"""A user id, as a JSON Schema pattern."""

MAX_USERNAME = 64
"""Code points after NFC."""

MAX_AVATAR_URL = 2048

_USER_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,128}", re.ASCII)
_ACTION_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


def is_user_id(text: str) -> bool:
    """Whether `text` is a user id: 1 to 128 of `[A-Za-z0-9_.:@-]`."""
    return _USER_ID.fullmatch(text) is not None


def is_action_id(text: str) -> bool:
    """Whether `text` is an action id: 1 to 128 visible ASCII characters."""
    return _ACTION_ID.fullmatch(text) is not None


def username(text: str) -> str | None:
    """`text` as a username in NFC, or None where it cannot be one (empty, too long, control characters)."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= MAX_USERNAME or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return None
    return name


def avatar_url(text: str) -> str | None:
    """`text` as an absolute http or https URL, or None where it is none (a `javascript:` URL, say)."""
    if len(text) > MAX_AVATAR_URL or not text.isprintable():
        return None
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    return text if url.scheme in ("http", "https") and url.hostname else None
