"""The Secret and ConfigMap keys that a Leaderboard refers to: whether they exist, and a digest of their content."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from hashlib import sha256
from http import HTTPStatus

import msgspec

from leaderboard_operator import Object
from leaderboard_operator.cluster import ApiError, Cluster, Collection
from leaderboard_operator.conditions import Problem
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA, secret_keys
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.types import ConfigMapKey, SecretKey


class SecretState(msgspec.Struct, frozen=True):
    """The state of all keys. `digest` changes with the content of each Secret key.

    `database_problem` is the problem with the keys that a connection to the database needs.
    """

    problems: tuple[Problem, ...]
    digest: str
    database_problem: Problem | None = None


async def read(cluster: Cluster, namespace: str, spec: Spec) -> SecretState:
    """Read the keys that `spec` refers to."""
    keys = secret_keys(spec)
    names = sorted({ref.name for ref in keys.values()})
    path = Collection("v1", "secrets", namespace)
    secrets = dict(zip(names, await asyncio.gather(*(_find(cluster, path(name)) for name in names)), strict=True))
    values: dict[str, bytes | Problem | None] = {use: _value(secrets[ref.name], ref) for use, ref in keys.items()}
    trusted = spec.trusted_ca.config_map_ref if spec.trusted_ca else None
    if trusted is not None:
        values[TRUSTED_CA] = await _config_map_problem(cluster, namespace, trusted)
    problems = {use: value for use, value in values.items() if isinstance(value, Problem)}
    contents = {use: value for use, value in values.items() if isinstance(value, bytes)}
    digest = sha256(b"".join(sha256(use.encode() + b"\0" + contents[use]).digest() for use in sorted(contents)))
    return SecretState(
        tuple(sorted(set(problems.values()), key=lambda problem: problem.message)),
        digest.hexdigest()[:16],
        problems.get(MONGODB_URI) or problems.get(TRUSTED_CA),
    )


async def _config_map_problem(cluster: Cluster, namespace: str, ref: ConfigMapKey) -> Problem | None:
    """Checked because the kubelet waits for a missing ConfigMap without a message in the status of the pod."""
    live = await cluster.find(Collection("v1", "configmaps", namespace)(ref.name))
    if live is None:
        text = f"The ConfigMap {ref.name!r} does not exist. Create it with the key {ref.key!r}"
        return Problem("ConfigMapMissing", text)
    data = {**(live.get("data") or {}), **(live.get("binaryData") or {})}
    if ref.key not in data:
        existing = ", ".join(sorted(data)) or "none"
        return Problem("KeyMissing", f"The ConfigMap {ref.name!r} has no key {ref.key!r}; its keys: {existing}")
    return None


async def _find(cluster: Cluster, path: str) -> Object | ApiError | None:
    """A Secret, or the error if the operator may not read it, which is a problem of this Leaderboard only."""
    try:
        return await cluster.find(path)
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return error


def _value(secret: Object | ApiError | None, ref: SecretKey) -> bytes | Problem:
    if isinstance(secret, ApiError):
        text = f"The operator is not allowed to read the Secret {ref.name!r}: {secret.message}. Check its role"
        return Problem("SecretForbidden", text)
    if secret is None:
        return Problem("SecretMissing", f"The Secret {ref.name!r} does not exist. Create it with the key {ref.key!r}")
    data = secret.get("data") or {}
    if ref.key not in data:
        existing = ", ".join(sorted(data)) or "none"
        return Problem("KeyMissing", f"The Secret {ref.name!r} has no key {ref.key!r}; its keys: {existing}")
    value = b64decode(data[ref.key])
    if not value.strip():
        return Problem("KeyEmpty", f"The key {ref.key!r} of the Secret {ref.name!r} is empty. Put the value into it")
    return value
