"""Signs tokens for `leaderboard token`, the demo and tests. In production an identity provider issues tokens."""

from __future__ import annotations

import logging
import math
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jose import jws as jose_jws

from tornado_app.auth import jws, key_parsing
from tornado_app.auth.keys import SigningKey
from tornado_app.core import identity
from tornado_app.core.identity import MAX_TOKEN
from tornado_app.core.policies import DEFAULT_CLAIMS, ClaimNames
from tornado_app.runtime import private_files

MAX_SECRET = 4096
"""Maximum bytes of a secret file."""

SECRET_BYTES = 32
"""Random bytes of a generated secret: 256 bits, as HS256 needs."""

_log = logging.getLogger("leaderboard.auth")


def mint(
    key: SigningKey,
    *,
    sub: str,
    ttl: float,
    name: str | None = None,
    scopes: Iterable[str] = (),
    audience: str | None = None,
    issuer: str | None = None,
    picture: str | None = None,
    names: ClaimNames = DEFAULT_CLAIMS,
    clock: Callable[[], float] = time.time,
) -> str:
    """A bearer token for `sub` that is valid for `ttl` seconds. Raises ValueError if the service would not accept it.

    `scopes`: of `Scope`. `names`: the claims that the service reads, and its names for the scopes.
    """
    if not identity.is_user_id(sub):
        raise ValueError(f"A user id has {identity.USER_ID_FORM}.")
    if not 0 < ttl <= jws.MAX_DATE:
        raise ValueError("A token must be valid for more than 0 seconds.")
    now = clock()
    claims: dict[str, Any] = {
        "sub": sub,
        "iat": math.floor(now),
        "exp": math.ceil(now + ttl),
        "picture": picture,
        "iss": issuer,
        names.user or "sub": sub,
        names.names[0] if names.names and "name" not in names.names else "name": name,
        names.scopes[0]: _granting(scopes, names),
        names.audiences[0]: audience,
    }
    return sign(key, {claim: value for claim, value in claims.items() if value is not None}, "JWT")


def _granting(scopes: Iterable[str], names: ClaimNames) -> str | list[str] | None:
    """The value of the scope claim: space-separated text as most providers use, or a list if a scope has a space.

    Raises ValueError for a scope that no configured scope grants.
    """
    granted = []
    for scope in scopes:
        accepted = names.granting(scope)
        if not accepted:
            raise ValueError(f"No scope grants {scope}: jwt_write_scopes or jwt_admin_scopes is empty.")
        granted.append(accepted[0])
    return granted if any(" " in scope for scope in granted) else " ".join(granted) or None


def sign(key: SigningKey, claims: dict[str, Any], typ: str) -> str:
    """`claims` as a compact JWS of this type. Raises ValueError if it would be too long to be accepted."""
    headers = {"typ": typ} if key.kid is None else {"typ": typ, "kid": key.kid}
    text = jose_jws.sign(claims, key.key, headers, key.algorithm.value)
    if len(text) > MAX_TOKEN:
        raise ValueError(f"The token would have {len(text)} characters; at most {MAX_TOKEN} are accepted.")
    return text


def ensure_secret(path: Path) -> str:
    """The secret in the file. If the file does not exist, it is generated, readable by its owner only.

    Safe if several processes start at the same time: all get the same secret. Raises UnusableKey for a file without a
    usable secret, OSError if the directory cannot be written, and StartupError if other users can change the file.
    """
    private_files.check_made_file(path)
    try:
        return _read_secret(path)
    except FileNotFoundError:
        _make_secret(path)
        return _read_secret(path)


def _make_secret(path: Path) -> None:
    """Write a new secret to a temporary file and link it into place; if the file exists by then, it is kept."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its secret is used
    finally:
        draft.unlink()


def _read_secret(path: Path) -> str:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(MAX_SECRET)
    if mode & 0o077:
        _log.warning("other users can access the secret file %s; run: chmod 600", path)
    try:
        return key_parsing.secret(content).decode("utf-8")
    except UnicodeDecodeError:
        raise key_parsing.UnusableKey(
            f"The secret file {path} is not text; delete it to have a new one generated."
        ) from None
    except key_parsing.UnusableKey as fault:
        raise key_parsing.UnusableKey(f"{path}: {fault} Or delete the file to have a new one generated.") from None
