"""Copy the comments of values.yaml into the chart's schema and into the table of its README.

After a change of values.yaml: `python helm/describe.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "leaderboard"
BEGIN, END = "<!-- values: generated, see helm/describe.py -->", "<!-- end of values -->"

_KEY = re.compile(r"( *)([A-Za-z]\w*):( .*)?$")

Path_ = tuple[str, ...]


def comments() -> dict[Path_, str]:
    """The comments of values, by their paths."""
    texts: dict[Path_, str] = {}
    lines: list[str] = []
    path: list[tuple[int, str]] = []
    for line in (CHART / "values.yaml").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        key = _KEY.match(line)
        if text.startswith("#"):
            lines.append(text.removeprefix("#").strip())
        elif key is None:
            lines = []
        else:
            depth = len(key[1])
            path = [*(part for part in path if part[0] < depth), (depth, key[2])]
            if lines:
                texts[tuple(name for _, name in path)] = " ".join(lines)
            lines = []
    return texts


def schema() -> str:
    """values.schema.json with the descriptions of values.yaml."""
    root = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for path, text in comments().items():
        part = root
        for name in path:
            part = part["properties"][name]
        part["description"] = text
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def table() -> str:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, text in comments().items():
        rows.append(f"| `{'.'.join(path)}` | `{json.dumps(_at(values, path), ensure_ascii=False)}` | {text} |")
    return "\n".join(rows)


def readme() -> str:
    """README.md with the current table."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _at(values: Any, path: Path_) -> Any:
    for name in path:
        values = values[name]
    return values


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(schema(), encoding="utf-8")
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
