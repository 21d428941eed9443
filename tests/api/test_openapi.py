"""The OpenAPI document: valid, complete in both directions, and consistent with the code."""

import json
import re
from unittest.mock import Mock

import pytest
from tornado.httputil import HTTPHeaders

from tests.support.openapi import DOCUMENT, OPERATIONS, SOCKETS, check, nodes, resolve
from tornado_app import __version__
from tornado_app.api import pages
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.rest import probes
from tornado_app.api.rest.board_list import BoardListEndpoint
from tornado_app.api.rest.history import HistoryEndpoints
from tornado_app.api.rest.moderation import ModerationEndpoints, TakeBackEndpoint
from tornado_app.api.rest.periods import PeriodEndpoints
from tornado_app.api.rest.routes import rest_routes
from tornado_app.cli.main import main
from tornado_app.core.model import Caller
from tornado_app.core.policies import RateLimit
from tornado_app.http.messages import Request
from tornado_app.observability.metrics import Metrics

CONTRACT = {
    400: {"invalid_json", "invalid_body", "invalid_increment", "unknown_action_type"},
    401: {"missing_token", "invalid_token", "expired_token"},
    403: {
        "user_mismatch", "action_proof_required", "invalid_action_proof", "expired_action_proof",
        "suspicious_activity", "player_suspended", "insufficient_scope",
    },
    404: {"player_not_found", "not_found"},
    405: {"method_not_allowed"},
    409: {"action_conflict"},
    413: {"body_too_large"},
    415: {"unsupported_media_type"},
    429: {"rate_limited"},
    431: {"headers_too_large"},
    500: {"internal_error", "database_error"},
}  # fmt: skip
"""The API contract, section 5."""


def test_document_is_valid():
    from jsonschema import Draft202012Validator  # imported here as in tests/support/openapi.py
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert DOCUMENT["info"]["version"] == __version__


def test_references_resolve_and_components_are_used():
    used = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    parts = {kind: part for kind, part in DOCUMENT["components"].items() if kind != "securitySchemes"}
    there = {f"#/components/{kind}/{name}" for kind, part in parts.items() for name in part}
    assert used == there


def test_command_prints_the_document(capsys):
    assert main(["openapi"]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT


def test_described_operations_equal_the_routes():
    nobody = Mock()
    routes = rest_routes(FRONTENDS, nobody, nobody, RateLimit(), Metrics())
    routes += BoardListEndpoint(list).routes()
    routes += ModerationEndpoints(nobody, nobody).routes() + TakeBackEndpoint(nobody, nobody, "main").routes()
    routes += HistoryEndpoints(nobody, nobody, "main").routes() + PeriodEndpoints(nobody, nobody, nobody).routes()
    routes += probes.ProbeEndpoints(Metrics().registry, list, lambda: None).health_routes()
    served = {(method, route.path) for route in routes for method in route.methods}
    assert {(method, path) for method, path, _ in OPERATIONS.values()} == served


def test_operations_of_no_board_say_that_they_are_not_behind_the_prefix():
    behind = {path for _, path, operation in OPERATIONS.values() if "servers" not in operation}
    nobody = Mock()
    routes = rest_routes(FRONTENDS, nobody, nobody, RateLimit(), Metrics())
    routes += HistoryEndpoints(nobody, nobody, "main").routes() + TakeBackEndpoint(nobody, nobody, "main").routes()
    routes += PeriodEndpoints(nobody, nobody, nobody).routes()
    assert behind == {route.path for route in routes}
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/", "/boards/{board}"]
    assert {server["url"] for *_, operation in OPERATIONS.values() for server in operation.get("servers", ())} == {"/"}


def test_described_sockets_equal_the_sockets():
    assert set(SOCKETS) == {path for frontend in FRONTENDS for path, _ in frontend.sockets}


def test_operations_have_id_summary_tag_and_path_parameters():
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values()))
    for name, (_, path, operation) in OPERATIONS.items():
        assert re.fullmatch(r"[a-z]\w+", name)
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        in_path = {p["name"] for p in map(resolve, operation.get("parameters", ())) if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


def test_errors_of_the_contract_are_listed():
    listed = {(e["status"], e["error"]) for e in DOCUMENT["x-errors"]}
    assert listed >= {(status, code) for status, codes in CONTRACT.items() for code in codes}
    named = {
        code
        for _, _, operation in OPERATIONS.values()
        for response in map(resolve, operation["responses"].values())
        for code in response.get("content", {}).get("application/json", {}).get("examples", ())
    }
    elsewhere = {"not_found", "method_not_allowed"}  # at no described path
    assert named >= {code for codes in CONTRACT.values() for code in codes} - elsewhere


def test_examples_match_their_schemas():
    contents = [node for node in nodes(DOCUMENT) if isinstance(node, dict) and isinstance(node.get("schema"), dict)]
    assert len(contents) > 50
    for content in contents:
        if "example" in content:
            check(content["example"], content["schema"])
        for example in content.get("examples", {}).values():
            check(example["value"], content["schema"])


@pytest.mark.parametrize(
    "write", [w for frontend in FRONTENDS for w in frontend.writes], ids=lambda w: f"{w.method} {w.path}"
)
def test_frontends_read_their_body_examples(write):
    operation = DOCUMENT["paths"][write.path][write.method.lower()]
    headers = HTTPHeaders()
    for parameter in map(resolve, operation.get("parameters", ())):
        if "example" in parameter:
            headers[parameter["name"]] = parameter["example"]
    request = Request(write.method, write.path, headers)
    request.body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"]).encode()
    submission = write.read(request, Caller("alice", 0.0))
    assert submission.points or submission.action_type
    assert submission.action_id
    assert submission.user_id in (None, "alice")


def test_integers_have_a_size():
    for node in nodes(DOCUMENT["components"]["schemas"]):
        assert not isinstance(node, dict) or node.get("type") != "integer" or node["format"] == "int64"


def test_documents_and_page_have_routes():
    assert {route.path for route in pages.openapi_routes()} == {"/openapi.json", "/asyncapi.json", "/docs"}
