"""docs/metrics.md, made from the declarations: `python -m tornado_app.metrics_page > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from prometheus_client.core import Metric

from tornado_app import series
from tornado_app.observability.metrics import SECONDS, SIZES, Metrics
from tornado_app.observability.process import measure_process

_INTRODUCTION = f"""# Metrics

<!-- Made by `python -m tornado_app.metrics_page > docs/metrics.md`; a test holds it against the code. -->

`GET /metrics` on the port `metrics_port`, in the text format of Prometheus, or as OpenMetrics for who asks for that.
Those of the operator are in [On Kubernetes](operator.md#metrics-and-probes-of-the-operator).

- **No label comes from outside.** A path that is none counts as route `none`, a method that nobody has as `other`, and
  no label names a player. So there are as many series after a year, or after an attack, as on the first day.
- **What is rare is there at 0 from the start**: refusals, evictions, restarts, suspicion, and each route's 500s. So
  `rate()` and `increase()` see the first of them too.
- **Histograms of seconds** have buckets up to {", ".join(f"{bound:g}" for bound in SECONDS)}; those of sizes up to
  {", ".join(map(str, SIZES))}.
- **Exemplars.** In OpenMetrics each bucket of `leaderboard_http_request_duration_seconds` names the newest request that
  it counted by `request_id`, under which the [log](logs.md) has it. A Prometheus keeps them with
  `--enable-feature=exemplar-storage`. `leaderboard_update_propagation_seconds` has none: what it times is a change of
  the board, which may be the doing of many requests, on other replicas too.
- **`--processes N`**: one scrape tells about all processes. Counters and histograms are added up, and what a process
  had counted stays when it ends; the last column tells what is made of gauges. Of the exemplars the newest is kept.
- **How soon players see it** is `leaderboard_update_propagation_seconds`, the one to watch: from the commit in the
  database to the last socket that could take the message.
- `leaderboard_mongodb_command_duration_seconds` counts commands that failed too; its `getMore` is mostly the change
  stream, which waits for news for up to half a second.
"""

_HEAD = ("| Metric | Type | Labels | What it tells | Of several processes |", "|---|---|---|---|---|")

_VALUES = """## Values of labels

Those that there are from the start. `result` may also be an error code that is about the HTTP of a request alone.

| Metric | Label | Values |
|---|---|---|"""

_JOINED = {"sum": "added up", "max": "the largest", "min": "the smallest"}


def render() -> str:
    """The whole page, as Markdown."""
    metrics = Metrics()
    measure_process(metrics)
    rows = sorted(_row(metrics, family) for family in metrics.registry.collect())
    return "\n".join([_INTRODUCTION, *_HEAD, *rows, "", _VALUES, *_values()]) + "\n"


def _row(metrics: Metrics, family: Metric) -> str:
    found = metrics.labels.get(family.name) or sorted({label for sample in family.samples for label in sample.labels})
    labels = ", ".join(f"`{label}`" for label in found if label != "le")
    joined = _JOINED[metrics.joins.get(family.name, "sum")]
    return f"| `{_name(family)}` | {family.type} | {labels} | {family.documentation.removesuffix('.')}. | {joined} |"


def _values() -> Iterator[str]:
    metrics = Metrics()
    series.begin(metrics)
    for family in metrics.registry.collect():
        for label in metrics.labels[family.name]:
            values = sorted({sample.labels[label] for sample in family.samples})
            if values and label != "version":
                yield f"| `{_name(family)}` | `{label}` | {', '.join(f'`{value}`' for value in values)} |"


def _name(family: Metric) -> str:
    """As it is scraped."""
    return f"{family.name}_total" if family.type == "counter" else family.name


if __name__ == "__main__":
    sys.stdout.write(render())
