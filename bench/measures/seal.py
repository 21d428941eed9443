"""An epoch with many players is sealed while updates continue."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from urllib.request import Request, urlopen

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.database import DATABASE
from bench.generator import Result
from bench.processes import START_SECONDS, until
from bench.report import Column, Report, ratio
from bench.systems import Stage, System
from tornado_app.core.plan import GRACE

HOW = """\
A board of a million players, all of them in the open epoch of a period, which is ended by hand. `POST /api/score` as in
Score updates, of 20,000 players, in an open loop with 64 connections at half of the rate that a closed loop reached
before. Service, mongod (cache of 0.5 GB) and load generator share two cores. `sealed after` counts from the time at
which the result may be made, ten seconds after the end of the epoch, until it is final. The runs `while it is sealed`
follow each other from then on."""

COLUMNS = (
    Column("per_second", "updates/s", 0),
    Column("p50", "p50 ms", 1),
    Column("p50ratio", "× before", 2),
    Column("p99", "p99 ms", 1),
    Column("p99ratio", "× before", 2),
    Column("sealed", "sealed after s", 0),
)

BEFORE, DURING = "before", "while it is sealed"
PERIOD = "season"
SIZE = 1_000_000
SEAL_SECONDS = 900.0


def run(bench: Bench) -> Report:
    """So many rounds before, and then until the epoch is sealed."""
    report = Report("Sealing an epoch under load", HOW, COLUMNS)
    idle, players = bench.pick((SIZE, 20_000), (2_000, 300))
    connections = bench.pick(YARDSTICK_CONNECTIONS, 4)
    with bench.stage(all_cores=True) as stage:
        service = bench.played(stage.service(players, periods={PERIOD: {}}, idle=idle), players)
        rate = bench.write(service, connections=connections).raw["per_second"] / 2

        def load() -> Result:
            return bench.write(service, connections=connections, rate=rate)

        before = [load() for _ in range(bench.rounds)]
        due = _end(stage, service) + GRACE / 1000
        while time.time() < due:
            load()
        during, sealed = [], None
        for _ in until(SEAL_SECONDS, "the epoch is sealed"):
            during.append(load())
            if (sealed := _sealed(service)) is not None:
                break
    for name, results in ((BEFORE, before), (DURING, during)):
        for result in results:
            if report.saw(result):
                report.add(
                    name, per_second=result.raw["per_second"], p50=result.latency("p50"), p99=result.latency("p99")
                )
    ratios = {
        f"{quantile}ratio": ratio(report.median(DURING, quantile), report.median(BEFORE, quantile))
        for quantile in ("p50", "p99")
    }
    report.add(DURING, **ratios, sealed=sealed.timestamp() - due if sealed else math.nan)
    return report


def _end(stage: Stage, service: System) -> float:
    """End the epoch by hand: when that is, in seconds since 1970."""
    headers = {"Authorization": f"Bearer {stage.admin_token()}"}
    request = Request(f"{service.url}/api/v1/admin/periods/{PERIOD}/end", headers=headers, method="POST")
    with urlopen(request, timeout=START_SECONDS) as answer:
        return datetime.fromisoformat(json.load(answer)["epoch"]["end"]).timestamp()


def _sealed(service: System) -> datetime | None:
    """When the result was final; None if it is not."""
    assert service.base is not None
    with service.base.client() as client:
        epoch = client[DATABASE]["periods"].find_one({"period": PERIOD, "epoch": 1, "state": "sealed"})
    return None if epoch is None else epoch["sealedAt"].replace(tzinfo=UTC)
