"""Log lines: one object or line each, whatever is in them; no token and no password in any."""

import io
import json
import logging
import subprocess
import sys
import time
import warnings
from contextvars import copy_context
from datetime import datetime
from pathlib import Path

import pytest

from leaderboard_logs import formatters, setup
from tests.support.project import ROOT
from tornado_app.config import Config
from tornado_app.observability import logs

log = logging.getLogger("leaderboard.test")

pytestmark = pytest.mark.usefixtures("logging_as_before")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    written = stream.getvalue()
    assert written.endswith("\n")
    assert len(written.splitlines()) == written.count("\n"), "a value broke the line"
    return [json.loads(line) for line in written.splitlines()]


def test_json_line_is_one_object_with_its_extra_fields(stream):
    before = time.time()
    log.warning("accepted %d", 5, extra={"player": "alice", "points": 5, "ok": True, "gone": None, "ratio": 0.5})
    (line,) = lines(stream)
    at = line.pop("ts")
    assert datetime.fromisoformat(at).timestamp() == pytest.approx(before, abs=5)
    assert at.endswith("Z")
    assert len(at) == len("2026-01-02T03:04:05.678Z")
    assert line == {
        "level": "warning", "logger": "leaderboard.test", "message": "accepted 5",
        "player": "alice", "points": 5, "ok": True, "gone": None, "ratio": 0.5,
    }  # fmt: skip


def test_json_exception_is_one_field(stream):
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("it failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize(
    "evil", ['a\n{"level":"info"}', "a\r\nb", "\x1b[2J", "\x00", "\x7f", "\x85", "\u2028\u2029", "\u202e"]
)
def test_json_values_cannot_forge_a_line_and_are_unchanged(stream, evil: str):
    log.info(evil, extra={"name_": evil, evil: 1})
    (line,) = lines(stream)
    assert line["message"] == line["name_"] == evil
    assert line[evil] == 1
    raw = stream.getvalue().removesuffix("\n")
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e" for c in raw)


def test_json_converts_values_without_a_json_type(stream):
    loop: list[object] = []
    loop.append(loop)
    log.info(
        "half \ud800",
        extra={"half": "\udfff", "path": Path("/a"), "big": 2**70, "loop": loop, "set": {1}, "keys": {(1, 2): "x"}},
    )
    log.info("nan", extra={"nan": float("nan")})
    first, second = lines(stream)
    assert first["message"] == "half \\ud800"
    assert (first["half"], first["path"], first["big"]) == ("\\udfff", "/a", str(2**70))
    assert (first["set"], first["keys"]) == ([1], {"(1, 2)": "x"})
    assert second["nan"] is None


def test_json_hides_the_attributes_of_objects(stream):
    log.info("started", extra={"config": Config(jwt_key="hunter22hunter22")})
    assert "hunter22" not in stream.getvalue()


def test_json_extra_fields_do_not_replace_standard_fields(stream):
    log.info("real", extra={"level": "error", "ts": "never", "logger": "x"})
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["message"]) == ("info", "leaderboard.test", "real")
    assert (line["level_"], line["ts_"]) == ("error", "never")


def test_request_id_is_in_its_own_lines_only(stream):
    def handle() -> None:
        logs.request_id.set("r-1")
        log.info("inside")

    copy_context().run(handle)
    log.info("outside")
    inside, outside = lines(stream)
    assert inside["request_id"] == "r-1"
    assert "request_id" not in outside


def test_access_log_lines_follow_level_and_switch():
    access = logging.getLogger(logs.ACCESS)
    for level, wanted, expected in (
        ("info", False, ["failed"]),
        ("info", True, ["answered", "failed"]),
        ("debug", False, ["answered", "failed"]),
        ("warning", True, ["failed"]),
        ("error", True, []),
    ):
        stream = io.StringIO()
        logs.configure(level, "json", stream, access=wanted)
        access.info("answered")
        access.warning("failed")
        assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == expected


def test_libraries_log_from_info_and_the_service_from_its_level(stream):
    logging.getLogger("pymongo.command").debug("every command")
    logging.getLogger("tornado.application").error("oh")
    log.debug("detail")
    assert [line["logger"] for line in lines(stream)] == ["tornado.application", "leaderboard.test"]
    quiet = io.StringIO()
    logs.configure("error", "json", quiet)
    logging.getLogger("tornado.general").warning("x")
    log.warning("x")
    assert not quiet.getvalue()


def test_configuring_again_replaces_the_handler_and_keeps_others(stream):
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    second = io.StringIO()
    logs.configure("info", "json", second)
    log.info("once")
    assert not stream.getvalue()
    assert len(lines(second)) == 1
    assert other in logging.getLogger().handlers


def test_warnings_are_logged(stream):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", "json", stream)
        warnings.warn("old\nway", stacklevel=1)
    assert lines(stream)[-1]["logger"] == "py.warnings"


def test_line_that_cannot_be_formatted_is_reported_without_its_values(stream):
    # Not by the logger: pytest has handlers of its own there, which raise.
    (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, setup._Handler)]
    handler.handle(log.makeRecord(log.name, logging.INFO, __file__, 1, "%d points", ("hunter22",), None))
    assert "hunter22" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["message"] == "a log line could not be written"
    assert line["fault"] == "TypeError"
    assert line["place"].startswith("test_logs.py:")
    assert line["logger"] == "leaderboard.test"


def test_closed_log_stream_does_not_stop_the_service(stream):
    stream.close()
    log.info("into the void")


# -- text --------------------------------------------------------------------------------------------


def test_text_line_has_time_level_logger_and_message(text):
    log.info("accepted", extra={"player": "alice", "name_": "Zoë B", "empty": "", "points": 5, "eq": "a=b"})
    line = text.getvalue()
    assert line[24:] == ' INFO    test: accepted  player=alice  name_="Zoë B"  empty=""  points=5  eq="a=b"\n'


ANSWERED = {
    "event": "request", "method": "GET", "route": "/api/top-scores", "path": "/api/top\x1b-scores", "status": 200,
    "bytes": 17, "remote": "127.0.0.1", "seconds": 0.000213,
}  # fmt: skip


def test_text_line_of_a_request_is_short(text):
    def handle():
        logs.request_id.set("r-1")
        access = logging.getLogger(logs.ACCESS)
        access.setLevel(logging.INFO)
        access.info("request", extra=ANSWERED)
        access.warning("request", extra={**ANSWERED, "status": 503, "held_back": 3})

    copy_context().run(handle)
    info, warning = text.getvalue().splitlines()
    assert info[24:] == r" INFO    access: GET /api/top\x1b-scores 200 17 B 0.2 ms"
    assert warning[24:] == (r" WARNING access: GET /api/top\x1b-scores 503 17 B 0.2 ms  held_back=3  request_id=r-1")


def test_text_has_colours_on_a_terminal_only_and_not_with_no_color():
    terminal, plain, unwanted = Terminal(), io.StringIO(), Terminal()
    for stream, form, color in ((terminal, "auto", True), (plain, "text", True), (unwanted, "auto", False)):
        logs.configure("info", form, stream, color=color)
        log.error("x")
    assert "\x1b[31mERROR  \x1b[0m" in terminal.getvalue()
    assert "\x1b" not in plain.getvalue() + unwanted.getvalue()


def test_auto_format_is_json_without_a_terminal():
    stream = io.StringIO()
    logs.configure("info", "auto", stream)
    log.info("x")
    assert lines(stream)[0]["message"] == "x"


@pytest.mark.parametrize("evil", ["a\nINFO b", "\x1b[2J", "\r", "\x9b1m", "\u202eabc", "\u2028", "\ud800"])
def test_text_escapes_control_characters(text, evil: str):
    log.info(evil, extra={"v": evil, evil: 1})
    (line,) = text.getvalue().splitlines()
    assert formatters._UNSAFE.search(line) is None


def test_text_traceback_is_indented(text):
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z ERROR forged: \x1b[2J")
    except ValueError:
        log.exception("failed")
    first, *rest = text.getvalue().splitlines()
    assert first.endswith("test: failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in text.getvalue()


def test_logs_go_to_stderr_by_default():
    code = "import logging, tornado_app.observability.logs as l; l.configure(); logging.getLogger('x').info('hi')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert not done.stdout
    assert json.loads(done.stderr)["message"] == "hi"


def test_lines_have_their_process_with_several_processes(logging_as_before):
    for form, expected in (("json", '"process":4711'), ("text", " [4711] somewhere: hello")):
        stream = io.StringIO()
        logs.configure("info", form, stream, process=4711)
        logging.getLogger("leaderboard.somewhere").info("hello")
        assert expected in stream.getvalue()
