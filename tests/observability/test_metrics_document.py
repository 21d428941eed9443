"""docs/metrics.md is what the declarations say; `python -m tests.observability.test_metrics_document` writes it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from leaderboard_operator.metrics import Metrics as OperatorMetrics
from tests.support.project import ROOT
from tornado_app.observability.metrics import Metrics

DOCUMENT = ROOT / "docs" / "metrics.md"
HEAD = """# Metrics

Prometheus scrapes the service at `/metrics` on `metrics_port`, and the operator on its port 8080. In the OpenMetrics
format (which Prometheus requests if `exemplar-storage` is on), the buckets of
`leaderboard_http_request_duration_seconds` carry exemplars with `request_id`: of every request of 250 ms or more, and
of one faster request a second.

Label values are never taken from a request: an unknown path has the route `none`, an unknown method is `other`, and no
label names a player. The series of known label values exist from the start, with the value 0.

With `--processes N`, one scrape covers all processes. Counters and histograms are summed, and the counts of an exited
process are kept. The column *Aggregation* says how a gauge is aggregated: sum, maximum or minimum. An exemplar is the
newest of all processes.

`process_*` and `python_gc_*` come from the Prometheus client library. With several processes, memory is the sum, the
number of open files is the maximum, and the start time is the newest.
"""


def rows(registry: CollectorRegistry, joins: dict[str, str]) -> Iterator[str]:
    # The library keeps the names of labels to itself where no series is there yet.
    # The library lists the names of a registry's collectors nowhere else.
    declared = {name: found for found, names in registry._collector_to_names.items() for name in names}
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if family.name not in declared:
            continue  # of the process, from the library
        labels = declared[family.name]._labelnames
        together = joins.get(family.name, "") if family.type == "gauge" else "sum"
        listed = ", ".join(f"`{label}`" for label in labels)
        cells = [f"`{name}`", family.type, listed, *([together] if joins else []), family.documentation]
        yield "| " + " | ".join(cells) + " |"


def table(registry: CollectorRegistry, joins: dict[str, str]) -> list[str]:
    names = ["Name", "Type", "Labels", *(["Aggregation"] if joins else []), "Description"]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *rows(registry, joins)]


def document() -> str:
    service = Metrics()
    lines = [HEAD, "## The service", "", *table(service.registry, dict(service.aggregations)), ""]
    return "\n".join([*lines, "## The operator", "", *table(OperatorMetrics().registry, {}), ""])


def test_metrics_page_is_up_to_date():
    assert DOCUMENT.read_text(encoding="utf-8") == document()


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
