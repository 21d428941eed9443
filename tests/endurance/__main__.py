"""`python -m tests.endurance`: hurts the service in trials, and says whether anything was lost.

`--faults kill-service,kill-primary` or `all`, each so many `--trials`; `--pairs 20`: so many trials of two faults at a
time, chosen by the seed; `--processes 2`: each service has two processes. Each trial prints its seed, and the same
arguments with that `--seed` repeat it. Exit code 1: something was found.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.endurance import trial
from tests.endurance.environment import Environment
from tests.endurance.faults import FAULTS, Fault
from tests.endurance.report import append
from tests.endurance.trial import Outcome
from tornado_app.http import server


def main() -> int:
    """Run what the arguments ask for; the exit code."""
    options = _arguments()
    server.max_open_files()  # as many as may be had: some faults are a thousand connections
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    if options.pairs:
        plans = [(pair(Random(seed + number)), [seed + number]) for number in range(options.pairs)]
    else:
        plans = [([fault], list(range(seed, seed + options.trials))) for fault in options.faults]
    bad = 0
    for faults, seeds in plans:
        for outcome in series(faults, seeds, options.processes):
            say(line(outcome))
            bad += bool(outcome.problems)
            if options.out is not None:
                append(options.out, outcome)
    say(f"{bad} trials with problems" if bad else "nothing was lost, nothing doubled, all agreed")
    return int(bad > 0)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def pair(chance: Random) -> list[Fault]:
    """Two faults that one environment can have at once, the one in the midst of the other."""
    first = chance.choice([fault for fault in FAULTS.values() if not fault.alone])
    others = [other for other in FAULTS.values() if other.topology == first.topology and not other.alone]
    return [first, chance.choice([other for other in others if other is not first])]


def series(faults: list[Fault], seeds: list[int], processes: int) -> Iterator[Outcome]:
    """A trial for each seed, in one environment; a new one follows a trial that failed or lost scores."""
    left = deque(seeds)
    while left:
        with Environment(faults[0].topology, left[0], processes) as environment:
            while left:
                outcome = trial.run(environment, faults, left.popleft())
                yield outcome
                if outcome.problems or any(fault.loses for fault in faults):
                    break


def line(outcome: Outcome) -> str:
    """A trial, for a person."""
    recovery = outcome.recovery
    text = (
        f"{time.strftime('%H:%M:%S')} {outcome.fault} seed {outcome.seed}: {outcome.acknowledged} acknowledged, "
        f"{outcome.unclear} unclear, {outcome.lost} lost, {outcome.doubled} doubled, away {outcome.away:.2f} s, "
        f"answered after {recovery.answered:.2f} s, shown {recovery.shown:.2f} s, ready {recovery.ready:.2f} s"
        f"{' (late)' if recovery.late else ''}"
    )
    return "\n    ".join([text, *(problem[:600] for problem in outcome.problems[:12])])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--faults", type=_faults, default=list(FAULTS.values()), help=", ".join(FAULTS))
    parser.add_argument("--pairs", type=int, metavar="N", help="two faults at a time, N times")
    parser.add_argument("--trials", type=int, default=1, help="of each fault (default: 1)")
    parser.add_argument("--processes", type=int, default=1, help="of each service (default: 1)")
    parser.add_argument("--seed", type=int, help="of the first trial; the next ones count on (default: by chance)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append each trial to this CSV file")
    return parser.parse_args()


def _faults(text: str) -> list[Fault]:
    names = list(FAULTS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    return [FAULTS[name] for name in names]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends everything that was started, and leaves no file
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
