"""Invalid requests for each frontend, and their refusals."""

import gzip
import json
import secrets
import time
from types import MappingProxyType
from typing import NamedTuple

from tests.support.frontends import WriteForm
from tests.support.service import token

VICTIM = "victim"
SCORE = 500
AUTHORIZED = "AUTHORIZED"

PLAYERS = WriteForm(
    "players", "PUT", f"/api/v1/players/{VICTIM}", lambda user: {"username": "Zoë"}, 0, "", creates=True
)
"""No frontend of its own, but what players' names come in by."""

STRINGS = {
    "A-post": ("user_id", "proof"), "A-patch": ("user_id", "proof"), "B": ("action_type", "user_id", "proof"),
    "C": ("actionId", "actionType", "user_id", "userId", "proof"), "D": ("user_id", "action_id", "proof"),
    "E": ("user_id", "proof"), "F": ("action_type", "user_id", "proof"), "players": ("username", "avatar_url"),
}  # fmt: skip
REQUIRED = {
    "A-post": ("score",), "A-patch": ("score",), "B": (), "C": ("actionId", "actionType"),
    "D": ("user_id", "action_id"), "E": ("user_id", "score_increase"), "F": ("points",), "players": (),
}  # fmt: skip
ALLOWED = {"/api/score": "OPTIONS, PATCH, POST", PLAYERS.path: "GET, HEAD, OPTIONS, PUT"}
TAKES_KEY = ("A-post", "A-patch", "B", "D", "E", "F")


class Row(NamedTuple):
    """A request and its refusal. `says` must be in the message; A method or path of None is the frontend's own."""

    name: str
    status: int
    error: str
    body: bytes | None
    says: str = ""
    headers: MappingProxyType | dict = MappingProxyType({})
    method: str | None = None
    path: str | None = None
    token: str | None = AUTHORIZED


def raw(form, **members):
    """The frontend's body with these members' JSON texts put in, or left out where None."""
    parts = {name: json.dumps(value) for name, value in form.body(VICTIM).items()} | members
    return ("{" + ",".join(f'"{name}":{text}' for name, text in parts.items() if text is not None) + "}").encode()


def a_day_ago():
    return time.time() - 86_400


def rows(form):
    for table in (broken_json, wrong_shapes, numbers, strings, missing, media, sizes, tokens, keys, elsewhere):
        yield from table(form)


def broken_json(form):
    good = raw(form)
    if form.name not in ("B", "players"):
        yield Row("empty body", 400, "invalid_json", b"")
    texts = {
        "white space": b" \r\n\t",
        "one brace": b"{",
        "truncated": good[:-1],
        "trailing comma": good[:-1] + b",}",
        "two values": good + good,
        "trailing NUL": good + b"\0",
        "single quotes": good.replace(b'"', b"'"),
        "comment": good + b"// why",
        "bare word": b"score",
        "form fields": b"score=5&user_id=victim",
        "XML": b"<score>5</score>",
        "two BOMs": b"\xef\xbb\xbf" * 2 + good,
        "BOM within": good[:1] + b"\xef\xbb\xbf" + good[1:],
        "UTF-16": good.decode().encode("utf-16"),
        "gzip": gzip.compress(good),
        "NaN beside": raw(form, more="NaN"),
        "leading zero beside": raw(form, more="01"),
        "plus sign beside": raw(form, more="+1"),
        "hexadecimal beside": raw(form, more="0x10"),
        "raw NUL in a string": raw(form, more='"a\0b"'),
        "raw line break in a string": raw(form, more='"a\nb"'),
        "bad escape": raw(form, more=r'"\x41"'),
        "lone high surrogate": raw(form, more=r'"\ud800"'),
        "lone low surrogate": raw(form, more=r'"\udc00x"'),
        "surrogates in wrong order": raw(form, more=r'"\ude00\ud83d"'),
        "invalid UTF-8 beside": good[:-1] + b',"more":"\xff"}',
        "invalid UTF-8 in a name": good[:-1] + b',"\xff":1}',
        "overlong UTF-8": good[:-1] + b',"more":"\xc0\x80"}',
        "a surrogate in UTF-8": good[:-1] + b',"more":"\xed\xa0\x80"}',
        "cut UTF-8": good[:-1] + b',"more":"\xe2\x82"}',
        "bracket flood": b"[" * 16_000,
        "deep nesting": b"[" * 8_000 + b"]" * 8_000,
        "deep nesting beside": raw(form, more="[" * 7_000 + "]" * 7_000),
        "deep objects beside": raw(form, more='{"a":' * 2_000 + "1" + "}" * 2_000),
        "wrong shape, then broken": b'{"user_id":5,"more":',
    }
    for name, body in texts.items():
        yield Row(name, 400, "invalid_json", body)
    twice = form.field or next(iter(form.body(VICTIM)))
    value = json.dumps(form.body(VICTIM)[twice])
    for name, key, other in (
        ("member twice", twice, value),
        ("member twice, first wrong", twice, "[]"),
        ("member twice, spelt otherwise", f"\\u{ord(twice[0]):04x}{twice[1:]}", value),
    ):
        yield Row(name, 400, "invalid_json", b'{"%s":%s,' % (key.encode(), other.encode()) + good[1:])
    yield Row("unread member twice", 400, "invalid_json", raw(form, more='{"a":1,"a":2}'))


def wrong_shapes(form):
    for text in ("null", "true", "5", "-1e400", '"x"', "[]", "[{}]"):
        yield Row(f"the body is {text}", 400, "invalid_body", text.encode())
    yield Row("an array of requests", 400, "invalid_body", b"[" + raw(form) + b"]")


def numbers(form):
    if form.field is None:
        return
    for text in (
        "0", "-0", "-1", "-9223372036854775808", "1.5", "5.5", "1e-5", "5.0000000000000000000000001", "1e19", "0.0",
        "1e400", "-1e400", "1E+400", "1e999999", "1001", "1001.0", str(2**53), str(2**63 - 1), str(2**63), str(2**64),
        str(2**64 + 5), "-" + "9" * 19, "1" + "0" * 400, "1" + "0" * 5000, "0." + "0" * 400 + "1",
    ):  # fmt: skip
        yield Row(f"{text[:24]} points", 400, "invalid_increment", raw(form, **{form.field: text}))
    for text in ('"5"', '""', "true", "false", "[]", "[5]", "{}", '{"$gt":0}', '{"$inc":{"score":5}}', "null"):
        body = raw(form, **{form.field: text})
        yield Row(f"{text} as points", 400, "invalid_body", body, says=form.field)
    for text in ("NaN", "Infinity", "-Infinity", "nan", "05", "+5", "0x5", "5_0", "5.", ".5", "5e", "--5", "５"):
        yield Row(f"{text} points", 400, "invalid_json", raw(form, **{form.field: text}))
    server = token(VICTIM, scope="scores:write")
    over = raw(form, **{form.field: str(2**63 - SCORE)})
    yield Row("one point past int64", 400, "invalid_increment", over, token=server)


def strings(form):
    for field in STRINGS[form.name]:
        for text in ("5", "1.5", "true", "[]", "{}", '["victim"]', '{"$gt":""}', '{"$ne":null}'):
            body = raw(form, **{field: text})
            yield Row(f"{text} as {field}", 400, "invalid_body", body, says=field)
        if field in REQUIRED[form.name]:
            yield Row(f"null as {field}", 400, "invalid_body", raw(form, **{field: "null"}), says=field)
    for field, kind in {
        "user_id": "id", "userId": "id", "actionId": "key", "action_id": "key", "action_type": "type",
        "actionType": "type", "username": "name", "avatar_url": "url", "proof": "proof",
    }.items():  # fmt: skip
        if field in STRINGS[form.name]:
            for text, error in BAD_TEXTS[kind].items():
                body = raw(form, **{field: json.dumps(text)})
                says = field if error == "invalid_body" else ""
                yield Row(f"{field} {text[:20]!a}", 400, error, body, says=says)


ANY_ID = ["", " ", "a\0b", "\0", "a\nb", "a\n", "\n", "\x7f", "Zoë", "‮", "\ufeffa", "a\u2028", "💯"]
BAD_TEXTS = {
    "id": dict.fromkeys([*ANY_ID, " a", "a ", "x" * 256], "invalid_body"),
    "key": dict.fromkeys([*ANY_ID, "a b", "x" * 129], "invalid_body"),
    "type": {
        **dict.fromkeys(["", "x" * 65], "invalid_body"),
        **dict.fromkeys(
            [" ", "a\0b", "level_complete\0", "level_complete ", "LEVEL_COMPLETE", "$where"], "unknown_action_type",
        ),
    },
    "name": dict.fromkeys(
        ["", " ", "\u3000", "a\0b", "a\nb", "\x7f", "\x85", "x" * 65, "é" * 65, "x" * 300, "\u200b", "\u3164",
         "\u2800", "a\u2028b"], "invalid_body",
    ),
    "url": dict.fromkeys(
        ["", "x", "//x.test", "javascript:alert(1)", "data:,x", "https://", "http://[", "https://x.test/\0",
         "https://x.test/a b\n", "https://x.test/" + "x" * 2048], "invalid_body",
    ),
    "proof": {"x" * 7169: "invalid_body"},
}  # fmt: skip


def missing(form):
    for field in REQUIRED[form.name]:
        yield Row(f"no {field}", 400, "invalid_body", raw(form, **{field: None}), says=field)
        spelt = raw(form, **{field: None, field.upper(): json.dumps(form.body(VICTIM)[field])})
        yield Row(f"{field} in capitals", 400, "invalid_body", spelt, says=field)
    if REQUIRED[form.name]:
        yield Row("no members", 400, "invalid_body", b"{}", says=REQUIRED[form.name][0])
    if form.name in ("A-post", "B", "C", "D", "E"):
        body = raw(form, user_id='"somebody"')
        yield Row("another's user_id", 403, "user_mismatch", body)


def media(form):
    for kind in (
        "text/plain", "text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", ";",
        "json", "application/jsonp", "application/json-patch+json", "application/json, text/plain", "*/*",
        "application/*", "application/json; charset=latin-1", "application/json; charset=utf-16",
        'application/json; charset="iso-8859-1"', "application/json;charset=utf-8;charset=utf-7",
    ):  # fmt: skip
        yield Row(f"type {kind!r}", 415, "unsupported_media_type", raw(form), headers={"Content-Type": kind})
    for coding in ("gzip", "br", "identity, gzip"):
        headers = {"Content-Encoding": coding}
        yield Row(f"coding {coding}", 415, "unsupported_media_type", gzip.compress(raw(form)), headers=headers)


def sizes(form):
    for size in (16 * 1024 + 1, 17 * 1024, 1024 * 1024, 1024 * 1024 + 1, 2 * 1024 * 1024, 8 * 1024 * 1024):
        yield Row(f"{size} bytes", 413, "body_too_large", raw(form).ljust(size))
    headers = {"X-Long": "x" * 19000}
    yield Row("long header", 431, "headers_too_large", raw(form), headers=headers)
    yield Row("long path", 431, "headers_too_large", raw(form), path=f"{form.path}?x={'x' * 19000}")


def tokens(form):
    good = token(VICTIM)
    yield Row("no token", 401, "missing_token", raw(form), token=None)
    yield Row("no token, broken body", 401, "missing_token", b"{", token=None)
    for scheme in ("Basic", "Token", "Bear"):
        yield Row(f"scheme {scheme}", 401, "missing_token", raw(form), headers={"Authorization": f"{scheme} {good}"})
    head, claims, signature = good.split(".")
    for name, text in {
        "nothing": "", "garbage": "garbage", "dots": "..", "two": f"{good}, Bearer {good}", "spaces": "a b c",
        "wrong key": token(VICTIM, key=secrets.token_urlsafe(32)), "no signature": f"{head}.{claims}.",
        "cut": good[:-1], "swapped": f"{claims}.{head}.{signature}", "alg none": f"eyJhbGciOiJub25lIn0.{claims}.",
        "long": "a" * 7169, "not ASCII": "é" * 20,
        "another's signature": f"{head}.{token('other').split('.')[1]}.{signature}", "NoSQL": '{"$ne":null}',
    }.items():  # fmt: skip
        yield Row(f"token: {name}", 401, "invalid_token", raw(form), token=text)
    yield Row("token: expired", 401, "expired_token", raw(form), token=token(VICTIM, ttl=60, clock=a_day_ago))


def keys(form):
    if form.name not in TAKES_KEY:
        return
    for key in ("", "x" * 129, "a b", "é", "a\tb"):
        yield Row(
            f"Idempotency-Key {key[:8]!a}", 400, "invalid_request", raw(form), headers={"Idempotency-Key": key},
            says="Idempotency-Key",
        )  # fmt: skip


def elsewhere(form):
    for path in (
        form.path + "/x/y", form.path + "/", "/" + form.path, form.path.upper(), form.path + "%00", form.path + ";a=b",
        "/api", "/api/", form.path.replace("/api/", "/api/../api/"), form.path.replace("/api", "/%61pi", 1), "/metrics",
        "/.env", "/%", "*",
    ):  # fmt: skip
        whose = form is PLAYERS and "/" not in path.removeprefix("/api/v1/players/") and path != "*"
        status, error = (404, "player_not_found") if whose else (404, "not_found")
        if whose and path.endswith(";a=b"):
            status, error = 403, "user_mismatch"  # a user id may hold these characters, and this one is another's
        yield Row(f"path {path}", status, error, raw(form), path=path)
    allowed = ALLOWED.get(form.path, "OPTIONS, POST")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "post", "X"):
        if method not in allowed.split(", "):
            yield Row(f"method {method}", 405, "method_not_allowed", raw(form), method=method, says="")
