"""Aggregates the metrics of several processes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from tornado_app.observability.metrics import Aggregation, Metrics


class ExemplarData(msgspec.Struct, frozen=True, array_like=True):
    """One observation and its labels, such as the request id. `at`: seconds since the epoch."""

    labels: dict[str, str]
    value: float
    at: float


Sample: TypeAlias = tuple[str, dict[str, str], float, ExemplarData | None]
"""Name, labels, value, and the newest exemplar, if any."""


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric of one process. `aggregation`: how samples of several processes are combined."""

    name: str
    kind: str
    text: str
    aggregation: Aggregation
    samples: list[Sample]


_AGGREGATE: dict[Aggregation, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


def families(metrics: Metrics) -> list[Family]:
    """The metrics of this process."""
    return [
        Family(
            found.name,
            found.type,
            found.documentation,
            metrics.aggregations.get(found.name, "sum"),
            [(sample.name, sample.labels, sample.value, _example(sample.exemplar)) for sample in found.samples],
        )
        for found in metrics.registry.collect()
    ]


def _example(found: Exemplar | None) -> ExemplarData | None:
    return None if found is None else ExemplarData(found.labels, found.value, float(found.timestamp or 0.0))


def aggregate(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """The families of all processes; samples with the same name and labels are combined."""
    found: dict[str, list[Family]] = {}
    for process in processes:
        for family in process:
            found.setdefault(family.name, []).append(family)
    return [_combine(parts) for parts in found.values()]


def _combine(parts: list[Family]) -> Family:
    values: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, ExemplarData | None]] = {}
    combine = _AGGREGATE[parts[0].aggregation]
    for part in parts:
        for name, labels, value, example in part.samples:
            key = name, tuple(labels.items())
            if key in values:
                before, older = values[key]
                values[key] = combine(before, value), _newer(older, example)
            else:
                values[key] = value, example
    samples = [(name, dict(labels), value, example) for (name, labels), (value, example) in values.items()]
    return msgspec.structs.replace(parts[0], samples=samples)


def _newer(one: ExemplarData | None, other: ExemplarData | None) -> ExemplarData | None:
    return other if one is None or (other is not None and other.at > one.at) else one


class AggregatedCollector(Collector):
    """The metrics of several processes, by pid; for a registry.

    The counters of an exited process are kept, so that no counter decreases; its gauges are dropped.
    """

    def __init__(self) -> None:
        self._running: dict[int, list[Family]] = {}
        self._ended: list[Family] = []

    def update(self, process: int, measured: list[Family]) -> None:
        """Replace the metrics of a running process."""
        self._running[process] = measured

    def process_exited(self, process: int) -> None:
        """Keep the counters of an exited process."""
        last = self._running.pop(process, [])
        self._ended = aggregate([self._ended, [family for family in last if family.kind != "gauge"]])

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for a scrape."""
        for family in aggregate([*self._running.values(), self._ended]):
            metric = Metric(family.name, family.text, family.kind)
            for name, labels, value, example in family.samples:
                exemplar = None if example is None else Exemplar(example.labels, example.value, example.at)
                metric.add_sample(name, labels, value, exemplar=exemplar)
            yield metric
