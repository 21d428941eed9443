"""The AsyncAPI document: valid by its own JSON schema, and of the same sockets and types as the OpenAPI document."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.clients.js.toolchain import consumer_packages, node, run
from tests.support.openapi import DOCUMENT as OPENAPI
from tests.support.openapi import SOCKETS, nodes
from tests.support.project import ROOT
from tornado_app.api.openapi import asyncapi
from tornado_app.cli.main import main

DOCUMENT = asyncapi.document()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
CLOSES = {(it["code"], it["reason"]): it["retry"] for socket in OPENAPI["x-websockets"] for it in socket["closes"]}


def validator_of(schema: Any) -> Any:
    from jsonschema import Draft7Validator  # imported here as in tests/support/openapi.py

    return Draft7Validator(schema)


@pytest.fixture(scope="module")
def validator() -> Any:
    """Of AsyncAPI 3.0.0, as its initiative publishes it."""
    schemas = consumer_packages() / "@asyncapi" / "specs" / "schemas"
    return validator_of(json.loads((schemas / "3.0.0.json").read_text(encoding="utf-8")))


def test_document_is_valid(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize("part", ["info", "channels", "operations"])
def test_validator_refuses_an_invalid_document(validator: Any, part: str) -> None:
    wrong = json.loads(json.dumps(DOCUMENT))
    found = wrong[part] if part == "info" else next(iter(wrong[part].values()))
    found["no-such-member"] = 1
    assert list(validator.iter_errors(wrong))


def test_references_resolve_and_components_are_used() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    for reference in references:
        place = DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]
    parts = {kind: DOCUMENT["components"][kind] for kind in ("messages", "schemas")}
    assert {f"#/components/{kind}/{name}" for kind, part in parts.items() for name in part} <= references


def test_channels_and_messages_equal_those_of_the_openapi_document() -> None:
    channels = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    assert set(channels) == set(SOCKETS)
    for path, socket in SOCKETS.items():
        named = {reference["$ref"].rpartition("/")[2] for reference in channels[path]["messages"].values()}
        payloads = [DOCUMENT["components"]["messages"][name]["payload"] for name in named]
        described = [message["schema"] for message in socket["sends"] + socket["receives"]]
        assert sorted(map(str, payloads)) == sorted(map(str, described))
        assert channels[path]["x-closes"] == socket["closes"]
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas == {name: OPENAPI["components"]["schemas"][name] for name in schemas}


def test_operations_equal_those_of_the_service() -> None:
    found = {name: operation["action"] for name, operation in DOCUMENT["operations"].items()}
    assert found == {f"{action}-{name}": action for name in DOCUMENT["channels"] for action in ("send", "receive")}


def test_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asyncapi"]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT


# -- docs/protocol.md and the JavaScript client -----------------------------------------------------------


def test_protocol_page_lists_every_close_code_and_whether_to_retry() -> None:
    rows = re.findall(r"^\| (\d{4}) \| (?:`([\w ]+)` )?\|[^|]*\| (Yes|No)", PROTOCOL, re.MULTILINE)
    listed = {(int(code), reason): retry == "Yes" for code, reason, retry in rows}
    assert CLOSES.items() <= listed.items()


def test_javascript_client_retries_the_close_codes_of_the_document() -> None:
    code = 'import { isFinal } from "./clients/js/src/closing.js"; const codes = JSON.parse(process.argv[1]);'
    code += "console.log(JSON.stringify(codes.map((code) => !isFinal(code))));"
    codes = [code for code, _ in CLOSES]
    printed = run(node(), "--input-type=module", "-e", code, json.dumps(codes), cwd=ROOT)
    assert json.loads(printed) == list(CLOSES.values())


def test_protocol_page_names_every_message_and_socket() -> None:
    for channel in DOCUMENT["channels"].values():
        assert f"`{channel['address']}`" in PROTOCOL
    blocks = re.findall(r"^ *```json\n(.*?)^ *```$", PROTOCOL, re.MULTILINE | re.DOTALL)
    examples = [json.loads(code) for code in blocks]
    payloads = [message["payload"] for message in DOCUMENT["components"]["messages"].values()]
    kinds = [validator_of({**payload, "components": DOCUMENT["components"]}) for payload in payloads]
    assert all(any(kind.is_valid(example) for example in examples) for kind in kinds)
    assert all(any(kind.is_valid(example) for kind in kinds) for example in examples)
