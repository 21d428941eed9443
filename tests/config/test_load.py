"""Sources of values and their precedence."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tornado_app.config import SETTINGS, Config, load_config
from tornado_app.core.errors import ConfigError
from tornado_app.core.policies import DEFAULT_ACTIONS, RateLimit

SECRET = "correct-horse-battery-staple-0123456789"
OTHER = "another-horse-another-battery-9876543210"
NEEDS = {
    "captcha_url": {"LEADERBOARD_CAPTCHA_SECRET": "0x1"},
    "captcha_secret": {"LEADERBOARD_CAPTCHA_URL": "https://captcha.example/"},
    "jwt_key": {"LEADERBOARD_PROOF_KEY": OTHER},
    "jwt_jwks_url": {},
    "proof_key": {"LEADERBOARD_JWT_KEY": SECRET},
}
"""What a setting cannot be without, where that is not just the keys."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leaderboard.yaml"


def test_load_without_sources_returns_the_defaults():
    config = load_config({}, {})
    assert config == Config()
    assert (config.host, config.port, config.rate_limit) == ("127.0.0.1", 8000, RateLimit(10, 60.0))
    assert config.action_points == DEFAULT_ACTIONS
    assert config.embedded
    assert config.token_keys.generated == Path("leaderboard-data/jwt.key")
    assert config.proof_keys.generated == Path("leaderboard-data/proof.key")
    assert {row.source for row in config.describe()} == {"default"}


def test_load_prefers_flag_then_variable_then_file_then_default(file: Path):
    file.write_text("port: 1\nhost: 0.0.0.0\nlog_level: error\n")
    environ = {"LEADERBOARD_CONFIG": str(file), "LEADERBOARD_PORT": "2", "LEADERBOARD_HOST": "::1"}
    config = load_config({"port": "3"}, environ)
    assert (config.port, config.host, config.log_level, config.metrics_port) == (3, "::1", "error", 8001)
    sources = {row.name: row.source for row in config.describe()}
    assert sources["port"] == "--port"
    assert sources["host"] == "LEADERBOARD_HOST"
    assert sources["log_level"] == f"{file}, line 3"
    assert sources["metrics_port"] == "default"


def test_load_prefers_the_config_flag_to_the_variable(file: Path):
    file.write_text("port: 5")
    assert load_config({"config": str(file)}, {"LEADERBOARD_CONFIG": "/nowhere"}).port == 5


FILES = (
    "config", "tls_cert_file", "tls_key_file", "mongodb_uri_file", "jwt_key_file", "jwt_jwks_file", "proof_key_file",
    "proof_jwks_file", "captcha_secret_file", "actions_file", "boards_file",
)  # fmt: skip
"""What names a file that must be there; tests below give them."""

SAMPLES = {
    "ledger_retention": "90d",
    "database_owner": "games/arcade/5d0c0f7c",
    "database_previous_owner": "games/arcade",
    "host": "10.0.0.1", "metrics_host": "::1", "mongodb_uri": "mongodb://db/?replicaSet=rs0", "jwt_key": SECRET,
    "jwt_audience": "game", "jwt_issuer": "https://id.example.com", "max_points_per_window": "7",
    "allowed_origins": "https://a.example,http://localhost:3000", "auto_register": "true", "rate_limit": "3/5s",
    "log_level": "debug", "log_format": "json", "mongodb_database": "other", "data_dir": "/some/where",
    "mongodb_driver": "motor", "jwt_jwks_url": "https://id.example.com/jwks", "action_proof": "required",
    "proof_key": OTHER, "trusted_proxies": "10.0.0.0/8,::1/128", "captcha_url": "https://captcha.example/siteverify",
    "captcha_secret": "0x1234", "auto_suspend": "true", "auth_failure_limit": "6/h",
}  # fmt: skip


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.name not in FILES], ids=lambda setting: setting.name)
def test_setting_can_be_a_flag_a_variable_and_a_file_key(setting, tmp_path: Path):
    text = SAMPLES.get(setting.name, setting.format(setting.default))
    value = setting.info.value_type.parse(text)
    key = NEEDS.get(setting.name, {"LEADERBOARD_JWT_KEY": SECRET, "LEADERBOARD_PROOF_KEY": OTHER})
    path = tmp_path / "c.yaml"
    path.write_text(f"{setting.name}: '{text}'\n")
    for flags, environ in (({setting.name: text}, {}), ({}, {setting.variable: text}), ({"config": str(path)}, {})):
        assert getattr(load_config(flags, {**key, **environ}), setting.name) == value


def test_file_values_may_have_yaml_types(file: Path):
    file.write_text(
        "port: 0\nauto_register: yes\nidle_timeout: 7.5\nallowed_origins: [https://a.example, 'http://b:1']\n"
    )
    config = load_config({"config": str(file)}, {})
    assert (config.port, config.auto_register, config.idle_timeout) == (0, True, 7.5)
    assert config.allowed_origins == ("https://a.example", "http://b:1")


def test_empty_file_sets_nothing(file: Path):
    file.write_text("# all commented out\n")
    assert load_config({"config": str(file)}, {}).port == 8000


def test_file_may_begin_with_a_byte_order_mark(file: Path):
    file.write_bytes(b"\xef\xbb\xbfport: 9\n")
    assert load_config({"config": str(file)}, {}).port == 9


def test_kubernetes_service_links_are_ignored():
    links = {
        "LEADERBOARD_PORT": "tcp://10.0.0.7:80",
        "LEADERBOARD_SERVICE_HOST": "10.0.0.7",
        "LEADERBOARD_SERVICE_PORT": "80",
        "LEADERBOARD_SERVICE_PORT_HTTP": "80",
        "LEADERBOARD_PORT_80_TCP": "tcp://10.0.0.7:80",
        "LEADERBOARD_PORT_80_TCP_ADDR": "10.0.0.7",
        "LEADERBOARD_METRICS_PORT": "tcp://10.0.0.8:8001",
        "LEADERBOARD_METRICS_SERVICE_HOST": "10.0.0.8",
    }
    assert load_config({}, links) == Config()


def test_variables_of_other_programs_are_ignored():
    assert load_config({}, {"PORT": "x", "leaderboard_port": "x", "LEADERBOARDS": "x"}) == Config()


def test_no_color_variable_is_respected():
    assert not load_config({}, {"NO_COLOR": "1"}).color
    assert load_config({}, {"NO_COLOR": ""}).color


def test_load_uses_the_process_environment_by_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEADERBOARD_MAX_INCREMENT", "77")
    assert load_config().max_increment == 77


def test_secret_files_are_read_at_each_load(tmp_path: Path):
    uri = tmp_path / "uri"
    uri.write_text("mongodb://user:pass@db/\n")
    keys = {"LEADERBOARD_JWT_KEY": SECRET, "LEADERBOARD_PROOF_KEY": OTHER}
    config = load_config({"mongodb_uri_file": str(uri)}, keys)
    assert not config.embedded
    assert config.read_mongodb_uri() == "mongodb://user:pass@db/"
    uri.write_text("mongodb://other/")
    assert config.read_mongodb_uri() == "mongodb://other/"
    uri.unlink()
    with pytest.raises(ConfigError, match=r"mongodb_uri_file: .*No such file"):
        config.read_mongodb_uri()


def test_actions_are_read_from_their_file(tmp_path: Path):
    table = tmp_path / "actions.yaml"
    table.write_text("win: 10\n'2048': 5\nbig.one-a_b: 9223372036854775807\n")
    config = load_config({"actions_file": str(table)}, {})
    assert config.action_points == {"win": 10, "2048": 5, "big.one-a_b": 2**63 - 1}


def test_write_policy_is_derived_from_rate_and_lifetime():
    policy = load_config({"rate_limit": "5/20s", "proof_lifetime": "1m", "max_points_per_window": "9"}, {}).write_policy
    assert (policy.limit, policy.history_retention, policy.max_points) == (RateLimit(5, 20.0), 100, 9)
    assert Config().write_policy.history_retention == 120


def test_config_is_immutable_and_hides_its_secrets():
    config = Config(jwt_key=SECRET, mongodb_uri="mongodb://u:hunter22@db/")
    with pytest.raises(FrozenInstanceError):
        config.port = 1  # type: ignore[misc]
    assert SECRET not in repr(config)
    assert "hunter22" not in repr(config)
    shown = {row.name: row.value for row in config.describe()}
    assert shown["jwt_key"] == "********"
    assert shown["mongodb_uri"] == "mongodb://***@db/"
