"""The metrics of several processes as those of one service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec
from prometheus_client.core import Exemplar, Metric
from prometheus_client.registry import Collector

from tornado_app.observability.metrics import Join, Metrics


class Example(msgspec.Struct, frozen=True, array_like=True):
    """One of the events that a sample has counted: OpenMetrics' exemplar."""

    labels: dict[str, str]
    value: float
    at: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric in one process. `join`: what its samples of several processes make.

    `samples`: name, labels, value. `examples`: the newest of those samples that have any, by their place.
    """

    name: str
    kind: str
    text: str
    join: Join
    samples: list[tuple[str, dict[str, str], float]]
    examples: dict[int, Example] = {}


def families(metrics: Metrics) -> list[Family]:
    """What this process has measured."""
    return [
        Family(
            found.name,
            found.type,
            found.documentation,
            metrics.joins.get(found.name, "sum"),
            [(sample.name, sample.labels, float(sample.value)) for sample in found.samples],
            {place: _example(sample.exemplar) for place, sample in enumerate(found.samples) if sample.exemplar},
        )
        for found in metrics.registry.collect()
    ]


def _example(exemplar: Exemplar) -> Example:
    return Example(exemplar.labels, exemplar.value, float(exemplar.timestamp or 0))


def join(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """All families of all processes, each once, with samples of the same name and labels made one."""
    found: dict[str, list[Family]] = {}
    for process in processes:
        for family in process:
            found.setdefault(family.name, []).append(family)
    return [_one(parts) for parts in found.values()]


_Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
_TOGETHER: dict[Join, Callable[[float, float], float]] = {"sum": float.__add__, "max": max, "min": min}


def _one(parts: list[Family]) -> Family:
    """The newest example is kept of each sample."""
    values: dict[_Key, float] = {}
    newest: dict[_Key, Example] = {}
    together = _TOGETHER[parts[0].join]
    for part in parts:
        for place, (name, labels, value) in enumerate(part.samples):
            key = name, tuple(labels.items())
            values[key] = together(values[key], value) if key in values else value
            example = part.examples.get(place)
            if example is not None and (key not in newest or newest[key].at < example.at):
                newest[key] = example
    samples = [(name, dict(labels), value) for (name, labels), value in values.items()]
    examples = {place: newest[key] for place, key in enumerate(values) if key in newest}
    return msgspec.structs.replace(parts[0], samples=samples, examples=examples)


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
            for place, (name, labels, value) in enumerate(family.samples):
                example = family.examples.get(place)
                exemplar = None if example is None else Exemplar(example.labels, example.value, example.at)
                metric.add_sample(name, labels, value, exemplar=exemplar)
            yield metric
