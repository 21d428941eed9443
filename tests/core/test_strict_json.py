"""JSON that two parsers could read in two ways is refused."""

import json

import pytest

from tornado_app.core import strict_json


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '[{"a":{"b":1,"b":2}}]', "NaN", "[-Infinity]", '{"a":Infinity}'])
def test_ambiguous_text_raises_ambiguous_json(text):
    with pytest.raises(strict_json.AmbiguousJson):
        strict_json.decoder().decode(text)


def test_other_json_is_decoded_with_the_given_number_parsers():
    decoder = strict_json.decoder(parse_int=len, parse_float=str)
    assert decoder.decode('{"a": [12345, 1.50], "b": {"a": null}}') == {"a": [5, "1.50"], "b": {"a": None}}


def test_text_that_is_not_json_raises_json_decode_error():
    with pytest.raises(json.JSONDecodeError):
        strict_json.decoder().decode("{")
