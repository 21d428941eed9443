"""`5.0` and `1e3` are integers in every body, as the OpenAPI document says, and int64 is exact."""

import json
from uuid import uuid4

import pytest

from tests.support.frontends import WRITES
from tests.support.service import token

FORMS = [form for form in WRITES if form.field is not None]
INTEGERS = {
    "5.0": 5, "5.00": 5, "1e3": 1000, "1E+3": 1000, "50e-1": 5, "0.5e1": 5,
    "9007199254740993": 2**53 + 1, "9007199254740993.0": 2**53 + 1, "9.007199254740993e15": 2**53 + 1,
    "9.223372036854775807e18": 2**63 - 1,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_points_in_any_notation_of_an_integer_are_exact(open_service, form, bom):
    for text, value in INTEGERS.items():
        user = f"u-{uuid4().hex[:8]}"
        open_service.call("PUT", f"/api/v1/players/{user}", {}, token=token(user))
        body = json.dumps(form.body(user) | {form.field: "POINTS"}).replace('"POINTS"', text).encode()
        server = token(user, scope="scores:write")
        answer = open_service.call(form.method, form.path, bom + body, token=server)
        assert answer.status in (200, 201), (text, answer.body)
        assert open_service.get(f"/api/v1/players/{user}").json["score"] == value
