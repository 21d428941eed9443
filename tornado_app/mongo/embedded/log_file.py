"""mongod's log file: bounded, and the source of the reason when mongod exits."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

MAX_BYTES = 16 * 1024 * 1024
"""Size above which a log is renamed to `.1`, which replaces the previous one: at most twice as much is kept."""

_LINES, _CHARACTERS = 4, 240
"""Lines and characters of a log in an error message."""

_WIRED_TIGER = re.compile(r"^(?:.*\[ERROR\]: )?(?:__\w+(?:, |:)\d+: ?)?")
"""WiredTiger's prefix of a message: time, process, session, and its own function."""

_LAST_WORDS = 6384300
"""The id of mongod's entry for a signal; the reason is in the lines before."""


class LogFile:
    """The log at `path`, to which mongod appends, and the loader before mongod has a log."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.path = path
        self._begin = 0

    def open(self) -> int:
        """A descriptor to append to, for a mongod that is about to start; only the owner can read the file."""
        self.rotate()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._begin = os.fstat(descriptor).st_size
        return descriptor

    def rotate(self) -> bool:
        """Rename the file if it is too large; True if mongod must open a new one (SIGUSR1)."""
        if not self.path.exists() or self.path.stat().st_size <= self._max_bytes:
            return False
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._begin = 0
        return True

    def recent_errors(self) -> str:
        """The last errors since `open`, shortened: the reason of mongod's exit."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(self._begin, self.path.stat().st_size - 256 * 1024))
            lines = file.read().decode("utf-8", "replace").splitlines()
        errors = [text for line in lines if (text := _complaint(line))]
        return "; ".join(list(dict.fromkeys(errors))[-_LINES:])


def _complaint(line: str) -> str:
    """The error in a line, or nothing."""
    try:
        entry = json.loads(line)
        severity, component, attributes = entry["s"], entry["c"], entry.get("attr") or {}
    except ValueError:
        return "" if line.startswith("{") else _shortened(line)  # the loader or the option parser, not a partial entry
    except (KeyError, TypeError, AttributeError):
        return ""
    is_trouble = severity in ("E", "F") or (severity, component) == ("W", "STORAGE")
    if not is_trouble or entry.get("id") == _LAST_WORDS:
        return ""
    reason = _reason(attributes)
    if component == "ASSERT" and not reason:  # a position in the source is not a reason
        return ""
    message = str(entry.get("msg", "")).strip()
    return _shortened(reason if component == "WT" and reason else f"{message}: {reason}" if reason else message)


def _reason(attributes: dict[str, Any]) -> str:
    error = attributes.get("message") or attributes.get("error") or ""
    if isinstance(error, dict):
        error = error.get("errmsg") or error.get("msg") or error.get("codeName") or ""
    return _WIRED_TIGER.sub("", str(error))


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
