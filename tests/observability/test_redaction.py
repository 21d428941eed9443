"""No token and no password in any part of a log line."""

import io
import json
import logging
import time

import pytest

from leaderboard_logs.redaction import redacted
from tornado_app.observability import logs

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRoaXM"

log = logging.getLogger("leaderboard.test")


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("secret", "hidden", "kept"),
    [
        (TOKEN, TOKEN, "[redacted]"),
        (f"/ws?token={TOKEN}&x=1", TOKEN, "&x=1"),
        (f"Bearer%20{TOKEN}", TOKEN, "[redacted]"),
        (f"x.{TOKEN}.", TOKEN.split(".")[2], "x."),
        ("ewogICJhbGciOiAiSFMyNTYifQ.ewogICJzdWIiOiAiYSJ9.aaaaaaaaaaaa", "ewogICJzdWIi", "[redacted]"),
        ("eyJhbGciOiJkaXIifQ..aXYaXYaXY.Y2lwaGVy.dGFnZ2dn", "Y2lwaGVy", "[redacted]"),
        ("Authorization: Bearer opaque-token-0123456789", "opaque-token", "Bearer [redacted]"),
        ("/ws/score?token=not-a-real-token-at-all", "real-token", "?token=[redacted]"),
        ("mongodb://ann:hunter22@db:27017/x", "hunter22", "mongodb://[redacted]@db:27017/x"),
        ("mongodb+srv://ann:hun@ter22@db/", "ter22", "mongodb+srv://[redacted]@db/"),
        ('mongodb://ann:hunt"er22@db/', 'er22', "[redacted]@db/"),
        ("mongodb://db:27017/?a=b", "\x00", "mongodb://db:27017/?a=b"),
    ],
)  # fmt: skip
def test_secrets_are_redacted_anywhere_in_the_line(form, secret: str, hidden: str, kept: str):
    stream = io.StringIO()
    logs.configure("debug", form, stream)
    log.info("said %s", secret)
    log.info("x", extra={"field": secret, "nested": {"list": [secret]}})
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        log.exception("x")
    written = stream.getvalue()
    assert hidden not in written
    assert written.count(kept) >= 4
    if form == "json":
        assert len([json.loads(line) for line in written.splitlines()]) == 3


@pytest.mark.parametrize(
    "harmless",
    ["key.player.board", "www.example.com", "a.b.c.d", "bearer token", "keys: 1.2.3", "they.were.here", "eyJ.x.y"],
)
def test_text_without_secrets_is_unchanged(harmless: str):
    assert redacted(harmless, is_json=True) == redacted(harmless, is_json=False) == harmless


@pytest.mark.parametrize(
    "hostile",
    ["eyJ", "eyJhbGciOiJIUzI1NiJ9.", "mongodb://", "mongodb://\\", "a.", "Bearer ", "?token=", "-----", "ew0."],
)
def test_redaction_takes_linear_time(hostile: str):
    """Patterns that go back over what they read would take minutes here, a linear one takes milliseconds."""
    line = hostile * (1_000_000 // len(hostile))
    began = time.process_time()
    redacted(line, is_json=True)
    redacted(line, is_json=False)
    assert time.process_time() - began < 5
