"""`python -m tests.endurance.graphs soak.csv soak.svg`: the graphs of a soak."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

GRAPHS = {
    "Score updates, ms": {"p50_ms": "p50", "p99_ms": "p99"},
    "From an update to a socket, ms": {"live_p50_ms": "p50", "live_p99_ms": "p99"},
    "Resident memory, MiB": {"service_mib": "service", "mongod_mib": "mongod"},
    "Sockets and descriptors": {"sockets": "sockets", "descriptors": "descriptors"},
    "Lag of the change stream, s": {"lag_s": "lag"},
    "CPU, cores": {"service_cpu": "service", "mongod_cpu": "mongod", "others_cpu": "all else on the machine"},
}
"""By title: columns, and what they are called."""

LOGARITHMIC = ", ms"


def main(source: str, target: str) -> None:
    """Read what the soak printed, and draw it."""
    with Path(source).open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    minutes = [float(row["second"]) / 60 for row in rows]
    figure = Figure(figsize=(11, 9), layout="constrained")
    for instance, (title, columns) in zip(figure.subplots(3, 2).flat, GRAPHS.items(), strict=True):
        for column, label in columns.items():
            instance.plot(minutes, [float(row[column]) for row in rows], label=label)
        instance.set(title=title, xlabel="minutes")
        instance.grid(alpha=0.3)
        instance.legend(loc="upper left")
        if title.endswith(LOGARITHMIC):
            instance.set_yscale("log")
        else:
            instance.set_ylim(bottom=0)
    with mpl.rc_context({"svg.hashsalt": "soak"}):
        figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
