"""Row 1 on two cores: score updates with one process and with two."""

from __future__ import annotations

from bench.bench import Bench
from bench.measures import write
from bench.report import Column, Report, Target, ratio

HOW = """\
`POST /api/score` as in Score updates, with 256 connections, closed loop; server and mongod may use both cores here, of
which the load generator uses a part. One process leaves CPU for mongod and the generator; two share the port."""

COLUMNS = (*write.COLUMNS[:-1], Column("ratio", "× one process"))

ONE, TWO = "1 process, 2 cores", "2 processes, 2 cores"
CONNECTIONS = 256


def run(bench: Bench) -> Report:
    """Alternating."""
    report = Report("Two processes", HOW, COLUMNS, [Target("CPU of two, at most 2.2 U", TWO, "units", 2.2)])
    players, connections = bench.pick((20_000, CONNECTIONS), (300, 4))
    with bench.stage(all_cores=True) as stage:
        bare = stage.bare()
        services = {ONE: stage.service(players), TWO: stage.service(players, flags=("--processes", "2"))}
        systems = {name: bench.played(service, players) for name, service in services.items()}
        units = [bench.yardstick(bare) for _ in range(bench.rounds)]
        found = {}
        for number, (name, system) in bench.turns(list(systems.items())):
            found[number, name] = bench.write(system, connections=connections)
        for number, unit in enumerate(units):
            if not report.saw(found[number, ONE], found[number, TWO]):
                continue
            for name in systems:
                result = found[number, name]
                report.add(
                    name, per_second=result.raw["per_second"], server=result.group_cpu_us("server"),
                    mongod=result.group_cpu_us("mongod"), units=ratio(result.cpu_us, unit), p50=result.latency("p50"),
                    p99=result.latency("p99"),
                    ratio=ratio(result.raw["per_second"], found[number, ONE].raw["per_second"]),
                )  # fmt: skip
    return report
