"""Names as text that is safe to print on a terminal."""

from __future__ import annotations

import re
import unicodedata

MAX_MARKS = 4
"""Combining marks shown on one letter. More would reach into the rows above and below."""

_JOINERS = ("\u200c", "\u200d")
_REPLACED = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """`text` without what could move the cursor, end the line or change the direction of the text that follows.

    rich removes five control characters only, and neither escape nor the bidirectional ones.
    """
    return _limit_marks("".join(_visible(character) for character in text))


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _REPLACED:
        return "\ufffd"
    if category == "Cf" and character not in _JOINERS and not _is_tag(character):
        return ""  # includes the marks, embeddings, overrides and isolates of direction
    return " " if category == "Zs" else character


def _limit_marks(text: str) -> str:
    if text.isascii():
        return text
    kinds = "".join("m" if unicodedata.category(character) in ("Mn", "Me") else "." for character in text)
    kept, start = [], 0
    for excess in re.finditer(f"(?<=m{{{MAX_MARKS}}})m+", kinds):
        kept.append(text[start : excess.start()])
        start = excess.end()
    return "".join([*kept, text[start:]])


def _is_tag(character: str) -> bool:
    """Whether it is part of a flag, such as that of Scotland."""
    return "\U000e0020" <= character <= "\U000e007f"
