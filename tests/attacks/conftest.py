"""One attack environment for all attacks; it ends before other tests use the database.

When it ends, no output of its services may contain a secret.
"""

import pytest

from tests.attacks.attack_env import AttackEnvironment, new_user
from tests.attacks.recorder import OutputRecorder


@pytest.fixture(scope="package")
def recorder():
    return OutputRecorder()


@pytest.fixture(scope="package")
def attack_env(replica_set, recorder, tmp_path_factory):
    database = f"attacks_{new_user()[2:]}"
    attack_env = AttackEnvironment(replica_set.uri, database, tmp_path_factory.mktemp("attacks"), recorder)
    try:
        yield attack_env
    finally:
        attack_env.close()
        replica_set.drop(database)
    assert recorder.size > 10_000, "the recorder has output to search"
    assert recorder.leaks() == []


@pytest.fixture(scope="package")
def strict(attack_env):
    """A service behind a trusted proxy (loopback, so that a test can come from anywhere) with short timeouts."""
    return attack_env.run(
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
def services_without_errors(attack_env):
    """No attack causes an error in the service, and both processes keep running."""
    yield
    for service in (attack_env.service, attack_env.second_service):
        assert service.process.poll() is None
        assert "Traceback" not in service.log
        assert '"level":"error"' not in service.log
