"""The head of a response in bytes."""

import pytest

from tornado_app.http.messages import encode_head


def test_encode_head_is_status_line_and_headers():
    assert encode_head(204, [("A", "b")]) == b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb"])
def test_encode_head_refuses_line_breaks(value):
    with pytest.raises(ValueError, match="line break"):
        encode_head(200, [("A", value)])
