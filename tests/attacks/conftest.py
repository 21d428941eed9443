"""One arena for all attacks, gone before other tests meddle with the database that it shares with them.

When it ends, nothing that its services ever said may hold a secret.
"""

import pytest

from tests.attacks.arena import Arena, new_user
from tests.attacks.witness import Witness


@pytest.fixture(scope="package")
def witness():
    return Witness()


@pytest.fixture(scope="package")
def arena(replica_set, witness, tmp_path_factory):
    database = f"attacks_{new_user()[2:]}"
    arena = Arena(replica_set.uri, database, tmp_path_factory.mktemp("attacks"), witness)
    try:
        yield arena
    finally:
        arena.close()
        replica_set.drop(database)
    assert witness.size > 10_000, "there was something to look through"
    assert witness.leaks() == []


@pytest.fixture(scope="package")
def strict(arena):
    """A service behind a trusted proxy (loopback, so that a test can come from anywhere) that waits for nobody."""
    return arena.run(
        "--trusted-proxies", "127.0.0.0/8", "--idle-timeout", "500ms", "--body-timeout", "500ms",
        "--ping-interval", "300ms", "--log-format", "text", "--log-level", "debug",
        env={
            "LEADERBOARD_AUTH_FAILURE_LIMIT": "5/1m",
            "LEADERBOARD_MAX_CONNECTIONS_PER_ADDRESS": "2",
        },
    )  # fmt: skip


@pytest.fixture
def user():
    return new_user()


@pytest.fixture(autouse=True)
def in_good_order(arena):
    """No attack is an error of ours, whatever became of it, and both processes go on."""
    yield
    for service in (arena.here, arena.there):
        assert service.process.poll() is None
        assert "Traceback" not in service.log
        assert '"level":"error"' not in service.log
