"""The API server: the only importer of the Kubernetes client. Objects are plain dictionaries, as on the wire."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes.aio import client, config

from leaderboard_operator import API_VERSION, GROUP, MANAGER, PLURAL

Object = dict[str, Any]
Query = Iterable[tuple[str, str]]

REQUEST_SECONDS = 5.0
"""Longest wait for one answer: shorter than a lease lives on without renewal, so that no write outlives its right."""

LONGEST_RETRY = 120.0
"""Longest wait that a Retry-After is followed for."""

CHUNK = 500
"""Objects in one answer to a list."""

_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_JSON, _APPLY, _MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"


class ApiError(Exception):
    """The API server refuses: `reason` is Kubernetes' own word, such as NotFound or Conflict. `retry_after`: seconds
    that it asks to wait for before the next request."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.retry_after = retry_after
        self.status = status
        self.reason = reason
        self.message = message


def terminating(error: ApiError) -> bool:
    """Whether an object could not be created because its namespace is being deleted."""
    return error.status == HTTPStatus.FORBIDDEN and "being terminated" in error.message


_REFUSALS = (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST)
_MALFORMED = ("failed to create typed patch object", "failed to convert new object")


def refused(error: ApiError) -> bool:
    """Whether the API server will never accept this object, because of its content or a policy.

    Server-side apply answers 500 to a field that the schema does not have, or has with another type (Kubernetes 1.35).
    """
    malformed = error.status == HTTPStatus.INTERNAL_SERVER_ERROR and error.message.startswith(_MALFORMED)
    return malformed or error.status in _REFUSALS


class Unreachable(Exception):
    """The API server does not answer."""


class NotLeading(Exception):
    """A write was about to be made by who does not hold the lease."""


class Collection(msgspec.Struct, frozen=True):
    """Where objects of a kind are: `path()` of a collection, `path(name)` of an object."""

    api_version: str
    plural: str
    namespace: str | None = None

    def __call__(self, name: str = "", subresource: str = "") -> str:
        """The path of the collection, an object, or a subresource of it."""
        root = "/apis" if "/" in self.api_version else "/api"
        where = f"namespaces/{self.namespace}/" if self.namespace else ""
        parts = [f"{root}/{self.api_version}/{where}{self.plural}", name, subresource]
        return "/".join(part for part in parts if part)


def leaderboards(namespace: str) -> Collection:
    """The Leaderboards of a namespace."""
    return Collection(f"{GROUP}/{API_VERSION}", PLURAL, namespace)


def controller_uid(live: Object) -> str | None:
    """The uid of the controller that an object belongs to."""
    owners = live["metadata"].get("ownerReferences", [])
    return next((each["uid"] for each in owners if each.get("controller")), None)


class Cluster:
    """A client. `may_write` is asked before each write; `observe` hears of each request's method and answer."""

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        may_write: Callable[[], bool] = lambda: True,
        observe: Callable[[str, str], None] = lambda method, code: None,
    ) -> None:
        self._client = client.ApiClient(configuration)
        self._may_write = may_write
        self._observe = observe

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def get(self, path: str, query: Query = ()) -> Object:
        """An object, or what else there is at `path`. Raises ApiError and Unreachable, as all methods do."""
        return await self._request("GET", path, query=query)

    async def find(self, path: str, query: Query = ()) -> Object | None:
        """An object, or None where there is none."""
        try:
            return await self.get(path, query)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(self, path: str, labels: dict[str, str] | None = None) -> list[Object]:
        """The objects of a collection that carry all `labels`. An unknown kind has none."""
        query = [("limit", str(CHUNK))]
        if labels:
            query.append(("labelSelector", ",".join(f"{name}={value}" for name, value in labels.items())))
        items: list[Object] = []
        token: str | None = ""
        while token is not None:
            found = await self.find(path, [*query, ("continue", token)] if token else query)
            items += [] if found is None else found["items"]
            token = (found or {}).get("metadata", {}).get("continue") or None
        return items

    async def apply(self, path: str, object_: Object) -> Object:
        """Server-side apply: what we name is ours, what we no longer name goes, what others own stays."""
        query = [("fieldManager", MANAGER), ("force", "true")]
        return await self._write("PATCH", path, object_, content=_APPLY, query=query)

    async def merge(self, path: str, patch: Object) -> Object:
        """A JSON merge patch (RFC 7386)."""
        return await self._write("PATCH", path, patch, content=_MERGE, query=[("fieldManager", MANAGER)])

    async def create(self, path: str, object_: Object) -> Object:
        """Create an object in a collection."""
        return await self._write("POST", path, object_, query=[("fieldManager", MANAGER)])

    async def replace(self, path: str, object_: Object) -> Object:
        """Replace an object, unless it has changed since (409)."""
        return await self._write("PUT", path, object_, query=[("fieldManager", MANAGER)])

    async def delete(self, path: str, uid: str) -> None:
        """Delete the very object that was seen, and what it owns; one that is gone already is no error."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._write("DELETE", path, options)
        except ApiError as error:
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

    async def _write(self, method: str, path: str, body: Object, *, content: str = _JSON, query: Query = ()) -> Object:
        if not self._may_write():
            raise NotLeading(f"{method} {path}")
        return await self._request(method, path, body=body, content=content, query=query)

    async def _request(
        self, method: str, path: str, *, body: Object | None = None, content: str = _JSON, query: Query = ()
    ) -> Object:
        headers = {"Accept": _JSON, "Content-Type": content}
        try:
            request = await self._client.param_serialize(
                method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._client.call_api(*request, _request_timeout=REQUEST_SECONDS)
            data = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            self._observe(method, "<error>")
            raise Unreachable(f"{method} {path}: {str(error) or type(error).__name__}") from error
        self._observe(method, str(answer.status))
        return _read(answer.status, data, answer.headers.get("Retry-After", ""))


def _read(status: int, data: bytes, retry_after: str = "") -> Object:
    try:
        body = msgspec.json.decode(data) if data else {}
    except msgspec.DecodeError:
        body = {}  # a proxy's error page
    if status >= HTTPStatus.BAD_REQUEST or not isinstance(body, dict):
        body = body if isinstance(body, dict) else {}
        reason, message = body.get("reason") or _phrase(status), body.get("message") or ""
        raise ApiError(status, reason, message, _seconds(retry_after))
    return body


def _seconds(retry_after: str) -> float:
    """A Retry-After in seconds, as an API server sends it; a date, of a proxy, is left to the backoff."""
    return min(float(retry_after), LONGEST_RETRY) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # such as 520, of a proxy


async def configure() -> client.Configuration:
    """How the API server is reached: as KUBECONFIG says, else as the pod does that we are in."""
    found = client.Configuration()
    if os.environ.get("KUBECONFIG"):
        await config.load_kube_config(client_configuration=found)
    else:
        config.load_incluster_config(client_configuration=found)
    # Found once: aiohttp would look into the environment and ~/.netrc for each request, in threads.
    found.client_session_kwargs = {"trust_env": False}
    found.proxy = found.proxy or _proxy(found.host)
    return found


def _proxy(url: str) -> str | None:
    """The proxy by which the environment has an address reached."""
    place = urlsplit(url)
    return None if proxy_bypass(place.netloc) else getproxies().get(place.scheme)


def own_namespace() -> str:
    """The namespace that we are in: the current one of KUBECONFIG, else the pod's."""
    if not os.environ.get("KUBECONFIG"):
        return _ACCOUNT_NAMESPACE.read_text().strip()
    _, active = config.list_kube_config_contexts()
    namespace: str = active["context"].get("namespace", "default")
    return namespace
