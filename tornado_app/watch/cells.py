"""How many cells of a terminal a text takes, and how to make it harmless and fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

ZWNJ, ZWJ, WIDE_EMOJI = "\u200c", "\u200d", "\ufe0f"
LRM = "\u200e"
"""Ends a text of right-to-left letters or Arabic digits, so that a terminal that reorders them leaves the digits behind
it in place. Source: UAX #9, rules W7 and N1."""

MAX_MARKS = 4
"""Combining marks shown on one letter: more would climb into the rows above and below."""

_REPLACED = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")


def clean(text: str) -> str:
    """`text` without what could move the cursor, end the line or turn the direction of what follows it."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _REPLACED:
        return "\ufffd"
    if category == "Cf" and character not in (ZWNJ, ZWJ) and not _is_tag(character):
        return ""  # among them the marks, embeddings, overrides and isolates of direction
    return " " if category == "Zs" else character


def width(text: str) -> int:
    """Cells that a clean text takes."""
    return sum(cells for _, cells in clusters(text))


def fit(text: str, cells: int) -> str:
    """A clean text of exactly so many cells: cut with an ellipsis, or filled up with spaces."""
    signs = list(clusters(text))
    if sum(wide for _, wide in signs) > cells:
        while signs and sum(wide for _, wide in signs) > cells - 1:
            signs.pop()
        signs += [("…", 1)] * (cells > 0)
    text = "".join(sign for sign, _ in signs)
    mark = LRM if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text) else ""
    return text + mark + " " * (cells - sum(wide for _, wide in signs))


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """What a terminal shows as one sign (a letter with its marks, an emoji with its parts), and the cells it takes.

    A simple form of UAX #29's clusters, with the widths of UAX #11. Terminals differ on the newest emoji.
    """
    start = 0
    while start < len(text):
        end = _end(text, start)
        yield _without_excess(text[start:end]), _cells(text[start:end])
        start = end


def _end(text: str, start: int) -> int:
    end = start + 1
    if _is_flag_half(text[start]) and end < len(text) and _is_flag_half(text[end]):
        end += 1
    while end < len(text):
        joined = text[end - 1] == ZWJ and unicodedata.category(text[end]) == "So"
        if joined or _extends(text[end]):
            end += 1
        else:
            break
    return end


def _cells(cluster: str) -> int:
    if _extends(cluster[0]):
        return 0
    return 2 if _is_wide(cluster[0]) or _is_flag_half(cluster[0]) or WIDE_EMOJI in cluster else 1


def _without_excess(cluster: str) -> str:
    marks = [index for index, character in enumerate(cluster) if unicodedata.category(character) in ("Mn", "Me")]
    return cluster if len(marks) <= MAX_MARKS else cluster[: marks[MAX_MARKS]]


def _extends(character: str) -> bool:
    is_skin_tone = "\U0001f3fb" <= character <= "\U0001f3ff"
    is_jamo = "\u1160" <= character <= "\u11ff"  # vowels and finals, which join the syllable before them
    return unicodedata.category(character) in ("Mn", "Me", "Cf") or is_skin_tone or is_jamo


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in ("W", "F")


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_tag(character: str) -> bool:
    return "\U000e0020" <= character <= "\U000e007f"
