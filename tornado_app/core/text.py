"""Text from outside, in messages and log lines."""

from __future__ import annotations


def clip(text: str, maximum: int) -> str:
    """The first `maximum` characters of `text`, with an ellipsis if there are more."""
    return text if len(text) <= maximum else f"{text[:maximum]}..."
