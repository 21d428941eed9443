"""The settings against abuse: proxies, limits by address, captcha."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from tornado_app.config import InvalidValue, load_config, warnings
from tornado_app.config.network import Networks, Url
from tornado_app.core.errors import ConfigError
from tornado_app.core.policies import RateLimit

CAPTCHA = "https://hcaptcha.com/siteverify"


def fault(flags: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(flags or {}, environ or {})
    (only,) = caught.value.faults
    return only


def test_default_abuse_settings_are_safe():
    config = load_config({}, {})
    assert config.trusted_proxies == ()
    assert config.auth_failure_limit == RateLimit(60, 60.0)
    assert config.max_connections_per_address == 100
    assert not config.auto_suspend
    assert config.captcha_url is None


def test_trusted_proxies_are_networks_or_addresses(tmp_path: Path):
    value_type = Networks()
    assert value_type.parse("") == ()
    networks = (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"), ip_network("fd00::/8"))
    assert value_type.parse("10.0.0.0/8, 192.0.2.7 ,fd00::/8,10.0.0.0/8") == networks
    assert value_type.parse(value_type.format(networks)) == networks
    (tmp_path / "c.yaml").write_text("trusted_proxies: [10.0.0.0/8, 192.0.2.7, 'fd00::/8']\n")
    assert load_config({"config": str(tmp_path / "c.yaml")}, {}).trusted_proxies == networks


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("proxy.example", "not a network"),
        ("10.0.0.0/33", "not a network"),
        ("10.0.0.0/8,,", "not a network"),
        ("*", "not a network"),
    ],
)
def test_invalid_trusted_proxies_are_refused(text: str, hint: str):
    with pytest.raises(InvalidValue) as caught:
        Networks().parse(text)
    assert hint in str(caught.value)
    with pytest.raises(InvalidValue):
        Networks().from_yaml([10])


def test_trusting_every_address_is_allowed_with_a_warning():
    (warning,) = warnings(load_config({"trusted_proxies": "0.0.0.0/0"}, {}))
    assert "trusted_proxies contains every address" in warning


@pytest.mark.parametrize(
    "text",
    [
        CAPTCHA,
        "https://id.example:8443/a?b=c",
        "http://localhost:9000/jwks",
        "http://127.0.0.1",
        "http://[::1]:1/",
        "https://id.example:8443/keys?p=policy",
        "http://[::1]:8080/x?y=z",
    ],
)
def test_urls_are_accepted(text: str):
    assert Url().parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "id.example", "ftp://id.example", "http://id.example/", "http://10.0.0.1/", "https://u:p@id.example/",
        "https://@id.example/", "https://id.example/#x", "https://id.example:x/", "https://id.example:0/",
        "https://id.example/ a", "https://id.example/\n", "https:///a", "https://a..b/", "http://localhost.example/",
        "https://ex\u00e4mple/", "https://[::1", "http://127.0.0.1.evil.example/jwks", "http://localhost@evil.example/jwks",
        "file:///etc/passwd", "https://", "https://id.example:99999/", "https://id.example/\r\nHost: evil",
    ],
)  # fmt: skip
def test_invalid_urls_are_refused(text: str):
    with pytest.raises(InvalidValue):
        Url().parse(text)


def test_query_of_a_url_is_not_shown():
    assert Url().format("https://id.example/a?key=hunter22") == "https://id.example/a?***"
    assert Url().format(CAPTCHA) == CAPTCHA


def test_captcha_requires_url_and_secret(tmp_path: Path):
    secret = tmp_path / "secret"
    assert "set LEADERBOARD_CAPTCHA_SECRET" in fault({"captcha_url": CAPTCHA})
    assert fault({}, {"LEADERBOARD_CAPTCHA_SECRET": "0x1"}).startswith("captcha_secret (LEADERBOARD_CAPTCHA_SECRET)")
    assert fault({"captcha_url": CAPTCHA, "captcha_secret_file": str(secret)}).endswith("No such file or directory")
    secret.write_text("0xabc\n")
    config = load_config({"captcha_url": CAPTCHA, "captcha_secret_file": str(secret)}, {})
    assert config.read_captcha_secret() == "0xabc"
    both = fault({"captcha_url": CAPTCHA, "captcha_secret_file": str(secret)}, {"LEADERBOARD_CAPTCHA_SECRET": "0x1"})
    assert "captcha_secret is set too" in both
    config = load_config({"captcha_url": CAPTCHA}, {"LEADERBOARD_CAPTCHA_SECRET": "0x1"})
    assert config.read_captcha_secret() == "0x1"
    assert "0x1" not in repr(config) + str(list(config.describe()))
