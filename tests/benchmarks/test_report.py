# SPDX-License-Identifier: LGPL-2.1-or-later
from __future__ import annotations

import json

import pytest

from benchmarks.model import Bar, Comparison, Conditions, Failure, Outcome, Sample, Series, judge
from benchmarks.report import (
    Report,
    format_bar,
    format_markdown,
    format_met,
    format_ratio,
    format_series,
    format_text,
    format_value,
    to_json,
)


def series(subject: str, *values: float, unit: str = "s") -> Series:
    return Series(subject, tuple(Sample(value) for value in values), unit)


def outcome(comparison: Comparison, *found: Series, failures: tuple[Failure, ...] = ()) -> Outcome:
    return Outcome("name", found, failures, (comparison,))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00855, "s", "8.55 ms"),
        (0.0999, "s", "99.9 ms"),
        (0.17, "s", "170 ms"),
        (1.0, "s", "1.00 s"),
        (12.345, "s", "12.35 s"),
        (123.4, "s", "123 s"),
        (27.64, "MB", "27.6 MB"),
    ],
)
def test_value_has_three_digits_and_its_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((2.0,), "2.00 s"),
        ((3.0, 1.0, 2.0), "2.00 s (1.00-3.00 s)"),
        ((0.5, 1.5, 2.5), "1.50 s (500 ms-2.50 s)"),
    ],
)
def test_series_shows_median_and_spread(values: tuple[float, ...], text: str) -> None:
    assert format_series(series("a", *values)) == text


@pytest.mark.parametrize(
    ("bar", "ours", "peer", "met"),
    [
        (Bar.faster(2.5), 2.0, 5.0, True),
        (Bar.faster(2.5), 2.1, 5.0, False),
        (Bar.at_most(0.6), 3.0, 5.0, True),
        (Bar.at_most(0.6), 3.1, 5.0, False),
        (Bar.below(80), 79.9, 1.0, True),
        (Bar.below(80), 80.0, 1.0, False),
        (None, 3.0, 5.0, None),
    ],
)
def test_bar_is_met_up_to_its_factor(
    bar: Bar | None, ours: float, peer: float, met: bool | None
) -> None:
    comparison = Comparison("work", "ours", "peer", bar)
    row = judge(comparison, outcome(comparison, series("ours", ours), series("peer", peer)))
    assert row.met is met


def test_ratio_is_taken_per_repetition_not_between_medians() -> None:
    comparison = Comparison("work", "ours", "peer", Bar.at_most(1))
    ours, peer = series("ours", 1.0, 4.0, 30.0), series("peer", 2.0, 40.0, 10.0)
    ratio = judge(comparison, outcome(comparison, ours, peer)).ratio
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.1, 3.0)


def test_bar_without_peer_is_on_the_value_itself() -> None:
    comparison = Comparison("memory", "ours", None, Bar.below(80))
    row = judge(comparison, outcome(comparison, series("ours", 45.0, unit="MB")))
    assert (row.met, row.ratio, format_ratio(row)) == (True, None, "-")


@pytest.mark.parametrize(
    ("bar", "unit", "text"),
    [
        (None, "s", "-"),
        (Bar.faster(2.5), "s", ">= 2.5x as fast"),
        (Bar.at_most(1), "s", "<= 1x the peer"),
        (Bar.below(80), "MB", "< 80 MB"),
    ],
)
def test_bar_in_words(bar: Bar | None, unit: str, text: str) -> None:
    assert format_bar(bar, unit) == text


def test_ratio_is_worded_like_its_bar() -> None:
    found = (series("ours", 1.0), series("peer", 4.0))
    faster = Comparison("work", "ours", "peer", Bar.faster(2))
    at_most = Comparison("work", "ours", "peer", Bar.at_most(2))
    assert format_ratio(judge(faster, outcome(faster, *found))) == "4.00x as fast"
    assert format_ratio(judge(at_most, outcome(at_most, *found))) == "0.25x the peer"


def test_failed_subject_makes_its_row_not_run_and_keeps_the_peer() -> None:
    comparison = Comparison("work", "ours", "peer", Bar.faster(2))
    failures = (Failure("ours", "it broke"),)
    row = judge(comparison, outcome(comparison, series("peer", 4.0), failures=failures))
    assert (row.met, row.problem, format_met(row)) == (None, "ours: it broke", "could not run")
    assert row.peer is not None


def test_unmeasured_subject_never_counts_as_met() -> None:
    comparison = Comparison("work", "ours", "peer", Bar.faster(2))
    row = judge(comparison, outcome(comparison, series("peer", 4.0)))
    assert (row.met, format_met(row)) == (None, "could not run")


def test_unmeasured_peer_is_a_row_that_could_not_run() -> None:
    comparison = Comparison("work", "ours", "peer", Bar.faster(2))
    row = judge(comparison, outcome(comparison, series("ours", 4.0)))
    assert (row.met, format_met(row)) == (None, "could not run")


def report() -> Report:
    met = Comparison("work | one", "ours", "peer", Bar.faster(2))
    missed = Comparison("work two", "ours", "peer", Bar.at_most(0.1))
    broken = Comparison("work three", "broken", "peer")
    found = (series("ours", 1.0, 1.0), series("peer", 4.0, 4.0))
    result = Outcome("name", found, (Failure("broken", "why"),), (met, missed, broken))
    return Report(Conditions({"tree": {"path": "/tree", "files": 48000}}), [result])


def test_text_has_conditions_rows_verdict_and_problems() -> None:
    lines = format_text(report()).splitlines()
    assert lines[0] == "tree: path /tree, files 48,000"
    assert lines[2].split() == ["work", "ours", "peer", "ratio", "bar", "met"]
    assert [line.rsplit("  ", 1)[-1] for line in lines[3:6]] == ["yes", "NO", "could not run"]
    assert lines[7] == "Bars met: 1; missed: 1; rows that could not run: 1."
    assert lines[-1] == "could not run: name: broken: why"


def test_markdown_escapes_cells_and_starts_with_the_licence() -> None:
    text = format_markdown(report())
    assert text.startswith("<!-- SPDX-License-Identifier: ")
    assert "| work \\| one | 1.00 s (1.00-1.00 s) | peer: 4.00 s (4.00-4.00 s) | 4.00x" in text
    assert "| name | ours | 1.00 s (1.00-1.00 s) | 0 ms | 0 ms | 2 |" in text


def test_json_holds_every_value_and_ratios_as_ours_over_peer() -> None:
    data = json.loads(json.dumps(to_json(report())))
    assert data["tree"]["files"] == 48000
    assert [row["met"] for row in data["rows"]] == [True, False, None]
    assert data["rows"][0]["ratio"] == {"median": 0.25, "min": 0.25, "max": 0.25}
    assert [one["values"] for one in data["series"]] == [[1.0, 1.0], [4.0, 4.0]]
    assert data["failures"] == [{"benchmark": "name", "subject": "broken", "reason": "why"}]
