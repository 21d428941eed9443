"""The keys of Secrets and ConfigMaps that a Leaderboard names: whether they are there, and have changed."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from hashlib import sha256
from http import HTTPStatus

import msgspec

from leaderboard_operator.cluster import ApiError, Cluster, Collection
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.names import Object
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA, secret_keys
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.environment import ConfigMapKey
from leaderboard_operator.spec.kinds import SecretKey


class Keys(msgspec.Struct, frozen=True):
    """What was found. `digest` changes with any key of a Secret.

    `database`: the trouble with what a connection to the database takes: connection string, certificates to trust.
    """

    troubles: tuple[Trouble, ...]
    digest: str
    database: Trouble | None = None


async def read(cluster: Cluster, namespace: str, spec: Spec) -> Keys:
    """Read the keys that `spec` names."""
    keys = secret_keys(spec)
    names = sorted({ref.name for ref in keys.values()})
    path = Collection("v1", "secrets", namespace)
    found = dict(zip(names, await asyncio.gather(*(_find(cluster, path(name)) for name in names)), strict=True))
    values: dict[str, bytes | Trouble | None] = {what: _value(found[ref.name], ref) for what, ref in keys.items()}
    trusted = spec.trusted_ca.config_map_ref if spec.trusted_ca else None
    if trusted is not None:
        values[TRUSTED_CA] = await _config_map_trouble(cluster, namespace, trusted)
    troubles = {value for value in values.values() if isinstance(value, Trouble)}
    texts = {what: value for what, value in values.items() if isinstance(value, bytes)}
    digest = sha256(b"".join(sha256(what.encode() + b"\0" + texts[what]).digest() for what in sorted(texts)))
    return Keys(
        tuple(sorted(troubles, key=lambda each: each.message)),
        digest.hexdigest()[:16],
        next((each for what in (MONGODB_URI, TRUSTED_CA) if isinstance(each := values.get(what), Trouble)), None),
    )


async def _config_map_trouble(cluster: Cluster, namespace: str, ref: ConfigMapKey) -> Trouble | None:
    """A ConfigMap of a volume must be there, or the kubelet waits for it without a word in the pod's status."""
    live = await cluster.find(Collection("v1", "configmaps", namespace)(ref.name))
    if live is None:
        text = f"The ConfigMap {ref.name!r} does not exist. Create it with the key {ref.key!r}"
        return Trouble("ConfigMapMissing", text)
    data = {**(live.get("data") or {}), **(live.get("binaryData") or {})}
    if ref.key not in data:
        has = ", ".join(sorted(data)) or "none"
        return Trouble("KeyMissing", f"The ConfigMap {ref.name!r} has no key {ref.key!r}; its keys: {has}")
    return None


async def _find(cluster: Cluster, path: str) -> Object | ApiError | None:
    """A Secret; the error where the operator is not allowed to read it, which is this Leaderboard's trouble alone."""
    try:
        return await cluster.find(path)
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return error


def _value(secret: Object | ApiError | None, ref: SecretKey) -> bytes | Trouble:
    if isinstance(secret, ApiError):
        text = f"The operator is not allowed to read the Secret {ref.name!r}: {secret.message}. Check its role"
        return Trouble("SecretForbidden", text)
    if secret is None:
        return Trouble("SecretMissing", f"The Secret {ref.name!r} does not exist. Create it with the key {ref.key!r}")
    data = secret.get("data") or {}
    if ref.key not in data:
        has = ", ".join(sorted(data)) or "none"
        return Trouble("KeyMissing", f"The Secret {ref.name!r} has no key {ref.key!r}; its keys: {has}")
    value = b64decode(data[ref.key])
    if not value.strip():
        return Trouble("KeyEmpty", f"The key {ref.key!r} of the Secret {ref.name!r} is empty. Put the value into it")
    return value
