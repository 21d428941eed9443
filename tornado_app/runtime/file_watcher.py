"""Detects changed files, for files that are reloaded without a restart."""

from __future__ import annotations

from pathlib import Path

_Stamps = tuple[tuple[int, int, int], ...]


class FileWatcher:
    """Detects changes of some files by `stat`, which takes microseconds for each file.

    Create it before the files are read for the first time.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen: _Stamps | None = self._stamps()

    def changed(self) -> bool:
        """Whether a file has changed, appeared or disappeared since the last call.

        The new state is stored at once. So the next call notices a change while the caller reads the files.
        """
        before, self._seen = self._seen, self._stamps()
        return self._seen != before

    def forget(self) -> None:
        """Have the next call of `changed` return True, such as after a file could not be read."""
        self._seen = None

    def _stamps(self) -> _Stamps:
        """Inode, size and modification time of each file; empty if one is missing."""
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return ()
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)
