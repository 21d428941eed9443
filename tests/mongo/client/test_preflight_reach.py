"""A MongoDB that runs, but cannot be used with this URI: the error names the right remedy."""

import asyncio
import socket

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from tests.support.certificates import write_pair
from tests.support.drivers import BOTH_DRIVERS, DRIVERS
from tests.support.mongod import Mongod
from tests.support.wait import wait_until
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import maybe_await

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("lost_sockets")]

both_drivers = pytest.mark.parametrize("driver", DRIVERS)


async def preflight_error(uri, driver):
    client = preflight.open_client(uri, driver, 1.0)
    try:
        with pytest.raises(StartupError) as caught:
            await preflight.check(client, "board", seconds=3.0)
        return str(caught.value)
    finally:
        await maybe_await(client.close())


@pytest.fixture(scope="module")
def tls_mongod(mongod_binary, tmp_path_factory):
    """Port of a mongod that requires TLS, and the file of its certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key, both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
    write_pair(certificate, key, 1)
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    mongod = Mongod(folder / "db", options=("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both)))
    try:
        mongod.spawn()
        wait_until(lambda: listens(mongod.port), 60, "mongod listens")
        yield mongod.port, certificate
    finally:
        mongod.stop()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@both_drivers
async def test_preflight_of_a_server_that_requires_tls_names_tls(tls_mongod, driver):
    port, _ = tls_mongod
    assert "add tls=true" in await preflight_error(f"mongodb://127.0.0.1:{port}/", driver)


@both_drivers
async def test_preflight_of_an_untrusted_certificate_names_the_ca_file(tls_mongod, driver):
    port, _ = tls_mongod
    text = await preflight_error(f"mongodb://localhost:{port}/?tls=true", driver)
    assert "self-signed certificate" in text
    assert "tlsCAFile=" in text


@both_drivers
async def test_preflight_of_a_certificate_for_another_host_names_the_host(tls_mongod, driver):
    port, certificate = tls_mongod
    text = await preflight_error(f"mongodb://127.0.0.1:{port}/?tls=true&tlsCAFile={certificate}", driver)
    assert "not valid for '127.0.0.1'" in text
    assert "the host that its own is for" in text


@both_drivers
async def test_preflight_with_tls_of_a_server_without_it_names_tls(replica_set, driver):
    text = await preflight_error(f"mongodb://127.0.0.1:{replica_set.members[0].port}/?tls=true", driver)
    assert "leave out tls=true" in text


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            "Got response id 1 but expected 2, Topology: error=ProtocolError('...')",
            "The server at this address is not a MongoDB",
        ),
        ("h:1: connection is already closed", "Or it is no MongoDB"),
        ("h:1: [Errno 104] Connection reset by peer", "It may require TLS"),
        ("h:1: [Errno -2] Name or service not known", "Check the host, the port"),
    ],
)
def test_explain_names_a_remedy_for_each_driver_error(error, remedy):
    assert remedy in preflight.explain(ServerSelectionTimeoutError(error), "board")


@both_drivers
async def test_preflight_of_a_standalone_with_a_set_name_names_repl_set(standalone_mongod, driver):
    text = await preflight_error(f"mongodb://127.0.0.1:{standalone_mongod.port}/?replicaSet=rs0", driver)
    assert "None of the hosts is a member" in text
    assert "a standalone server becomes a set with --replSet rs0 and rs.initiate()" in text


async def test_preflight_of_a_secondary_or_a_set_without_primary_is_refused(three_members):
    primary = await asyncio.to_thread(three_members.wait_healthy)  # on a busy machine an election may have begun
    follower, other = (member for member in three_members.members if member is not primary)
    for driver in BOTH_DRIVERS:
        assert "leads to a secondary" in await preflight_error(follower.uri, driver)
    other.kill()
    primary.kill()
    for driver in BOTH_DRIVERS:
        assert "The replica set has no primary" in await preflight_error(three_members.uri, driver)
