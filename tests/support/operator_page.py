"""The page docs/operator.md and its code blocks."""

from __future__ import annotations

import re

from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
