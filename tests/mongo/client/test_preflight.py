"""At start, the service reports an unusable MongoDB in one sentence with the remedy, and without the password."""

import re
import time
from datetime import date

import pytest
from pymongo import MongoClient

from tests.support.drivers import DRIVERS
from tests.support.mongod import Mongod
from tests.support.service import RunningService
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.embedded.mongod import free_port
from tornado_app.mongo.players import indexes

SECRET = "hunter2"
PATIENCE = 1.5

pytestmark = pytest.mark.usefixtures("lost_sockets")

both_drivers = pytest.mark.parametrize("driver", DRIVERS)


async def preflight_error(uri, driver="pymongo", database="board", **options):
    """The error for a MongoDB that is refused."""
    with pytest.raises(StartupError) as caught:
        await start_with(uri, driver, database, **options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


async def start_with(uri, driver, database, **options):
    client = preflight.open_client(uri, driver, 1.0)
    try:
        await preflight.check(client, database, **options)
        await indexes.ensure(client, database)
    finally:
        await maybe_await(client.close())


# -- usable ------------------------------------------------------------------------------------------------


@both_drivers
async def test_preflight_accepts_a_replica_set(mongo_database, driver):
    uri, name = mongo_database
    await start_with(uri, driver, name)


# -- unusable -------------------------------------------------------------------------------------------


@both_drivers
async def test_preflight_refuses_a_standalone(standalone_mongod, driver):
    text = await preflight_error(standalone_mongod.uri, driver)
    assert "standalone" in text
    assert "--replSet rs0 and run rs.initiate()" in text


@both_drivers
async def test_preflight_refuses_an_uninitiated_replica_set(mongod_binary, tmp_path, driver):
    mongod = Mongod(tmp_path / "db")
    try:
        mongod.start()
        for uri in (f"mongodb://127.0.0.1:{mongod.port}", f"mongodb://127.0.0.1:{mongod.port}/?replicaSet=rs0"):
            assert "not initiated: run rs.initiate()" in await preflight_error(uri, driver, seconds=PATIENCE)
    finally:
        mongod.stop()


@both_drivers
async def test_preflight_reports_a_refused_connection(driver):
    port = free_port()
    began = time.monotonic()
    text = await preflight_error(f"mongodb://zoe:{SECRET}@127.0.0.1:{port}/?replicaSet=rs0", driver, seconds=PATIENCE)
    assert time.monotonic() - began < PATIENCE + 60
    assert text.startswith(f"MongoDB cannot be reached: 127.0.0.1:{port}: ")
    assert "onnect" in text
    assert "Topology" not in text
    assert "configured timeouts" not in text


@both_drivers
async def test_preflight_reports_the_wrong_replica_set_name(replica_set, driver):
    text = await preflight_error(
        replica_set.uri.replace("replicaSet=rs0", "replicaSet=other"), driver, seconds=PATIENCE
    )
    assert "cannot be reached" in text
    assert "replicaSet" in text


async def test_preflight_of_a_hanging_server_times_out(own_replica_set):
    own_replica_set.members[0].freeze()
    began = time.monotonic()
    assert "cannot be reached" in await preflight_error(own_replica_set.uri, seconds=PATIENCE)
    assert time.monotonic() - began < PATIENCE + 60


class FakeClient:
    """A client whose server answers commands with `replies`."""

    def __init__(self, **replies):
        self._replies = replies
        self.admin = self

    def __getitem__(self, name):
        return self

    async def command(self, name):
        return self._replies[name]


@pytest.mark.parametrize("found", ["3.6.23", "4.4.29", "5.0.31"])
async def test_preflight_refuses_an_old_server(found):
    build = {"version": found, "versionArray": [*map(int, found.split(".")), 0]}
    with pytest.raises(StartupError, match=f"MongoDB {re.escape(found)} is too old: version 6.0 or newer"):
        await preflight.check(FakeClient(hello={"setName": "rs0"}, buildInfo=build), "board")


# -- rights ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def protected_mongod(mongod_binary, tmp_path_factory):
    """Host and port of a MongoDB that requires a password, with users that have different missing rights."""
    folder = tmp_path_factory.mktemp("embedded")
    service = RunningService("--data-dir", str(folder / "data")).start(folder / "log")
    try:
        uri = (folder / "data" / "mongodb.uri").read_text()
        host = re.search(r"@([^/]+)/", uri)[1]
        key = "".join((folder / "data" / "mongod.key").read_text().split())
        with MongoClient(f"mongodb://{host}", username="__system", password=key, authSource="local") as client:
            narrow = {"resource": {"db": "board", "collection": ""}, "actions": ["find", "createIndex", "insert"]}
            client.admin.command("createRole", "narrow", privileges=[narrow], roles=[])
            seeing = {"resource": narrow["resource"], "actions": ["find", "createIndex", "insert", "changeStream"]}
            client.admin.command("createRole", "watcher", privileges=[seeing], roles=[])
            for user, roles in {
                "stranger": [],
                "reader": [{"role": "read", "db": "board"}],
                "narrow": ["narrow"],
                "watcher": ["watcher"],
                "writer": [{"role": "readWrite", "db": "board"}],
            }.items():
                client.admin.command("createUser", user, pwd=SECRET, roles=roles)
        yield host
    finally:
        service.close()


@both_drivers
@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ("", "asks for a user and a password, and mongodb_uri has none"),
        (f"nobody:{SECRET}@", "refuses the user or password of mongodb_uri; check them, and authSource"),
        (f"reader:not{SECRET}@", "refuses the user or password"),
        (f"stranger:{SECRET}@", "may not use database 'board'; grant it the role readWrite there"),
        (f"reader:{SECRET}@", "may not use database 'board'; grant it the role readWrite there"),
        (f"watcher:{SECRET}@", "may not use database 'board'; grant it the role readWrite there"),
        (f"narrow:{SECRET}@", "may not use database 'board'; grant it the role readWrite there"),
    ],
)
async def test_preflight_refuses_a_user_without_rights(protected_mongod, driver, credentials, text):
    assert text in await preflight_error(f"mongodb://{credentials}{protected_mongod}/?replicaSet=leaderboard", driver)


@both_drivers
async def test_preflight_accepts_the_role_read_write(protected_mongod, driver):
    await start_with(f"mongodb://writer:{SECRET}@{protected_mongod}/?replicaSet=leaderboard", driver, "board")


# -- the whole service -----------------------------------------------------------------------------------


def refused(tmp_path, *flags, code=1, **options):
    """The error lines of a service that does not start and exits with `code`."""
    service = RunningService(*flags, **options)
    with pytest.raises(AssertionError, match="did not start"):
        service.start(tmp_path / "log")
    assert service.process.returncode == code
    assert "Traceback" not in service.log
    errors = [line for line in service.log.splitlines() if line.startswith("error: ")]
    assert service.log.splitlines()[-len(errors) :] == errors
    return errors


@pytest.mark.long
def test_serve_with_a_standalone_exits(standalone_mongod, tmp_path):
    [line] = refused(tmp_path, "--mongodb-uri", standalone_mongod.uri)
    assert "standalone" in line


@pytest.mark.long
def test_serve_without_a_server_exits(tmp_path):
    began = time.monotonic()
    uri = f"mongodb://zoe:{SECRET}@127.0.0.1:{free_port()}/"
    [line] = refused(tmp_path, uri=uri)
    assert "cannot be reached" in line
    assert time.monotonic() - began < preflight.TIMEOUT + 60
    assert SECRET not in (tmp_path / "log").read_text()


@pytest.mark.long
def test_serve_with_the_wrong_password_exits(protected_mongod, tmp_path):
    [line] = refused(tmp_path, uri=f"mongodb://reader:not{SECRET}@{protected_mongod}/")
    assert "refuses the user or password" in line
    assert SECRET not in (tmp_path / "log").read_text()


@pytest.mark.long
def test_serve_with_a_mistyped_uri_option_exits(replica_set, tmp_path):
    [line] = refused(tmp_path, "--mongodb-uri", f"{replica_set.uri}&retryWritez=true")
    assert "Unknown option: retrywritez" in line


def test_serve_without_a_jwt_key_exits(replica_set, tmp_path):
    [line] = refused(tmp_path, uri=replica_set.uri, env={"LEADERBOARD_JWT_KEY": ""}, code=2)
    assert "LEADERBOARD_JWT_KEY" in line


@pytest.mark.long
@pytest.mark.parametrize(("option", "warned"), [("directConnection=true", True), ("directConnection=false", False)])
async def test_preflight_logs_a_direct_connection_to_one_of_several_members(three_members, caplog, option, warned):
    primary = three_members.wait_primary()
    client = preflight.open_client(f"mongodb://127.0.0.1:{primary.port}/?{option}", "pymongo", 5.0)
    await preflight.check(client, "board")
    await maybe_await(client.close())
    assert ("does not follow a failover to another of 3 members" in caplog.text) is warned


@pytest.mark.parametrize(
    ("version", "today", "warned"),
    [
        ("6.0.5", "2025-07-31", False),
        ("6.0.5", "2025-08-01", True),
        ("7.0.37", "2027-08-31", False),
        ("7.0.37", "2027-09-01", True),
        ("7.3.4", "2026-01-01", True),
        ("8.0.24", "2029-10-31", False),
        ("8.2.10", "2026-08-01", True),
        ("9.0.0", "2030-01-01", False),
    ],
)
def test_preflight_logs_a_release_past_its_end_of_life(caplog, version, today, warned):
    numbers = [int(part) for part in version.split(".")]
    # No test has servers of all these versions.
    preflight._warn_of_age({"version": version, "versionArray": [*numbers, 0]}, date.fromisoformat(today))
    expected = f"MongoDB {version} has had no security fixes since its end of life on "
    assert (expected in caplog.text) is warned


@pytest.mark.parametrize("embedded", [False, True])
async def test_preflight_does_not_log_the_age_of_an_embedded_mongod(mongo_database, caplog, embedded):
    uri, name = mongo_database
    client = preflight.open_client(uri, "pymongo", 5.0)
    await preflight.check(client, name, embedded=embedded, today=date(2099, 1, 1))
    await maybe_await(client.close())
    assert ("since its end of life on" in caplog.text) is not embedded
