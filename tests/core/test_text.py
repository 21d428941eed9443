"""Integers in JSON keep every digit in each notation, and ambiguous JSON is refused."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.text import MAX_DIGITS, AmbiguousJson, integer, strict_json_decoder, with_plain_integers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("5.0", 5), ("5.00", 5), ("-5.0", -5), ("0.5e1", 5), ("50e-1", 5), ("500E-2", 5), ("5e+0", 5),
        ("1e3", 1000), ("1E3", 1000), ("-0", 0), ("-0.0", 0), ("0e400", 0), ("0.000e-400", 0),
        ("9007199254740993", 2**53 + 1), ("9007199254740993.0", 2**53 + 1), ("9.007199254740993e15", 2**53 + 1),
        ("9223372036854775807", 2**63 - 1), ("9.223372036854775807e18", 2**63 - 1),
        ("-9.223372036854775808e18", -(2**63)), ("9.223372036854775808e18", 2**63), ("1e19", 10**19),
        ("5." + "0" * 9000, 5), ("0." + "0" * 400 + "5e401", 5),
        ("1e+0000003", 1000), ("1E" + "0" * 9000 + "3", 1000), ("50e-" + "0" * 9000 + "1", 5), ("5e00", 5),
    ],
)  # fmt: skip
def test_integer_in_any_form_is_exact(text, value):
    assert integer(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "5.5", "1e-5", "0.1", "5.0000000000000000000000001", "1e400", "-1e400", "1e999999", "1e" + "9" * 5000,
        "1" + "0" * 5000, "1e20", "", "+5", ".5", "5.", "5e", "5e+", "1e" + "0" * 18_000 + ".", "1e0000020",
        "0x5", "5_0", "NaN", "Infinity", " 5", "5\n", "５",
    ],
)  # fmt: skip
def test_number_that_is_not_an_integer_within_range_is_none(text):
    assert integer(text) is None


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True).filter(str.isascii)
)
def test_integer_agrees_with_exact_arithmetic(text):
    exact = Fraction(text)
    in_reach = exact.denominator == 1 and len(str(abs(exact.numerator))) <= MAX_DIGITS
    assert integer(text) == (exact.numerator if in_reach else None)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('{"score":5.0}', '{"score":5}'),
        ('{"score": 1e3 , "n":[0.5, -2.0e0]}', '{"score": 1000 , "n":[0.5, -2]}'),
        ('{"5.0":"5.0", "a\\"5.0":"\\\\", "x":7.0}', '{"5.0":"5.0", "a\\"5.0":"\\\\", "x":7}'),
        ("5.0", "5"),
        ("1e400", "1e400"),
    ],
)
def test_with_plain_integers_rewrites_numbers_only(text, plain):
    assert with_plain_integers(text) == plain


json_values = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_with_plain_integers_keeps_the_value(value):
    text = json.dumps(value)
    assert exactly(with_plain_integers(text)) == exactly(text)


def exactly(text):
    return json.loads(text, parse_float=Fraction, parse_int=Fraction)


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '[{"a":{"b":1,"b":2}}]', "NaN", "[-Infinity]", '{"a":Infinity}'])
def test_ambiguous_text_raises_ambiguous_json(text):
    with pytest.raises(AmbiguousJson):
        strict_json_decoder().decode(text)


def test_other_json_is_decoded_with_the_given_number_parsers():
    decoder = strict_json_decoder(parse_int=len, parse_float=str)
    assert decoder.decode('{"a": [12345, 1.50], "b": {"a": null}}') == {"a": [5, "1.50"], "b": {"a": None}}


def test_text_that_is_not_json_raises_json_decode_error():
    with pytest.raises(json.JSONDecodeError):
        strict_json_decoder().decode("{")
