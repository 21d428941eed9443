"""Checks of files and directories that only this user may write to.

Another user who owns one, or can write to it, could read a key, replace the database, or redirect writes by a symbolic
link. Source: CWE-59, CWE-732.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from tornado_app.core.errors import StartupError

_ROOT = 0


def check_folder(path: Path) -> None:
    """Raises StartupError for a directory that another user owns or can write to.

    The path may be a symbolic link that this user or root owns.
    """
    _check_owner(path, path.lstat())
    _check(path, path.stat())


def check_within(path: Path) -> None:
    """As `check_folder` for a path within such a directory. It may be missing, and must not be a symbolic link."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise StartupError(
            f"{path} is a symbolic link, which the service does not follow: move what it leads to there, or name "
            "another --data-dir"
        )
    _check(path, found)


def check_made_file(path: Path) -> None:
    """As `check_folder` for a file and its directory. Either may be missing."""
    if path.parent.exists():
        check_folder(path.parent)
    check_within(path)


def _check(path: Path, found: os.stat_result) -> None:
    _check_owner(path, found)
    if found.st_mode & stat.S_IWOTH:
        raise StartupError(
            f"every user of this machine can write to {path}: chmod o-w it, after a look at what it holds, or name "
            "another --data-dir, such as a new folder within it"
        )
    if found.st_mode & stat.S_IWGRP and _has_others(found.st_gid):
        raise StartupError(
            f"other users of group {_group(found.st_gid)} can write to {path}: chmod g-w it, after a look at what it "
            "holds, or name another --data-dir"
        )


def _check_owner(path: Path, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid not in (user, _ROOT):
        owner = _user(found.st_uid)
        raise StartupError(
            f"{path} belongs to user {owner}, and the service runs as {_user(user)}: run it as {owner}, chown -R "
            f"{_user(user)} it, after a look at what it holds, or name another --data-dir"
        )


def _has_others(group: int) -> bool:
    """Whether a group has members besides this user and root: with a umask of 002 each user has a group alone.

    A group that no database knows, as Kubernetes gives it to a volume, has none.
    """
    own = {_user(os.geteuid()), _user(_ROOT)}
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        return False
    members.update(entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group)
    return not members <= own


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
