"""Origin patterns match every spelling of an origin, and nothing that only looks similar."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.origins import (
    HostPatterns,
    OriginPatterns,
    canonical,
    host_name,
    host_pattern,
    is_host_name,
    is_loopback,
    origin_pattern,
    same_host,
)

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
            assert host.removesuffix(".example.com").replace("-", "x").replace("_", "x").isalnum()
            assert host.isascii()


@given(st.text())
def test_canonical_form_is_stable(text):
    found = canonical(text)
    assert found is None or canonical(found) == found


@pytest.mark.parametrize(
    ("origin", "form"),
    [
        ("http://a.example:1", "http://a.example:1"),
        ("http://a.example:65535", "http://a.example:65535"),
        ("http://a.example:0443", "http://a.example:443"),
        ("http://a.example:00080", "http://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://a.example:0", None),
        ("http://a.example:65536", None),
        ("http://a.example:99999", None),
        ("http://a.example:", None),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://1.2.3", None),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]"),
        ("http://[1::2::3]", None),
        ("file://host", "file://host"),
        ("app://", None),
    ],
)
def test_canonical_form_has_a_valid_port_and_host(origin, form):
    assert canonical(origin) == form


@pytest.mark.parametrize(
    ("patterns", "some"), [([], False), (["*"], True), (["https://a.example"], True), (["https://*.example"], True)]
)
def test_origin_patterns_are_true_if_an_origin_can_match(patterns, some):
    assert bool(OriginPatterns(patterns)) is some


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://a.example/", "browsers send https://a.example"),
        ("https://A.Example:443/play/index.html", "browsers send https://a.example"),
        ("capacitor://localhost/", "browsers send capacitor://localhost"),
        ("a.example", "with its scheme"),
        ("a.example/play", "with its scheme"),
        ("https://a b/play", "with its scheme"),
        ("https://a.example?x", "with its scheme"),
        ("https://*", "stands for the first label"),
        ("https://a.*.example.com", "stands for the first label"),
        ("https://*.com", "stands for one label of a domain"),
        ("https://*.com.", "stands for one label of a domain"),
        ("https://*.a b.com", "stands for one label of a domain"),
        ("https://straße.example", "begins with xn--"),
        ("https://" + "ü" * 64 + ".example", "no host name"),
    ],
)
def test_origin_pattern_error_names_the_remedy(text, message):
    with pytest.raises(ValueError, match=message):
        origin_pattern(text)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://*.bücher.example:443", "https://*.xn--bcher-kva.example"),
        ("HTTP://a.example", "http://a.example"),
    ],
)
def test_origin_pattern_is_the_form_that_browsers_send(text, pattern):
    assert origin_pattern(text) == pattern


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Play.Example.com", "play.example.com"),
        ("play.example.com.", "play.example.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("0:0::1", "::1"),
        ("[0:0::1]", "::1"),
    ],
)
def test_host_pattern_is_the_name_in_a_host_header(text, pattern):
    assert host_pattern(text) == pattern


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "a.example:80", "https://a.example", "a.*.example", "*.*.example", "*.127.0.0.1", "*.::1", "a/b"],
)
def test_host_pattern_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="host name or IP address"):
        host_pattern(text)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("h:8000", "h"),
        ("h.", "h"),
        ("H.:8000", "h"),
        ("[0:0::1]:8000", "::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("a.b:65536", None),
        ("::1", None),
        ("", None),
    ],
)
def test_host_name_is_without_port_and_final_dot(host, name):
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a", True),
        ("a-b.c_d", True),
        ("a.example.", True),
        ("1a.2", True),
        ("a" * 63 + ".b", True),
        ("a" * 64 + ".b", False),
        (".".join(["a" * 49] * 5) + ".abc", True),
        (".".join(["a" * 49] * 5) + ".abcd", False),
        ("127.0.0.1", False),
        ("1.2", False),
        ("-a", False),
        ("a-", False),
        ("a..b", False),
        ("", False),
    ],
)
def test_host_name_has_labels_of_63_and_253_characters_in_all(text, valid):
    assert is_host_name(text) is valid


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("128.0.0.1", False),
        ("::2", False),
        ("localhost.example", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_is_loopback_knows_the_addresses_of_this_machine(host, loopback):
    assert is_loopback(host) is loopback


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
