"""The metrics of several processes as those of one service."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from tornado_app.observability.metrics import Join, Metrics


class Example(msgspec.Struct, frozen=True, array_like=True):
    """One observation, by the labels that lead to it; `at`: seconds since the epoch."""

    labels: dict[str, str]
    value: float
    at: float


Measure: TypeAlias = tuple[str, dict[str, str], float, Example | None]
"""A sample: name, labels, value, and the newest example of it, if any."""


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric in one process. `join`: what its samples of several processes make."""

    name: str
    kind: str
    text: str
    join: Join
    samples: list[Measure]


_TOGETHER: dict[Join, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


def families(metrics: Metrics) -> list[Family]:
    """What this process has measured."""
    return [
        Family(
            found.name,
            found.type,
            found.documentation,
            metrics.joins.get(found.name, "sum"),
            [(sample.name, sample.labels, sample.value, _example(sample.exemplar)) for sample in found.samples],
        )
        for found in metrics.registry.collect()
    ]


def _example(found: Exemplar | None) -> Example | None:
    return None if found is None else Example(found.labels, found.value, float(found.timestamp or 0.0))


def join(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """All families of all processes, each once, with samples of the same name and labels made one."""
    found: dict[str, list[Family]] = {}
    for process in processes:
        for family in process:
            found.setdefault(family.name, []).append(family)
    return [_one(parts) for parts in found.values()]


def _one(parts: list[Family]) -> Family:
    values: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, Example | None]] = {}
    together = _TOGETHER[parts[0].join]
    for part in parts:
        for name, labels, value, example in part.samples:
            key = name, tuple(labels.items())
            if key in values:
                before, older = values[key]
                values[key] = together(before, value), _newer(older, example)
            else:
                values[key] = value, example
    samples = [(name, dict(labels), value, example) for (name, labels), (value, example) in values.items()]
    return msgspec.structs.replace(parts[0], samples=samples)


def _newer(one: Example | None, other: Example | None) -> Example | None:
    return other if one is None or (other is not None and other.at > one.at) else one


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
            for name, labels, value, example in family.samples:
                exemplar = None if example is None else Exemplar(example.labels, example.value, example.at)
                metric.add_sample(name, labels, value, exemplar=exemplar)
            yield metric
