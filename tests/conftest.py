"""The real parts that tests share. A missing tool is a skip that says what to install, and with CI=true a failure."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from tests.support.mongod import Mongod, ReplicaSet
from tests.support.requirements import missing
from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded.mongod import find_binary
from tornado_app.observability.logs import request_id, trace_id

pytest_plugins = [
    "tests.support.browser",
    "tests.support.ci",
    "tests.support.kubernetes",
    "tests.support.logs",
    "tests.support.selection",
]


# Examples have no deadline, because the machine may be busy; a slow test is not a wrong one.
hypothesis.settings.register_profile("leaderboard", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("leaderboard")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """No search for garbage among the thousands of collected tests, neither now nor while they run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def nothing_at_hand() -> Iterator[None]:
    """A test that is no coroutine handles requests in the context that all tests share."""
    yield
    request_id.set(None)
    trace_id.set(None)


@pytest.fixture(scope="session")
def mongod_binary() -> Path:
    """The mongod that tests run."""
    try:
        return find_binary()
    except StartupError as error:
        missing(str(error))
        raise


@pytest.fixture(scope="session")
def replica_set(mongod_binary: Path) -> Iterator[ReplicaSet]:
    """A one-member replica set that all tests of this worker share."""
    with ReplicaSet() as running:
        yield running


@pytest.fixture
def mongo_database(replica_set: ReplicaSet) -> Iterator[tuple[str, str]]:
    """URI and name of an empty database of the test's own."""
    yield from _database(replica_set)


@pytest.fixture(scope="module")
def module_database(replica_set: ReplicaSet) -> Iterator[tuple[str, str]]:
    """URI and name of an empty database of the module's own."""
    yield from _database(replica_set)


@pytest.fixture
def own_replica_set(mongod_binary: Path) -> Iterator[ReplicaSet]:
    """A one-member replica set that the test may kill and start again."""
    with ReplicaSet() as running:
        yield running


@pytest.fixture
def three_members(mongod_binary: Path) -> Iterator[ReplicaSet]:
    """A three-member replica set whose members the test may kill, freeze and start again."""
    with ReplicaSet(3) as running:
        yield running


@pytest.fixture
def standalone_mongod(mongod_binary: Path, tmp_path: Path) -> Iterator[Mongod]:
    """A mongod that is no replica set."""
    mongod = Mongod(tmp_path / "standalone", replica_set=False)
    try:
        mongod.start()
        yield mongod
    finally:
        mongod.stop()


@pytest.fixture
def lost_sockets() -> Iterator[None]:
    """For tests that close a client, or let a call time out, while it connects: PyMongo 4.20 then loses a socket
    (PYTHON-5867) to the collector.

    Found here, it does not fail another test; pytest takes the filter back after this one.
    """
    warnings.filterwarnings("ignore", "unclosed .socket", ResourceWarning)
    yield
    gc.collect()


def _database(replica_set: ReplicaSet) -> Iterator[tuple[str, str]]:
    name = f"test_{uuid4().hex[:12]}"
    yield replica_set.uri, name
    replica_set.drop(name)
