"""A file that was replaced, rewritten, removed or restored has changed, once."""

import os

import pytest

from tornado_app.runtime.file_watcher import FileWatcher


@pytest.fixture
def paths(tmp_path):
    paths = tmp_path / "tls.crt", tmp_path / "tls.key"
    for path in paths:
        path.write_text("old")
    return paths


def replace(path, text):
    """As a renewal does: another file under the same name."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def rewrite(path, text):
    path.write_text(text)
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("write", [replace, rewrite])
@pytest.mark.parametrize("number", [0, 1])
def test_changed_file_is_reported_once(paths, write, number):
    watcher = FileWatcher(*paths)
    assert not watcher.changed()
    write(paths[number], "new")
    assert watcher.changed()
    assert not watcher.changed()


def test_removed_and_restored_file_is_reported_each_time(paths):
    watcher = FileWatcher(*paths)
    away = paths[0].with_suffix(".away")
    paths[0].rename(away)
    assert watcher.changed()
    assert not watcher.changed()
    away.rename(paths[0])
    assert watcher.changed()


def test_forget_reports_an_unchanged_file(paths):
    watcher = FileWatcher(*paths)
    watcher.forget()
    assert watcher.changed()
    assert not watcher.changed()


def test_missing_file_is_reported_when_it_appears(tmp_path):
    watcher = FileWatcher(tmp_path / "later")
    assert not watcher.changed()
    (tmp_path / "later").write_text("new")
    assert watcher.changed()
