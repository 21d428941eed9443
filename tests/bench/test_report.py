"""How figures become a report, and when a run is void."""

from __future__ import annotations

import math

import pytest

from bench.generator import MOST_GENERATOR, Result
from bench.report import Column, Report, Target, ratio


def report(*targets: Target) -> Report:
    return Report("Title", "How it was got.", [Column("us", "µs", 1), Column("n", "n", 0)], targets)


def result(**raw) -> Result:
    return Result(
        {"accepted": 100, "errors": 0, "unsent": 0, "refused": {}, "generator_share": 0.1, "others_share": 0.0} | raw
    )


def test_report_cell_is_median_and_range():
    found = report()
    for value in (3.0, 1.0, 2.0, math.nan):
        found.add("row", us=value)
    found.add("row", n=1000.0)
    assert "| row | 2.0 (1.0–3.0) | 1,000 |" in found.markdown()
    assert found.median("row", "us") == 2.0


def test_report_marks_what_was_not_measured():
    found = report(Target("at most 1", "row", "us", 1.0))
    found.add("row")
    assert "| row | – | – |" in found.markdown()
    assert "at most 1: **not measured**" in found.markdown()


@pytest.mark.parametrize(("least", "verdict"), [(False, "not reached"), (True, "reached")])
def test_report_target_is_judged_by_the_median(least, verdict):
    found = report(Target("bound", "row", "us", 2.0, least))
    for value in (1.0, 3.0, 9.0):
        found.add("row", us=value)
    assert f"bound: 3.0, **{verdict}**" in found.markdown()


def test_report_voids_a_run_with_a_busy_generator():
    found = report()
    assert found.saw(result())
    assert not found.saw(result(), result(generator_share=MOST_GENERATOR + 0.01))
    assert (found.runs, found.void) == (3, 1)
    assert "3 runs, 1 of them void" in found.markdown()


def test_report_notes_refused_requests():
    found = report()
    found.saw(result(refused={"503": 4}))
    assert "- a peer did not accept everything: 4 answers 503" in found.markdown()


def test_report_lists_failures():
    assert result().failures == ""
    text = result(refused={"429": 2}, errors=1, last_error="EOF", unsent=3).failures
    assert text == "2 answers 429, 1 errors, such as EOF, 3 requests were never sent, it was so far behind"


def test_report_cpu_is_per_accepted_request():
    found = result(accepted=200, cpu_seconds={"server": 0.02, "mongod": 0.01})
    assert found.cpu_us == pytest.approx(150)
    assert found.group_cpu_us("mongod") == pytest.approx(50)


def test_report_ratio_to_zero_is_not_a_number():
    assert ratio(6, 3) == 2
    assert math.isnan(ratio(1, 0))
