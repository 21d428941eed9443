"""Origin patterns match every spelling of an origin, and nothing that only looks similar."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.origins import HostPatterns, OriginPatterns, canonical, origin_pattern, same_host

LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
WILD = OriginPatterns([origin_pattern("https://*.example.com"), origin_pattern("http://*.example.com:8080")])


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example", "https://A.EXAMPLE"),
        ("https://a.example", "https://a.example:443"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("https://[2001:db8::1]", "https://[2001:DB8:0:0:0:0:0:1]"),
        ("https://[::1]:443", "https://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("null", "null"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("app://-", "app://-"),
        ("file://", "file://"),
        ("safari-web-extension://AB-CD", "safari-web-extension://AB-CD"),
        ("https://*.example.com", "https://a.example.com"),
        ("https://*.example.com", "https://A.Example.com:443"),
        ("https://*.example.com", "https://a-b_1.example.com"),
        ("https://*.example.com:1", "https://a.example.com:1"),
        ("*", "https://any.example"),
        ("*", "null"),
    ],
)
def test_origin_that_a_pattern_names_matches(pattern, origin):
    assert OriginPatterns([pattern if pattern == "*" else origin_pattern(pattern)]).match(origin)


@pytest.mark.parametrize(
    ("pattern", "origins"),
    [
        (
            "https://a.example",
            [
                "http://a.example", "https://a.example:80", "https://a.example.", "https://a.example.evil.com",
                "https://a.example/", "https://u@a.example", "https://evil.com#https://a.example", "null",
                " https://a.example", "https://a.example\n", "https://\xe4.example", "", "https://", "a.example",
            ],
        ),
        ("null", ["NULL", "", "null,null", "https://null"]),
        ("capacitor://localhost", ["http://localhost", "capacitor://localhost:80", "capacitor://localhost.evil.com"]),
        ("app://a", ["app://a/b", "app://ab", "xapp://a"]),
        ("file://", ["file:///etc", "file://x"]),
        (
            "https://*.example.com",
            [
                "https://example.com", "https://.example.com", "https://a.b.example.com",
                "https://evil.com/.example.com", "https://evil.com?.example.com", "https://evil.com#.example.com",
                "https://evil.com\\.example.com", "https://x@.example.com", "https://evil.com:1.example.com",
                "https://a%2f.example.com", "https://[a].example.com", "https://*.example.com",
                "https://a.example.com.", "https://aexample.com", "https://a.example.com.evil.com",
                "http://a.example.com", "https://a.example.com:8443", "https://-.example.com", "null",
            ],
        ),
    ],
)  # fmt: skip
def test_origin_that_only_looks_like_a_pattern_does_not_match(pattern, origins):
    patterns = OriginPatterns([origin_pattern(pattern)])
    assert [origin for origin in origins if patterns.match(origin)] == []


@given(
    st.lists(LABELS, min_size=0, max_size=3),
    st.sampled_from(["https", "http"]),
    st.sampled_from(["", ":443", ":8080"]),
)
def test_wildcard_is_exactly_one_label_of_one_scheme_and_port(labels, scheme, port):
    origin = f"{scheme}://{'.'.join([*labels, 'example', 'com'])}{port}"
    right = (scheme, port) in (("https", ""), ("https", ":443"), ("http", ":8080"))
    assert WILD.match(origin) == (len(labels) == 1 and right)


@given(st.text(), LABELS)
def test_wildcard_matches_no_text_that_is_not_a_label(text, label):
    """The wildcard matches exactly one name directly below the domain, and that is the whole host."""
    for origin in (
        f"https://{text}.example.com",
        f"https://{text}{label}.example.com",
        f"{text}://{label}.example.com",
    ):
        if WILD.match(origin):
            scheme, _, host = origin.lower().partition("://")
            assert scheme == "https"
            assert host.removesuffix(".example.com").replace("-", "").replace("_", "").isalnum()
            assert host.isascii()


@given(st.text())
def test_canonical_form_is_stable(text):
    found = canonical(text)
    assert found is None or canonical(found) == found


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://h", "h:443", True),
        ("https://h", "h", True),
        ("https://h:443", "h", True),
        ("http://h", "h:80", True),
        ("http://H:8000", "h:8000", True),
        ("https://[::1]", "[0:0::1]:443", True),
        ("https://h", "h:", True),
        ("https://[::1]", "[::1]:", True),
        ("http://127.0.0.1:1", "127.0.0.1:1", True),
        ("https://h", "h:80", False),
        ("http://h", "h:443", False),
        ("https://h", "h:8443", False),
        ("https://h", "", False),
        ("https://h", "h@x", False),
        ("null", "null", False),
        ("capacitor://localhost", "localhost", False),
        ("https://h.", "h", False),
        ("garbage", "garbage", False),
    ],
)
def test_same_host_knows_default_ports(origin, host, same):
    assert same_host(origin, host) == same


HOSTS = HostPatterns(["play.example.com", "*.games.example", "127.0.0.1", "::1", "localhost"])


@pytest.mark.parametrize(
    "host",
    [
        "play.example.com", "PLAY.example.com:8443", "play.example.com.", "a.games.example", "127.0.0.1:8000",
        "[::1]:8000", "[0:0::1]", "[::1]", "[::1]:", "localhost", "localhost:", "localhost.:8000",
    ],
)  # fmt: skip
def test_host_matches_by_name_whatever_the_port(host):
    assert HOSTS.match(host)


@pytest.mark.parametrize(
    "host",
    [
        "games.example", "a.b.games.example", ".games.example", "evil.com", "play.example.com.evil.com",
        "evil.com/play.example.com", "u@play.example.com", "play.example.com:x", "", None, "::1", "127.0.0.2", "a b",
        "play.example.com,evil.com", "[::2]", ":", "localhost::", "::1:",
    ],
)  # fmt: skip
def test_other_host_does_not_match(host):
    assert not HOSTS.match(host)
