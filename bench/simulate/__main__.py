"""`python -m bench.simulate partitions | processes | sizing` prints the tables of docs/scaling.md."""

from __future__ import annotations

import sys

from bench.simulate import partitions, processes

TABLES = {"partitions": partitions.table, "processes": processes.table, "sizing": processes.sizing}


def main() -> int:
    """The exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        print(__doc__, file=sys.stderr)
        return 2
    print(TABLES[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
