"""Names of any script are kept, and none of them does harm on a terminal."""

from __future__ import annotations

from tornado_app.watch.text import MAX_MARKS, printable


def test_a_name_cannot_move_the_cursor_end_the_line_or_change_the_direction():
    nasty = "a\x1b[2J\x07\r\n\tb\x9b1m\u202ec\u2066d\u2028e\ufeff\u200ff"
    cleaned = printable(nasty)
    assert cleaned == "a\ufffd[2J\ufffd\ufffd\ufffd\ufffdb\ufffd1mcd\ufffdef"
    assert cleaned.isprintable() or "\ufffd" in cleaned


def test_names_of_any_script_stay_as_they_are():
    for name in (
        "Zoë",
        "نیم‌فاصله",
        "🏄🏽\u200d♂️ Kai",
        "अनन्या शर्मा",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "김민준",
    ):
        assert printable(name) == name


def test_marks_above_the_limit_are_removed():
    assert printable("e" + "\u0301" * 60 + "o\u0301") == "e" + "\u0301" * MAX_MARKS + "o\u0301"
