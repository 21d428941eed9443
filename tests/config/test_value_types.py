"""Value types: accepted and refused values, and formatting that parses back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.config import SETTINGS, InvalidValue, parse_duration
from tornado_app.config.network import Host, HostNames, MongodbUri, Origins
from tornado_app.config.value_types import Days, Duration, File, Flag, Integer, Rate, Text, format_duration
from tornado_app.core.policies import RateLimit

VALUE_TYPES = {setting.name: setting.info.value_type for setting in SETTINGS}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("60s", 60),
        ("1m", 60),
        ("2h", 7200),
        ("7", 7),
        ("0.5", 0.5),
        ("1.5s", 1.5),
        ("0", 0),
        (" 5s ", 5),
    ],
)
def test_durations_are_parsed(text: str, seconds: float):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "+1", "1e3", "1d", "1 s", "1s1s", "inf", "nan", "٣s", "1_0", ".5", "5."]
)
def test_invalid_durations_are_refused(text: str):
    with pytest.raises(InvalidValue):
        parse_duration(text)


@given(st.floats(min_value=0.001, max_value=86400, allow_nan=False))
def test_formatted_duration_parses_to_itself(seconds: float):
    rounded = round(seconds, 6)
    assert parse_duration(format_duration(rounded)) == rounded


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "100ms"), (60, "60s"), (300, "5m"), (7200, "2h"), (0, "0s"), (1.5, "1.5s")]
)
def test_durations_are_formatted_in_the_largest_unit(seconds: float, text: str):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("text", "days"), [("7d", 7), (" 90d ", 90), ("99999d", 99999)])
def test_days_are_parsed_and_formatted(text: str, days: int):
    assert Days(low=7).parse(text) == days * 86400.0
    assert Days(low=7).format(days * 86400.0) == text.strip()


@pytest.mark.parametrize("text", ["", "d", "6d", "0d", "-7d", "90", "90 d", "7.5d", "2h", "100000d", "٩d"])
def test_invalid_days_are_refused(text: str):
    with pytest.raises(InvalidValue):
        Days(low=7).from_yaml(text)


def test_durations_out_of_bounds_and_booleans_are_refused():
    value_type = Duration(low=1, high=10)
    assert value_type.from_yaml(1) == 1.0
    for value in (True, 0.5, 11, float("nan"), None, [1], "11s"):
        with pytest.raises(InvalidValue):
            value_type.from_yaml(value)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("10/60s", RateLimit(10, 60)), ("10/m", RateLimit(10, 60)), ("100/1h", RateLimit(100, 3600)),
     ("5/20", RateLimit(5, 20)), ("1/500ms", RateLimit(1, 0.5)), ("3 / s", RateLimit(3, 1))],
)  # fmt: skip
def test_rates_are_parsed(text: str, limit: RateLimit):
    assert Rate().parse(text) == limit
    assert Rate().parse(Rate().format(limit)) == limit


@pytest.mark.parametrize(
    "text", ["10", "10/", "/60s", "0/60s", "-1/s", "10/0s", "10/2d", "10/25h", "2001/h", "1.5/s", "10/60s/2", "10/1ms"]
)
def test_invalid_rates_are_refused(text: str):
    with pytest.raises(InvalidValue):
        Rate().parse(text)


@pytest.mark.parametrize("value", [True, 1.0, "1.0", "0x1", "1_000", "٣", "9" * 5000, "", " 1", 101, -1, None])
def test_invalid_integers_are_refused(value: object):
    with pytest.raises(InvalidValue):
        Integer(low=0, high=100).from_yaml(value)


def test_booleans_are_parsed():
    assert [Flag().parse(text) for text in ("true", "YES", "on", "1", "false", "No", "off", "0")] == [True] * 4 + [
        False
    ] * 4
    for text in ("", "y", "2", "truee"):
        with pytest.raises(InvalidValue):
            Flag().parse(text)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x00", "\x7f", "a\udc80"])
def test_invalid_text_is_refused(text: str):
    with pytest.raises(InvalidValue):
        Text().parse(text)


@pytest.mark.parametrize(
    "name", ["a/b", "a.b", "a b", "a$", 'a"', "a\\b", "x" * 64, "admin", "local", "config", "a\n", "a|b"]
)
def test_invalid_database_names_are_refused(name: str):
    with pytest.raises(InvalidValue):
        VALUE_TYPES["mongodb_database"].parse(name)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1", "0.0.0.0", "localhost", "db-1.example.com", "my_host", "fe80::1%eth0"]
)
def test_hosts_are_accepted(text: str):
    assert Host().parse(text) == text


@pytest.mark.parametrize(
    "text", ["", "[::1]", "a b", "http://a", "a:80", "-a", "1.2.3", "256.1.1.1", "a..b", "x" * 254]
)
def test_invalid_hosts_are_refused(text: str):
    with pytest.raises(InvalidValue):
        Host().parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://a.example, http://[::1]:8080 ,https://a.example", ("https://a.example", "http://[::1]:8080")),
        ("https://A.example:443, HTTP://a.example:80", ("https://a.example", "http://a.example")),
        ("https://[2001:DB8:0:0::1]:443", ("https://[2001:db8::1]",)),
        ("https://bücher.example", ("https://xn--bcher-kva.example",)),
        ("null", ("null",)),
        ("capacitor://localhost,tauri://localhost", ("capacitor://localhost", "tauri://localhost")),
        ("app://-,app://.,file://", ("app://-", "app://.", "file://")),
        ("chrome-extension://abcdefghijklmnop", ("chrome-extension://abcdefghijklmnop",)),
        ("https://*.Example.com,https://*.example.com:443", ("https://*.example.com",)),
        ("http://*.example.com:8080", ("http://*.example.com:8080",)),
    ],
)
def test_origins_are_accepted(text: str, value: tuple[str, ...]):
    assert Origins().parse(text) == value
    assert Origins().parse(Origins().format(value)) == value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://a.example/", "browsers send https://a.example"),
        ("https://a.example/play", "browsers send https://a.example"),
        ("a.example", "scheme"),
        ("https://u@a.example", "scheme"),
        ("https://a.example:x", "scheme"),
        ("https://a.example:0", "scheme"),
        ("https://a.example:70000", "scheme"),
        ("https://127.1", "scheme"),
        ("capacitor://", "scheme"),
        ("NULL", "scheme"),
        ("*,https://a.example", "alone"),
        ("https://*", "first label"),
        ("https://*.com", "one label"),
        ("https://*.", "one label"),
        ("https://*.*.example.com", "one label"),
        ("https://a.*.example.com", "first label"),
        ("https://*a.example.com", "first label"),
        ("https://*.0.0.1", "one label"),
        ("app://*.example.com", "first label"),
        ("https://straße.example", "xn--"),
        ("https://a.example,,", "scheme"),
    ],
)
def test_invalid_origins_are_refused(text: str, hint: str):
    with pytest.raises(InvalidValue, match=hint.replace("*", r"\*")):
        Origins().parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ()),
        ("*", ()),
        ("Play.example.com, *.example.com", ("play.example.com", "*.example.com")),
        ("127.0.0.1,::1,[::1],localhost", ("127.0.0.1", "::1", "localhost")),
    ],
)
def test_host_names_are_accepted(text: str, value: tuple[str, ...]):
    assert HostNames().parse(text) == value


@pytest.mark.parametrize(
    "text", ["https://a.example", "a.example:80", "a b", "a/b", "*.*.example", "a.*", "*,a", "1.2.3"]
)
def test_invalid_host_names_are_refused(text: str):
    with pytest.raises(InvalidValue):
        HostNames().parse(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://db", "mongodb://db"),
        ("mongodb://u:p@a:1,b:2/x?replicaSet=r&authMechanismProperties=s", "mongodb://***@a:1,b:2/x?***"),
        ("mongodb+srv://u:p%40@c.example.net/", "mongodb+srv://***@c.example.net/"),
        ("mongodb://u:p@w/d@db/", "mongodb://***@db/"),
        ("mongodb://[::1]:27017", "mongodb://[::1]:27017"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", "mongodb://%2Ftmp%2Fmongodb-27017.sock"),
    ],
)
def test_mongodb_uris_are_shown_without_their_secrets(uri: str, shown: str):
    assert MongodbUri().parse(uri) == uri
    assert MongodbUri().format(uri) == shown


@pytest.mark.parametrize(
    "uri", ["db:27017", "http://db", "mongodb:/db", "mongodb://", "mongodb://u:p@", "mongodb://a b", "mongodb://a:b:c"]
)
def test_invalid_mongodb_uris_are_refused(uri: str):
    with pytest.raises(InvalidValue):
        MongodbUri().parse(uri)


def test_paths_are_expanded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert File().parse("~/x") == Path("/home/ann/x")
    with pytest.raises(InvalidValue):
        File().parse("a\0b")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_of_every_setting_is_a_valid_value(setting):
    if setting.default is not None:
        assert setting.info.value_type.parse(setting.info.value_type.format(setting.default)) == setting.default
