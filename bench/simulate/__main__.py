"""`python -m bench.simulate group-commit | partitions | processes` prints the tables of docs/scaling.md."""

from __future__ import annotations

import sys

from bench.simulate import group_commit, partitions, processes

TABLES = {"group-commit": group_commit.table, "partitions": partitions.table, "processes": processes.table}


def main() -> int:
    """The exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        print(__doc__, file=sys.stderr)
        return 2
    print(TABLES[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
