"""User ids, names, and the recognition of e-mail addresses."""

import pytest

from tests.support.subjects import SUBJECTS
from tornado_app.core.identity import (
    avatar_url,
    is_action_id,
    is_user_id,
    looks_like_email,
    username,
    username_of_claim,
)


@pytest.mark.parametrize("text", SUBJECTS)
def test_user_id_is_any_oidc_subject(text):
    assert is_user_id(text)


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a ", "a\n", "\na", "a\tb", "a\0b", "a\x7f", "Zoë", "a" * 256, "a\u2028"]
)
def test_text_of_other_characters_or_length_is_not_a_user_id(text):
    assert not is_user_id(text)


EMAILS = [
    "ann@example.com", "ANN.SMITH+tag@EXAMPLE.COM", "Ann Smith <ann@example.com>", "mailto:ann@example.com",
    '"ann smith"@example.com', "användare@exämple.se", "ann@例え.jp", "ann@[192.168.0.1]", "ann@localhost",
    "ann@corp", "ann＠example.com", "ann﹫example.com", "ann%40example.com", "ann (at) example.com",
    "ann[AT]example.com",
    "ann @ example.com", "ann\u200b@\u200bexample.com", "ann_example.com#EXT#@corp.onmicrosoft.com",
    "Ann, ann@example.com", "Ann (ann@example.com)", "ann(work)@example.com", " ann@example.com ", "ann@example.com.",
]  # fmt: skip


@pytest.mark.parametrize("text", EMAILS)
def test_email_address_in_any_form_is_recognised(text):
    assert looks_like_email(text)
    assert username_of_claim(text) is None


@pytest.mark.parametrize(
    "text",
    ["@ann", "Ann (@ann)", "ann@", "Ann @ann", "Bob at Night", "Rock @ Roll", "ann#1234", "(at)", "%40"],
)
def test_name_with_an_at_sign_is_not_an_email_address(text):
    assert not looks_like_email(text)
    assert username_of_claim(text) == text


@pytest.mark.parametrize("text", ["ann@\0example.com", "ann\n@\nexample.com", "ann\u202e@\u202cexample.com", "a\0@b"])
def test_email_address_with_removed_characters_is_not_a_name(text):
    assert username_of_claim(text) is None


def test_search_for_an_email_address_takes_linear_time():
    for unit in (" ", "a ", "(", "@", "a@ ", "a.", "( at ", "\u200b"):
        assert not looks_like_email(unit * 40_000)


INVISIBLE = [
    "", " ", "\u00a0", "\u3000", "\u200b", "\u3164", "\uffa0", "\u115f\u1160", "\u2800", "\u00ad", "\u034f", "\u061c",
    "\u180e", "\u200e", "\u2060", "\u2063", "\ufe0f", "\ufeff", "\U000e0041", "\U000e0100", "\u200d", "\u200c",
    "\u202e", "\u2067\u2069", "\u0301", "\U0001d159", " \u200b \u3164 \u2800 ", "\ufff0", "\ufffe",
]  # fmt: skip


@pytest.mark.parametrize("text", INVISIBLE)
def test_name_without_a_visible_character_is_refused(text):
    assert username(text) is None
    assert username_of_claim(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\u202egnp.ann", "gnp.ann"),
        ("\u2066Ann\u2069", "Ann"),
        ("\u202a\u202bAnn\u202c", "Ann"),
        ("A\u206ann", "Ann"),
        (" \u202e Ann", "Ann"),
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc"),
        ("\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f469\u200d\U0001f467"),
        ("\u05d0\u200f", "\u05d0\u200f"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4\U000e0067\U000e0062\U000e007f"),
        ("Zoe\u0308", "Zoë"),
        ("\U0001fae8", "\U0001fae8"),
        ("x" * 64, "x" * 64),
        ("\u202e" + "x" * 64, "x" * 64),
        ("x" * 65, None),
        ("a\nb", None),
        ("a\u2028b", None),
        ("a\ud800", None),
    ],
)
def test_name_keeps_its_script_and_loses_direction_overrides(text, name):
    assert username(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "http://a.example",
        "https://a.example/b.png?c#d",
        "HTTPS://A.EXAMPLE/",
        "https://[::1]:80/",
        "https://a/" + "x" * 2038,
    ],
)
def test_avatar_url_is_an_absolute_url_of_the_web(text):
    assert avatar_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "a.example/b.png", "//a.example/b.png", "https:///b.png", "https://", "ftp://a.example", "data:image/png,",
        "javascript:alert(1)", "https://[::1", "https://a.example/\n", "https://a/" + "x" * 2039,
    ],
)  # fmt: skip
def test_text_of_another_form_is_not_an_avatar_url(text):
    assert avatar_url(text) is None


@pytest.mark.parametrize(
    ("text", "valid"),
    [("!", True), ("~" * 128, True), ("~" * 129, False), ("", False), ("a b", False), ("a\n", False), ("é", False)],
)
def test_action_id_is_up_to_128_visible_ascii_characters(text, valid):
    assert is_action_id(text) is valid
