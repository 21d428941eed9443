"""A real process as the supervisor sees it, without the supervisor."""

import asyncio
import pickle
from dataclasses import replace

import pytest

from tests.support.wait import eventually
from tornado_app.config import Config
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.mongo.change_stream.follower import Follower
from tornado_app.mongo.database import connection
from tornado_app.processes.channel import StartWorker
from tornado_app.processes.event_log import EventLog
from tornado_app.processes.worker_handle import WorkerHandle
from tornado_app.runtime.tasks import cancel_and_wait

CONFIG = replace(Config(), port=0, action_points={})


@pytest.fixture
async def spawn():
    workers = []

    async def spawn(config: Config, uri: str | None = None, events: EventLog | None = None) -> WorkerHandle:
        workers.append(await WorkerHandle.spawn(StartWorker(pickle.dumps(config), uri), events or EventLog()))
        return workers[-1]

    yield spawn
    for worker in workers:
        worker.kill()
        await worker.wait()


async def test_worker_config_error_is_reported_as_a_config_error(spawn, tmp_path):
    worker = await spawn(replace(CONFIG, mongodb_uri_file=tmp_path / "gone"))
    fault = worker.exit_error(await worker.wait())
    assert isinstance(fault, ConfigError)
    assert fault.faults == [f"mongodb_uri_file: {tmp_path / 'gone'} cannot be read: No such file or directory"]
    assert not worker.ready


async def test_worker_imports_nothing_from_the_working_directory(spawn, tmp_path, monkeypatch):
    (tmp_path / "asyncio.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    worker = await spawn(replace(CONFIG, mongodb_uri_file=tmp_path / "gone"))
    assert isinstance(worker.exit_error(await worker.wait()), ConfigError)


async def test_worker_startup_error_is_reported(spawn, mongo_database, tmp_path):
    (tmp_path / "jwt.key").write_text("short")
    uri, name = mongo_database
    worker = await spawn(replace(CONFIG, mongodb_database=name, data_dir=tmp_path), uri)
    fault = worker.exit_error(await worker.wait())
    assert isinstance(fault, StartupError)
    assert "the key that tokens are verified with cannot be used" in str(fault)


@pytest.fixture
async def events(mongo_database):
    """The events of the database."""
    uri, name = mongo_database
    events = EventLog()
    async with connection(uri) as client:
        following = asyncio.create_task(Follower(client, name, events).run())
        yield events
        await cancel_and_wait(following)


async def test_worker_reports_readiness_and_answers_requests(spawn, mongo_database, events, tmp_path):
    uri, name = mongo_database
    worker = await spawn(replace(CONFIG, mongodb_database=name, data_dir=tmp_path), uri, events)
    reports = []
    worker.on_metrics = reports.append
    await eventually(lambda: worker.ready, 30)
    assert await worker.request("readiness")
    assert worker.reasons == []
    assert await worker.request("metrics")
    assert "leaderboard_http_requests" in {family.name for family in reports[-1]}
    worker.drain()
    assert await worker.wait() == 0
    assert len(reports) == 2  # the last one is sent without a request
    assert not await worker.request("metrics")


async def test_worker_killed_by_a_signal_reports_it(spawn):
    worker = await spawn(CONFIG, "mongodb://127.0.0.1:9/?replicaSet=rs0")
    worker.kill()
    assert (
        str(worker.exit_error(await worker.wait())) == f"worker process {worker.pid} exited with code -9; see the log"
    )
