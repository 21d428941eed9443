"""Observation of the services during a trial: readiness, logs and file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Iterator

import aiohttp

from tests.endurance.clients import ask
from tests.endurance.environment import Environment

LOOK_EVERY = 0.1
MOST_LINES = 100
"""Warnings and errors that a service may log in a second, whatever happens. An accepted update has its line besides."""

MORE_DESCRIPTORS = 64
"""By how many a service may have more open after a trial than after its start: connections that a pool keeps."""

_BAD = re.compile(r"Traceback|late_update|never retrieved|never awaited|request failed|internal error")
_SECOND = re.compile(r'"ts":"([^".]*)[^"]*","level":"(?:warning|error|critical)"')


class Watch:
    """Looks at the readiness of all services of an environment. `shut`: the numbers of those that were seen shut."""

    def __init__(self, environment: Environment) -> None:
        self._stage = environment
        self.shut: set[int] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            while True:
                for number, instance in enumerate(self._stage.instances):
                    answer = await ask(session, "GET", f"{instance.service.url}/readyz")
                    if answer.status == 503:
                        self.shut.add(number)
                await asyncio.sleep(LOOK_EVERY)


@contextlib.contextmanager
def watching(environment: Environment) -> Iterator[Watch]:
    """Run a `ReadinessWatch` during the block."""
    watch = Watch(environment)
    looking = environment.loop.start(watch.run())
    try:
        yield watch
    finally:
        looking.cancel()


def complaints(log: str) -> list[str]:
    """Forbidden lines, and too many warnings and errors per second."""
    found = [line[:2000] for line in log.splitlines() if _BAD.search(line)][:5]
    lines = busiest(log)
    return found + ([f"{lines} warnings and errors in a second"] if lines > MOST_LINES else [])


def busiest(log: str) -> int:
    """Warnings and errors in the second with the most."""
    return max(Counter(_SECOND.findall(log)).values(), default=0)
