"""Leader election with a coordination.k8s.io Lease: only its holder writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from leaderboard_operator.cluster import ApiError, Cluster, Collection, Unreachable

log = logging.getLogger(__name__)

DURATION_SECONDS = 15.0
"""Time after its last renewal at which another operator may take the lease."""

RENEW_DEADLINE_SECONDS = 10.0
"""Time after its last renewal at which the holder stops writing. A request that it has started ends before another
operator may take the lease."""

RETRY_SECONDS = 2.0
"""Time between two attempts to take or renew the lease."""


class LeaseLost(Exception):
    """This operator lost the lease, or could not renew it in time."""


class Lease:
    """One candidate with an `identity`. Expiry is measured with the local clock only, so clocks may differ."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, identity: str) -> None:
        self._cluster = cluster
        self._path = Collection("coordination.k8s.io/v1", "leases", namespace)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._last_seen: tuple[str, str] | None = None
        self._last_seen_at = 0.0
        self._renewed_at = float("-inf")
        self._written: dict[str, Any] | None = None

    @property
    def held(self) -> bool:
        """Whether this operator holds the lease for long enough to write."""
        return asyncio.get_running_loop().time() - self._renewed_at < RENEW_DEADLINE_SECONDS

    async def acquire(self) -> None:
        """Wait until this operator holds the lease."""
        while not await self._try_acquire():  # noqa: ASYNC110 - there is no event when the lease becomes free
            await asyncio.sleep(RETRY_SECONDS)
        log.info("lease %s/%s acquired, this operator is the leader", self._namespace, self._name)

    async def renew(self) -> None:
        """Renew the lease until cancelled. Raises LeaseLost."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            renewed = await self._try_acquire()
            if not self.held:
                cause = "was renewed too late" if renewed else "is lost"
                raise LeaseLost(f"lease {self._namespace}/{self._name} {cause}")

    async def release(self) -> None:
        """Release the lease, so that another operator can take it at once."""
        if self.held:
            try:
                await self._update(self._clear_holder)
            except (ApiError, Unreachable) as error:
                log.warning("lease not released, it expires in %g s: %s", DURATION_SECONDS, error)
            self._renewed_at = float("-inf")

    async def _try_acquire(self) -> bool:
        """Take or renew the lease. False if another operator holds it, or after an error."""
        start = asyncio.get_running_loop().time()
        try:
            if not await self._update(self._set_holder):
                return False
        except (ApiError, Unreachable) as error:
            if not (isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT):
                log.warning("lease %s/%s not renewed, retrying: %s", self._namespace, self._name, error)
            return False
        self._renewed_at = start
        return True

    async def _update(self, change: Callable[[dict[str, Any]], bool]) -> bool:
        """Write the lease after `change`. False if `change` returns False.

        The holder replaces its last version without reading it, so that a slow API server delays one request instead of
        two. The API server refuses the write (409) if another operator has written since.
        """
        last, self._written = self._written, None
        if last is not None and change(last):
            try:
                self._written = await self._cluster.replace(self._path(self._name), last)
                return True
            except ApiError as error:
                if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                    raise
        live = await self._cluster.find(self._path(self._name))
        lease = live or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {},
        }
        if not change(lease):
            return False
        if live is None:
            self._written = await self._cluster.create(self._path(), lease)
        else:
            self._written = await self._cluster.replace(self._path(self._name), lease)
        return True

    def _set_holder(self, lease: dict[str, Any]) -> bool:
        spec, now = lease["spec"], asyncio.get_running_loop().time()
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._expired(holder, spec.get("renewTime", ""), now):
            if self._renewed_at > float("-inf"):
                self._renewed_at = float("-inf")  # another operator holds it, although the deadline has not passed
            return False
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if holder != self._identity:
            spec.update(acquireTime=stamp, leaseTransitions=spec.get("leaseTransitions", 0) + 1)
        spec.update(holderIdentity=self._identity, leaseDurationSeconds=round(DURATION_SECONDS), renewTime=stamp)
        return True

    def _clear_holder(self, lease: dict[str, Any]) -> bool:
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._identity:
            return False
        spec.update(holderIdentity="", leaseDurationSeconds=1)
        return True

    def _expired(self, holder: str, renewed: str, now: float) -> bool:
        """Whether the holder has not renewed the lease for its whole duration."""
        if self._last_seen != (holder, renewed):
            self._last_seen, self._last_seen_at = (holder, renewed), now
        return now - self._last_seen_at >= DURATION_SECONDS
