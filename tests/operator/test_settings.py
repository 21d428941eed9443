"""`spec.settings`: every setting of the service is either there or has a field, and the service takes what it takes."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from leaderboard_operator.resources.configmap import sees_client_addresses, settings
from leaderboard_operator.spec import settings as declared
from tests.operator.boards import spec
from tests.operator.samples import board
from tornado_app.config import SETTINGS, Config, InvalidValue
from tornado_app.config.schema import render
from tornado_app.config.settings import Settings

BY_NAME = {each.name: each for each in SETTINGS}


def test_settings_file_is_in_step_with_the_service():
    """After a change: `python -m tornado_app.config schema > operator/leaderboard_operator/spec/settings.json`, then
    `leaderboard-operator crd > helm/leaderboard/files/crd.yaml`."""
    assert files("leaderboard_operator.spec").joinpath("settings.json").read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("name", [*declared.FIELDS, *declared.MANAGED])
def test_setting_with_a_field_is_a_setting_of_the_service(name):
    assert name in declared.SERVICE


def test_field_of_a_setting_exists():
    from leaderboard_operator.spec.fields_table import table as fields_table

    table = fields_table()
    for path in declared.FIELDS.values():
        assert re.search(rf"^\| `{re.escape(path)}(\.\w+)?` \|", table, re.M), path


@pytest.mark.parametrize("name", declared.SERVICE)
def test_default_of_a_setting_fits_its_schema(name):
    """The schema takes what the service itself writes for its default, so no bound is narrower than the service's."""
    each, schema = BY_NAME[name], declared.SERVICE[name]
    text = each.format(each.default)
    if each.default is None or text == "empty":
        return
    if schema["type"] == "boolean":
        assert isinstance(each.default, bool)
    elif schema["type"] == "integer":
        assert schema["minimum"] <= each.default <= schema["maximum"]
    elif schema["type"] == "string" and name not in declared.MANAGED:
        assert re.search(schema.get("pattern", ""), text)
        assert text in schema.get("enum", [text])


@pytest.mark.parametrize("name", [name for name, each in declared.SERVICE.items() if "from" in each])
def test_bounds_of_a_duration_are_the_services(name):
    value_type = BY_NAME[name].info.value_type
    for bound in ("from", "to"):
        value_type.from_yaml(declared.SERVICE[name][bound])
    with pytest.raises(InvalidValue):
        value_type.from_yaml("9999h")


def test_kind_that_is_not_known_is_text():
    from tornado_app.config.schema import schema
    from tornado_app.config.value_types import Base

    class Colour(Base, frozen=True, kw_only=True):
        what: str = "a colour"

    assert schema(Colour()) == {"type": "string", "minLength": 1, "maxLength": 4096}


def test_settings_reach_the_file_and_fields_win():
    given = settings(board(spec(settings={"jwt_leeway": "9s", "max_connections": 1})).spec)
    assert given["jwt_leeway"] == "9s"
    assert given["max_connections"] == 20_000


def test_drain_ends_before_the_pod_must():
    long = {"template": {"spec": {"terminationGracePeriodSeconds": 120}}}
    assert settings(board(spec(**long)).spec)["drain_timeout"] == "100s"


SHARED = {"max_connections_per_address": 20_000, "auth_failure_limit": "1000000/60s"}


@pytest.mark.parametrize(
    ("exposure", "known"),
    [
        ({}, False),
        ({"service": {"type": "LoadBalancer"}}, False),
        ({"service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}}, False),
        ({"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}, True),
        ({"trustedProxies": ["127.0.0.6"]}, True),
        ({"ingress": {"host": "a.example"}}, True),
        ({"ingress": {"host": "a.example"}, "trustedProxies": []}, False),
    ],
)
def test_limits_of_an_address_are_off_where_clients_share_one(exposure, known):
    content = spec(exposure=exposure)
    assert sees_client_addresses(board(content).spec) is known
    found = settings(board(content).spec)
    assert {name: found[name] for name in SHARED if name in found} == ({} if known else SHARED)
    own = settings(board({**content, "settings": {"max_connections_per_address": 3}}).spec)
    assert own["max_connections_per_address"] == 3


def test_limits_that_are_off_are_taken_by_the_service():
    for name, value in SHARED.items():
        BY_NAME[name].info.value_type.from_yaml(value)
    assert {*SHARED} <= {*Settings.__dataclass_fields__}
    assert Config().max_connections_per_address < SHARED["max_connections_per_address"]
