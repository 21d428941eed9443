"""Write each dashboard's JSON file, and its copy for the chart, which may hold no file of another folder."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.fleet import fleet
from dashboards.operator import operator
from dashboards.service import service

HERE = Path(__file__).parent
CHART = HERE.parent / "helm" / "leaderboard" / "files" / "dashboards"
DASHBOARDS = {"fleet": fleet, "service": service, "operator": operator}


def rendered(name: str) -> str:
    """The content of a file."""
    return json.dumps(DASHBOARDS[name](), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    for name in DASHBOARDS:
        for folder in (HERE, CHART):
            (folder / f"{name}.json").write_text(rendered(name), encoding="utf-8")


if __name__ == "__main__":
    main()
