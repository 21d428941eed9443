"""`spec.settings`: each setting of the service is in it or has a field, with the bounds of the service."""

from __future__ import annotations

import re
from importlib.resources import files

import msgspec
import pytest

from leaderboard_operator.resources.configmap import sees_client_addresses, settings
from leaderboard_operator.spec import settings as declared
from leaderboard_operator.spec.fields_table import table
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec
from tornado_app.config import SETTINGS, Config, InvalidValue
from tornado_app.config.schema import render, schema
from tornado_app.config.settings import Settings
from tornado_app.config.value_types import Base

BY_NAME = {setting.name: setting for setting in SETTINGS}


def test_settings_file_equals_generated_one():
    """To update it: `python -m tornado_app.config schema > operator/leaderboard_operator/spec/settings.json`, then
    `leaderboard-operator crd > helm/leaderboard/files/crd.yaml`."""
    assert files("leaderboard_operator.spec").joinpath("settings.json").read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("name", [*declared.FIELDS, *declared.MANAGED])
def test_setting_with_field_exists_in_service(name):
    assert name in declared.SERVICE


def test_fields_of_settings_exist():
    fields = table()
    for path in declared.FIELDS.values():
        assert re.search(rf"^\| `{re.escape(path)}(\.\w+)?` \|", fields, re.M), path


@pytest.mark.parametrize("name", declared.SERVICE)
def test_default_of_setting_matches_schema(name):
    """The schema accepts the default of the service, so no bound is narrower than that of the service."""
    setting, schema = BY_NAME[name], declared.SERVICE[name]
    text = setting.format(setting.default)
    if setting.default is None or text == "empty":
        return
    if schema["type"] == "boolean":
        assert isinstance(setting.default, bool)
    elif schema["type"] == "integer":
        assert schema["minimum"] <= setting.default <= schema["maximum"]
    elif schema["type"] == "string" and name not in declared.MANAGED:
        assert re.search(schema.get("pattern", ""), text)
        assert text in schema.get("enum", [text])


@pytest.mark.parametrize("name", [name for name, schema in declared.SERVICE.items() if "from" in schema])
def test_bounds_of_duration_are_those_of_service(name):
    value_type = BY_NAME[name].info.value_type
    for bound in ("from", "to"):
        value_type.from_yaml(declared.SERVICE[name][bound])
    with pytest.raises(InvalidValue):
        value_type.from_yaml("9999h")


def test_schema_of_unknown_type_is_text():
    class Colour(Base, frozen=True, kw_only=True):
        what: str = "a colour"

    assert schema(Colour()) == {"type": "string", "minLength": 1, "maxLength": 4096}


def test_settings_of_spec_are_overridden_by_fields():
    values = settings(view(spec(settings={"jwt_leeway": "9s", "max_connections": 1})).spec)
    assert values["jwt_leeway"] == "9s"
    assert values["max_connections"] == 20_000


def test_boards_file_of_an_earlier_version_is_invalid():
    """The API server keeps it in resources that it accepted before it refused the setting."""
    with pytest.raises(msgspec.ValidationError, match=r"move the boards of settings\.boards_file to spec\.boards"):
        view(spec(settings={"boards_file": "/etc/boards.yaml"}))


def test_drain_timeout_is_less_than_grace_period():
    long = {"template": {"spec": {"terminationGracePeriodSeconds": 120}}}
    assert settings(view(spec(**long)).spec)["drain_timeout"] == "100s"


SHARED = {"max_connections_per_address": 20_000, "auth_failure_limit": "1000000/60s"}


@pytest.mark.parametrize(
    ("exposure", "visible"),
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
def test_limits_per_address_with_shared_addresses_are_off(exposure, visible):
    content = spec(exposure=exposure)
    assert sees_client_addresses(view(content).spec) is visible
    values = settings(view(content).spec)
    assert {name: values[name] for name in SHARED if name in values} == ({} if visible else SHARED)
    own = settings(view({**content, "settings": {"max_connections_per_address": 3}}).spec)
    assert own["max_connections_per_address"] == 3


def test_limits_per_address_that_are_off_are_valid_settings():
    for name, value in SHARED.items():
        BY_NAME[name].info.value_type.from_yaml(value)
    assert {*SHARED} <= {*Settings.__dataclass_fields__}
    assert Config().max_connections_per_address < SHARED["max_connections_per_address"]
