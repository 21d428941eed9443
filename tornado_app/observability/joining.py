"""The metrics of several processes as those of one service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tornado_app.observability.metrics import Join, Metrics


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric in one process. `samples`: name, labels, value. `join`: what its samples of several processes make."""

    name: str
    kind: str
    text: str
    join: Join
    samples: list[tuple[str, dict[str, str], float]]


def families(metrics: Metrics) -> list[Family]:
    """What this process has measured."""
    return [
        Family(
            found.name,
            found.type,
            found.documentation,
            metrics.joins.get(found.name, "sum"),
            [(sample.name, sample.labels, sample.value) for sample in found.samples],
        )
        for found in metrics.registry.collect()
    ]


def join(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """All families of all processes, each once, with samples of the same name and labels made one."""
    found: dict[str, list[Family]] = {}
    for process in processes:
        for family in process:
            found.setdefault(family.name, []).append(family)
    return [_one(parts) for parts in found.values()]


_TOGETHER: dict[Join, Callable[[float, float], float]] = {"sum": float.__add__, "max": max, "min": min}


def _one(parts: list[Family]) -> Family:
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    together = _TOGETHER[parts[0].join]
    for part in parts:
        for name, labels, value in part.samples:
            key = name, tuple(labels.items())
            values[key] = together(values[key], value) if key in values else value
    samples = [(name, dict(labels), value) for (name, labels), value in values.items()]
    return msgspec.structs.replace(parts[0], samples=samples)


class Joined(Collector):
    """What several processes have measured, each known by a number; for a registry.

    What a process had counted stays counted when it ends, so that no counter goes back; its gauges go with it.
    """

    def __init__(self) -> None:
        self._running: dict[int, list[Family]] = {}
        self._ended: list[Family] = []

    def put(self, process: int, measured: list[Family]) -> None:
        """The newest of a running process."""
        self._running[process] = measured

    def end(self, process: int) -> None:
        """A process has ended."""
        last = self._running.pop(process, [])
        self._ended = join([self._ended, [family for family in last if family.kind != "gauge"]])

    def collect(self) -> Iterator[Metric]:
        """Called by the registry when it is scraped."""
        for family in join([*self._running.values(), self._ended]):
            metric = Metric(family.name, family.text, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric
