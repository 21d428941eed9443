"""Reads the claims of a verified token: player, display name, picture, scopes, audience.

Settings name the claims, because identity providers differ (docs/tokens.md).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from tornado_app.auth.jws import InvalidJws, shown
from tornado_app.core import identity
from tornado_app.core.model import Profile, Scope
from tornado_app.core.policies import ClaimNames


def find(claims: dict[str, Any], name: str) -> Any:
    """The value of the claim with this name or at this JSON Pointer; None if there is none."""
    if name in claims or not name.startswith("/"):
        return claims.get(name)
    value: Any = claims
    for token in name[1:].split("/"):
        if not isinstance(value, dict):
            return None
        value = value.get(token.replace("~1", "/").replace("~0", "~"))
    return value


def user_id(claims: dict[str, Any], names: ClaimNames) -> str:
    """The user id. Raises InvalidJws."""
    if names.user is not None:
        return _user_id(names.user, find(claims, names.user))
    given = {name: claims[name] for name in ("sub", "user_id") if claims.get(name) is not None}
    if not given:
        return _user_id("sub", None)
    found = {_user_id(name, value) for name, value in given.items()}
    if len(found) > 1:
        raise InvalidJws(
            "The token names two different users (sub, user_id).",
            reason="user_id_conflict",
            detail=f"sub {shown(claims['sub'])}, user_id {shown(claims['user_id'])}",
        )
    return found.pop()


def _user_id(name: str, value: object) -> str:
    """The value of the claim `name`, if it is a valid user id. Raises InvalidJws."""
    if isinstance(value, str) and identity.is_user_id(value):
        return value
    if value is None:
        text = f"The token names no user ({name})."
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = f"The user id of the token ({name}) is a number; it must be a string."
    elif not isinstance(value, str):
        text = f"The user id of the token ({name}) is not a string."
    else:
        text = f"The user id of the token ({name}) does not have {identity.USER_ID_FORM}."
    raise InvalidJws(text, reason="user_id", detail=f"claim {name} is {shown(value)}")


def scopes(claims: dict[str, Any], names: ClaimNames) -> frozenset[str]:
    """The scopes that the token grants. Raises InvalidJws for a claim that is neither text nor a list of texts."""
    granted: set[str] = set()
    for name in names.scopes:
        value = find(claims, name)
        if value is None:
            continue
        entries = value.split(" ") if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise InvalidJws(
                f"The claim {name} must be a string of scopes with spaces between them, or a list of strings.",
                reason="scope_claim",
                detail=f"claim {name} is {shown(value)}",
            )
        granted.update(entries)
    return frozenset(power for power in Scope if not granted.isdisjoint(names.granting(power)))


def profile(claims: dict[str, Any], names: ClaimNames) -> Profile:
    """The display name and picture; invalid values are omitted.

    A name that looks like an e-mail address and a picture whose URL contains the token's `email` are omitted, so that
    no address becomes public.
    """
    values = (find(claims, name) for name in names.names)
    usernames = (identity.username_of_claim(value) for value in values if isinstance(value, str))
    return Profile(
        username=next((name for name in usernames if name is not None), None),
        avatar_url=_picture(claims.get("picture"), claims.get("email")),
    )


def _picture(url: object, email: object) -> str | None:
    if not isinstance(url, str):
        return None
    if isinstance(email, str) and email and email.lower() in unquote(url).lower():
        return None
    return identity.avatar_url(url)


def check_audience(claims: dict[str, Any], names: ClaimNames, wanted: frozenset[str]) -> None:
    """Check that an audience claim (a string or a list) contains one of `wanted`. If `wanted` is empty, do nothing.

    Raises InvalidJws. Source: RFC 7519, section 4.1.3.
    """
    if not wanted:
        return
    found = {name: find(claims, name) for name in names.audiences}
    for value in found.values():
        entries = value if isinstance(value, list) else [value]
        if any(isinstance(entry, str) and entry in wanted for entry in entries):
            return
    had = ", ".join(f"{name} {shown(value)}" for name, value in found.items())
    raise InvalidJws(
        f"The token is for another audience ({', '.join(names.audiences)}).",
        reason="audience",
        detail=f"had {had}; wanted {' or '.join(map(shown, sorted(wanted)))}",
    )
