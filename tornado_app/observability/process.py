"""What system and interpreter tell of this process, under the names that all Prometheus clients use."""

from __future__ import annotations

from prometheus_client import GCCollector, ProcessCollector

from tornado_app.observability.metrics import Join, Metrics

JOINS: dict[str, Join] = {
    "process_virtual_memory_bytes": "sum",
    "process_resident_memory_bytes": "sum",
    "process_open_fds": "sum",
    "process_max_fds": "sum",
    "process_start_time_seconds": "max",
}
"""Several processes together use what each of them does, and have changed when the newest of them began."""


def measure_process(metrics: Metrics) -> None:
    """Have CPU, memory, open files and garbage collections among the metrics; read when they are asked for."""
    ProcessCollector(registry=metrics.registry)
    GCCollector(registry=metrics.registry)
    metrics.joins.update(JOINS)
