"""Access to the API server. Only this module imports the Kubernetes client. Objects are plain dictionaries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from kubernetes.aio import client, config

from leaderboard_operator import API_VERSION, GROUP, MANAGER, PLURAL, Object

Query = Iterable[tuple[str, str]]

REQUEST_SECONDS = 5.0
"""Timeout of a request. A write thus ends before another operator may take the lease."""

MAX_RETRY_AFTER_SECONDS = 120.0

PAGE_SIZE = 500
"""Maximum number of objects in one response to a list."""

_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_JSON, _APPLY, _MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"


class ApiError(Exception):
    """The API server refuses a request. `reason` is that of Kubernetes, such as NotFound or Conflict.

    `retry_after`: seconds until the next request, from the header Retry-After.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.retry_after = retry_after
        self.status = status
        self.reason = reason
        self.message = message


def terminating(error: ApiError) -> bool:
    """Whether the error is that the namespace of a new object is being deleted."""
    return error.status == HTTPStatus.FORBIDDEN and "being terminated" in error.message


_REFUSALS = (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST)
_MALFORMED = ("failed to create typed patch object", "failed to convert new object")


def refused(error: ApiError) -> bool:
    """Whether the API server refuses this object permanently, because of its content or a policy.

    Server-side apply returns 500 for a field that is unknown or has another type (Kubernetes 1.35).
    """
    malformed = error.status == HTTPStatus.INTERNAL_SERVER_ERROR and error.message.startswith(_MALFORMED)
    return malformed or error.status in _REFUSALS


class Unreachable(Exception):
    """The API server does not respond."""


class NotLeading(Exception):
    """A write was refused because this operator does not hold the lease."""


class Collection(msgspec.Struct, frozen=True):
    """The path of a collection (`collection()`) and of its objects (`collection(name)`)."""

    api_version: str
    plural: str
    namespace: str | None = None

    def __call__(self, name: str = "", subresource: str = "") -> str:
        root = "/apis" if "/" in self.api_version else "/api"
        scope = f"namespaces/{self.namespace}/" if self.namespace else ""
        parts = [f"{root}/{self.api_version}/{scope}{self.plural}", name, subresource]
        return "/".join(part for part in parts if part)


def leaderboards(namespace: str) -> Collection:
    """The Leaderboards of a namespace."""
    return Collection(f"{GROUP}/{API_VERSION}", PLURAL, namespace)


def controller_uid(live: Object) -> str | None:
    """The uid of the controller that owns an object."""
    owners = live["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


class Cluster:
    """A client for the API server. All requests raise ApiError and Unreachable.

    `may_write` is called before each write, `observe` after each request with its method and status code.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        may_write: Callable[[], bool] = lambda: True,
        observe: Callable[[str, str], None] = lambda method, code: None,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._client = client.ApiClient(configuration)
        self._may_write = may_write
        self._observe = observe
        self._request_seconds = request_seconds

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, query: Query = ()) -> Object:
        return await self._request("GET", path, query=query)

    async def find(self, path: str, query: Query = ()) -> Object | None:
        """The object at `path`; None if there is none."""
        try:
            return await self.get(path, query)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(self, path: str, labels: dict[str, str] | None = None) -> list[Object]:
        """The objects of a collection with all `labels`; empty if the kind does not exist."""
        query = [("limit", str(PAGE_SIZE))]
        if labels:
            query.append(("labelSelector", ",".join(f"{name}={value}" for name, value in labels.items())))
        items: list[Object] = []
        token: str | None = ""
        while token is not None:
            page = await self.find(path, [*query, ("continue", token)] if token else query)
            items += [] if page is None else page["items"]
            token = (page or {}).get("metadata", {}).get("continue") or None
        return items

    async def apply(self, path: str, object_: Object) -> Object:
        """Server-side apply. Fields of an earlier apply that `object_` lacks are removed, fields of others stay."""
        query = [("fieldManager", MANAGER), ("force", "true")]
        return await self._write("PATCH", path, object_, content=_APPLY, query=query)

    async def merge(self, path: str, patch: Object) -> Object:
        """A JSON merge patch (RFC 7386)."""
        return await self._write("PATCH", path, patch, content=_MERGE, query=[("fieldManager", MANAGER)])

    async def create(self, path: str, object_: Object) -> Object:
        return await self._write("POST", path, object_, query=[("fieldManager", MANAGER)])

    async def replace(self, path: str, object_: Object) -> Object:
        """Replace an object. Fails with 409 if its resourceVersion is outdated."""
        return await self._write("PUT", path, object_, query=[("fieldManager", MANAGER)])

    async def delete(self, path: str, uid: str) -> None:
        """Delete the object with this uid, and the objects that it owns. It may be deleted already."""
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
            response = await self._client.call_api(*request, _request_timeout=self._request_seconds)
            data = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            self._observe(method, "<error>")
            raise Unreachable(f"{method} {path}: {str(error) or type(error).__name__}") from error
        self._observe(method, str(response.status))
        return _read(response.status, data, response.headers.get("Retry-After", ""))


def _read(status: int, data: bytes, retry_after: str = "") -> Object:
    try:
        body = msgspec.json.decode(data) if data else {}
    except msgspec.DecodeError:
        body = {}  # the error page of a proxy
    if status >= HTTPStatus.BAD_REQUEST or not isinstance(body, dict):
        body = body if isinstance(body, dict) else {}
        reason, message = body.get("reason") or _phrase(status), body.get("message") or ""
        raise ApiError(status, reason, message, _seconds(retry_after))
    return body


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds, which the API server sends. A date, which a proxy may send, is ignored."""
    return min(float(retry_after), MAX_RETRY_AFTER_SECONDS) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # such as 520, of a proxy


async def configure() -> client.Configuration:
    """The configuration from KUBECONFIG, otherwise that of the pod."""
    configuration = client.Configuration()
    if os.environ.get("KUBECONFIG"):
        await config.load_kube_config(client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    # Read once: aiohttp would read the environment and ~/.netrc for each request, in threads.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy(configuration.host)
    return configuration


def _proxy(url: str) -> str | None:
    """The proxy of the environment for a URL."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def own_namespace() -> str:
    """The namespace of the operator: the current one of KUBECONFIG, otherwise that of the pod."""
    if not os.environ.get("KUBECONFIG"):
        return _ACCOUNT_NAMESPACE.read_text().strip()
    _, active = config.list_kube_config_contexts()
    namespace: str = active["context"].get("namespace", "default")
    return namespace
