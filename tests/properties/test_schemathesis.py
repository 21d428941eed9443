"""Schemathesis calls every operation of a real service; its responses conform to the document."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from tests.support.service import token
from tornado_app.api.openapi import document

EXAMPLES = 20
"""Random requests to an operation; as many again go just beyond its bounds."""

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True, "max-examples": EXAMPLES},
        "checks": {
            # 413: what breaks a maxLength may also be more than a request may have
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413, 415]},
            # a schema can't tell which cursors, action types and names there are, and takes 5.0 for an integer
            "positive_data_acceptance": {"enabled": False},
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(document.document(), config=CONFIG)


def of_a_board():
    """The document of the operations that are behind `/boards/{board}`, as their servers say."""
    whole = document.document()
    paths = {
        path: {method: operation for method, operation in item.items() if "servers" not in operation}
        for path, item in whole["paths"].items()
    }
    return {**whole, "paths": {path: item for path, item in paths.items() if item}}


BOARD_SCHEMA = schemathesis.openapi.from_dict(of_a_board(), config=CONFIG)


@pytest.fixture(scope="module")
def generous(module_database, run_service, tmp_path_factory):  # in this order: the service ends before its database
    """A service where hundreds of requests for one player are not refused."""
    uri, name = module_database
    boards = tmp_path_factory.mktemp("boards") / "boards.yaml"
    boards.write_text("boards: {kart: {rule: best, order: ascending}}")
    flags = ("--rate-limit", "600/60s", "--auto-register", "--boards-file", str(boards))
    return run_service(*flags, uri=uri, database=name)


@pytest.fixture(scope="module")
def headers():
    """A token of a moderating game server, so that all players can get points."""
    return {"Authorization": f"Bearer {token('game-1', scope='scores:write leaderboard:admin')}"}


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
def test_operation_conforms_to_the_document(case, generous, headers):
    case.call_and_validate(base_url=generous.url, headers=headers)


@BOARD_SCHEMA.parametrize()
@settings(max_examples=EXAMPLES // 4, derandomize=True, suppress_health_check=list(HealthCheck))
def test_operation_of_a_board_conforms_to_the_document(case, generous, headers):
    case.call_and_validate(base_url=f"{generous.url}/boards/kart", headers=headers)
