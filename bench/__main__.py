"""`python -m bench NAME...` runs benchmarks and prints their results; `all` runs them all."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from bench import machine
from bench.bench import Bench
from bench.generator import Generator
from bench.measures import MEASURES
from bench.processes import Cores, Failed, Missing

ROUNDS, SECONDS = 3, 2.0
SMOKE_ROUNDS, SMOKE_SECONDS = 1, 0.5


def main() -> int:
    """The exit code: 1 if a benchmark could not run, unless a peer is not installed; the others run nevertheless."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    names = list(MEASURES) if "all" in options.names else options.names
    try:
        cores = Cores.of_this_machine()
        generator = Generator.build(cores.generator)
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    bench = Bench(
        options.rounds or (SMOKE_ROUNDS if options.smoke else ROUNDS),
        options.seconds or (SMOKE_SECONDS if options.smoke else SECONDS),
        cores, generator, options.smoke,
    )  # fmt: skip
    began = time.monotonic()
    failed = False
    sections = []
    for name in names:
        print(f"{time.monotonic() - began:5.0f} s  {name}", file=sys.stderr, flush=True)
        try:
            sections.append(MEASURES[name](bench).markdown())
        except Failed as failure:
            failed = failed or not isinstance(failure, Missing)
            sections.append(f"## {name}\n\n**Not measured**: {failure}\n")
        print(sections[-1], flush=True)
    if options.out is not None:
        head = machine.describe(bench, " ".join(names), time.monotonic() - began)
        options.out.write_text("\n".join([head, *sections]), encoding="utf-8")
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="+", choices=[*MEASURES, "all"], metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--rounds", type=int, help=f"alternations of each pair (default: {ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"measured time of one run (default: {SECONDS:g})")
    parser.add_argument("--smoke", action="store_true", help="as small as can be, only to see that it works")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there, with the machine's facts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
