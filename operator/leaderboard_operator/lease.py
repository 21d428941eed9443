"""Leader election by a coordination.k8s.io Lease: of several operators, only its holder writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from leaderboard_operator.cluster import ApiError, Cluster, Collection, Unreachable

log = logging.getLogger(__name__)

DURATION = 15.0
"""Seconds after its last renewal that a lease is another's to take."""

RENEW_WITHIN = 10.0
"""Seconds after its last renewal that the holder stops: before another may start by as long as a request may take."""

RETRY = 2.0
"""Seconds between two looks at the lease."""


class LeaseLost(Exception):
    """We no longer hold the lease, or cannot tell."""


class Lease:
    """One candidate, told from others by `identity`. Clocks of machines are never compared, only our own is read."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, identity: str) -> None:
        self._cluster = cluster
        self._path = Collection("coordination.k8s.io/v1", "leases", namespace)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._renewed_at = float("-inf")
        self._written: dict[str, Any] | None = None

    @property
    def held(self) -> bool:
        """Whether we hold it at this moment, and for long enough to write."""
        return asyncio.get_running_loop().time() - self._renewed_at < RENEW_WITHIN

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        while not await self._try():  # noqa: ASYNC110 - who holds it is another process: no event tells
            await asyncio.sleep(RETRY)
        log.info("this operator leads: it holds the lease %s/%s", self._namespace, self._name)

    async def keep(self) -> None:
        """Renew until cancelled; raises LeaseLost."""
        while True:
            await asyncio.sleep(RETRY)
            renewed = await self._try()
            if not self.held:
                raise LeaseLost(f"the lease {self._namespace}/{self._name} is " + ("late" if renewed else "lost"))

    async def release(self) -> None:
        """Let another have it at once."""
        if self.held:
            try:
                await self._put(self._give_up)
            except (ApiError, Unreachable) as error:
                log.warning("the lease was not released, and runs out in %g s: %s", DURATION, error)
            self._renewed_at = float("-inf")

    async def _try(self) -> bool:
        """Take or renew the lease, if that is possible now."""
        start = asyncio.get_running_loop().time()
        try:
            if not await self._put(self._claim):
                return False
        except (ApiError, Unreachable) as error:
            if not (isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT):
                log.warning("the lease %s/%s: %s", self._namespace, self._name, error)
            return False
        self._renewed_at = start
        return True

    async def _put(self, change: Callable[[dict[str, Any]], bool]) -> bool:
        """Write the lease as `change` makes it, unless that returns False or another wrote it meanwhile.

        The holder replaces what it wrote last without reading it, so that a slow API server delays one request and not
        two. The API server refuses that (409) if another has written since.
        """
        known, self._written = self._written, None
        if known is not None and change(known):
            try:
                self._written = await self._cluster.replace(self._path(self._name), known)
                return True
            except ApiError as error:
                if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                    raise
        found = await self._cluster.find(self._path(self._name))
        lease = found or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {},
        }
        if not change(lease):
            return False
        if found is None:
            self._written = await self._cluster.create(self._path(), lease)
        else:
            self._written = await self._cluster.replace(self._path(self._name), lease)
        return True

    def _claim(self, lease: dict[str, Any]) -> bool:
        spec, now = lease["spec"], asyncio.get_running_loop().time()
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._expired(holder, spec.get("renewTime", ""), now):
            if self._renewed_at > float("-inf"):
                self._renewed_at = float("-inf")  # another holds it: we do not, whatever the clock says
            return False
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if holder != self._identity:
            spec.update(acquireTime=stamp, leaseTransitions=spec.get("leaseTransitions", 0) + 1)
        spec.update(holderIdentity=self._identity, leaseDurationSeconds=round(DURATION), renewTime=stamp)
        return True

    def _give_up(self, lease: dict[str, Any]) -> bool:
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._identity:
            return False
        spec.update(holderIdentity="", leaseDurationSeconds=1)
        return True

    def _expired(self, holder: str, renewed: str, now: float) -> bool:
        """Whether the holder has been seen to do nothing for a whole duration."""
        if self._seen != (holder, renewed):
            self._seen, self._seen_at = (holder, renewed), now
        return now - self._seen_at >= DURATION
