"""The data folder, the keys and the lock are this user's own; ordinary set-ups of folders and groups are accepted."""

import grp
import os
import pwd

import pytest

from tornado_app.auth.minting import ensure_secret
from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded.data_dir import DataDirectory
from tornado_app.runtime import private_files

OTHER = 54_321
FILES = ["mongod.key", "mongodb.uri", "mongod.log", "mongod.port", "lock", "mongodb"]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "data"
    used = DataDirectory(home)
    used.lock()
    used.publish(1, "rs")
    used.release()
    (home / "mongod.log").touch(0o600)
    (home / "mongodb.uri").touch(0o600)
    ensure_secret(home / "jwt.key")
    return home


def refusal(home):
    folder = DataDirectory(home)
    try:
        with pytest.raises(StartupError) as caught:
            folder.lock()
    finally:
        folder.release()
    assert "another --data-dir" in str(caught.value)
    return str(caught.value)


def accepted(home):
    folder = DataDirectory(home)
    folder.lock()
    folder.release()
    ensure_secret(home / "jwt.key")


def test_own_folder_is_accepted_again(folder):
    accepted(folder)


@as_root
@pytest.mark.parametrize("name", [".", *FILES])
def test_folder_of_another_user_is_refused(folder, name):
    os.chown(folder / name, OTHER, -1)
    text = refusal(folder)
    assert f"belongs to user {OTHER}, and the service runs as root" in text
    assert f"run it as {OTHER}, chown -R root it" in text


@pytest.mark.parametrize("name", [".", *FILES])
def test_world_writable_folder_is_refused(folder, name):
    path = folder / name
    path.chmod(path.stat().st_mode | 0o002)
    assert "every user of this machine can write to" in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_symlink_within_the_folder_is_refused_and_not_followed(folder, tmp_path, name):
    target, path = tmp_path / "target", folder / name
    path.rename(target)
    path.symlink_to(target)
    before = target.stat().st_mtime_ns
    assert "is a symbolic link, which the service does not follow" in refusal(folder)
    assert target.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", FILES)
def test_dangling_symlink_creates_no_file(folder, tmp_path, name):
    path = folder / name
    path.rename(tmp_path / "aside")
    path.symlink_to(tmp_path / "made")
    refusal(folder)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("name", "mode"), [(".", 0o777), ("jwt.key", 0o606)])
def test_generated_key_that_another_user_could_replace_is_refused(folder, name, mode):
    (folder / name).chmod(mode)
    with pytest.raises(StartupError, match="every user of this machine can write to"):
        ensure_secret(folder / "jwt.key")


def test_generated_key_behind_a_symlink_is_refused(folder, tmp_path):
    (folder / "jwt.key").rename(tmp_path / "key")
    (folder / "jwt.key").symlink_to(tmp_path / "key")
    with pytest.raises(StartupError, match="is a symbolic link"):
        ensure_secret(folder / "jwt.key")


def _group(number, members, primary=()):
    """A group with these members, and the users whose primary group it is."""
    users = [pwd.struct_passwd((name, "x", 7, number, "", "", "")) for name in primary]
    return grp.struct_group(("team", "x", number, list(members))), users


@pytest.mark.parametrize(
    ("members", "primary", "refused"),
    [
        ([], [], False),
        (["root"], [], False),
        ([], ["ann"], True),
        (["ann"], [], True),
        (None, [], False),
    ],
    ids=["private group", "root", "primary group of another", "another member", "unknown group, as of a volume"],
)
def test_group_writable_folder_is_refused_if_the_group_has_other_members(
    folder, monkeypatch, members, primary, refused
):
    def getgrgid(number):
        if members is None:
            raise KeyError
        return _group(number, members, primary)[0]

    monkeypatch.setattr(private_files.grp, "getgrgid", getgrgid)
    monkeypatch.setattr(private_files.pwd, "getpwall", lambda: _group(folder.stat().st_gid, [], primary)[1])
    folder.chmod(0o2775)
    if refused:
        assert "other users of group team can write to" in refusal(folder)
    else:
        accepted(folder)


def test_folder_created_with_umask_002_is_accepted(tmp_path, monkeypatch):
    before = os.umask(0o002)
    try:
        home = tmp_path / "games" / "data"
        accepted(home)
        accepted(home)
    finally:
        os.umask(before)


def test_folder_in_a_sticky_world_writable_parent_is_accepted(tmp_path):
    tmp_path.chmod(0o1777)
    accepted(tmp_path / "data")


def test_folder_behind_own_symlinks_is_accepted(folder, tmp_path):
    (tmp_path / "home").symlink_to(tmp_path)
    accepted(tmp_path / "home" / "data")
    (tmp_path / "board").symlink_to(folder)
    accepted(tmp_path / "board")


@as_root
def test_folder_behind_a_symlink_of_another_user_is_refused(folder, tmp_path):
    (tmp_path / "board").symlink_to(folder)
    os.chown(tmp_path / "board", OTHER, -1, follow_symlinks=False)
    assert f"belongs to user {OTHER}" in refusal(tmp_path / "board")


def test_folder_of_root_is_accepted_by_another_user(folder, monkeypatch):
    """As a volume in a container: root's, and its group may write."""
    if folder.stat().st_uid != 0:
        pytest.skip("the test's own files must be root's")
    monkeypatch.setattr(private_files.os, "geteuid", lambda: OTHER)
    monkeypatch.setattr(private_files.grp, "getgrgid", {}.__getitem__)
    folder.chmod(0o2775)
    private_files.check_folder(folder)
