"""docs/metrics.md is what the declarations say; `python -m tests.observability.test_metrics_document` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from leaderboard_operator.metrics import Metrics as OperatorMetrics
from tornado_app.observability.metrics import Metrics

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
HEAD = """# Metrics

Prometheus scrapes the service at `/metrics` on `metrics_port`, and the operator on its port 8080. With OpenMetrics
(which Prometheus requests if `exemplar-storage` is on), buckets of `leaderboard_http_request_duration_seconds` have
exemplars with `request_id`: of requests of 250 ms and more, and of one of the others each second.

No label has a value from a client: an unknown path is the route `none`, an unknown method is `other`, and no player is
ever a label. Series of known values exist from the start, at 0.

With `--processes N` one scrape returns all processes. Counters and histograms are added up, and the counts of a process
that ended are kept. A gauge is the sum, the maximum or the minimum, as the column *Together* says. Exemplars are the
newest ones of any process.

`process_*` and `python_gc_*` come from the Prometheus client library. With several processes, memory is the sum, open
files are those of the process with most of them, and the start time is that of the newest.
"""


def rows(registry: CollectorRegistry, joins: dict[str, str]) -> Iterator[str]:
    # The library keeps the names of labels to itself where no series is there yet.
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
    names = ["Name", "Type", "Labels", *(["Together"] if joins else []), "What it is"]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *rows(registry, joins)]


def document() -> str:
    service = Metrics()
    lines = [HEAD, "## The service", "", *table(service.registry, dict(service.joins)), ""]
    return "\n".join([*lines, "## The operator", "", *table(OperatorMetrics().registry, {}), ""])


def test_it_is_up_to_date():
    assert DOCUMENT.read_text(encoding="utf-8") == document()


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
