"""Names of any script in the cells of a terminal, and none that does harm there."""

from __future__ import annotations

import pytest

from tornado_app.watch.cells import clean, fit, width


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("Zoë", 3), ("Zoe\u0308", 3), ("さくら", 6), ("김민준", 6), ("עברית", 5), ("🦊", 2), ("🇧🇷 T", 4),
        ("🏄🏽\u200d♂️", 2), ("❄️", 2), ("👩\u200d👩\u200d👧\u200d👦", 2), ("王!", 3), ("", 0),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", 2),
        ("ｱ", 1), ("é́́", 1),
    ],
)  # fmt: skip
def test_a_text_takes_the_cells_that_terminals_give_it(text, cells):
    assert width(text) == cells


def test_a_cut_text_never_splits_a_sign_nor_misses_its_width():
    name = "日本 e\u0301🏄🏽\u200d♂️語"
    for cells in range(1, 14):
        assert width(fit(name, cells)) == cells
    assert fit(name, 4) == "日… "


BESIDE = [("Noor נ", True), ("نور", True), ("٣٤", True), ("۳۴", False), ("Zoë", False)]


@pytest.mark.parametrize(("name", "isolated"), BESIDE)
def test_a_name_does_not_reorder_the_score_behind_it(name, isolated):
    """Arabic-Indic digits (AN) pull other digits along as letters do; Persian ones are as European digits (EN)."""
    assert (fit(name, 8).rstrip() == f"{name}\u200e") is isolated
    assert width(fit(name, 8)) == 8


def test_a_name_cannot_move_the_cursor_end_the_line_or_turn_the_direction():
    nasty = "a\x1b[2J\x07\r\n\tb\x9b1m\u202ec\u2066d\u2028e\ufeff\u200ff"
    cleaned = clean(nasty)
    assert cleaned == "a\ufffd[2J\ufffd\ufffd\ufffd\ufffdb\ufffd1mcd\ufffdef"
    assert cleaned.isprintable() or "\ufffd" in cleaned
    assert clean("نیم‌فاصله") == "نیم‌فاصله"  # a Persian name keeps its joiner


def test_marks_do_not_climb_out_of_their_row():
    assert len(fit("e" + "\u0301" * 60, 40)) < 60
