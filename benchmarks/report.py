# SPDX-License-Identifier: LGPL-2.1-or-later
"""Format judged rows: a table for a terminal, markdown for the docs, JSON for programs.

All of it is pure: it takes what was measured and gives text or plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.model import Bar, BarKind, Spread, judge_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.model import Conditions, Outcome, Row, Series

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Table: TypeAlias = "list[tuple[str, ...]]"

HEADER = ("work", "ours", "peer", "ratio", "bar", "met")
DETAIL_HEADER = ("benchmark", "subject", "median (min-max)", "user", "system", "runs")


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run has to say."""

    conditions: Conditions
    outcomes: list[Outcome]

    @property
    def rows(self) -> list[Row]:
        """The judged rows of every benchmark."""
        return judge_all(self.outcomes)


def format_value(value: float, unit: str) -> str:
    """A value with its unit and three significant digits."""
    if unit != "s":
        return f"{value:.1f} {unit}"
    if value < 1:
        return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def format_series(series: Series | None) -> str:
    """Median and, in brackets, smallest and largest."""
    if series is None:
        return "-"
    spread = Spread.of(series.values)
    middle = format_value(spread.median, series.unit)
    if len(series.samples) == 1:
        return middle
    low, high = (format_value(value, series.unit) for value in (spread.low, spread.high))
    low_number, low_unit = low.split(" ")
    shown_low = low_number if high.endswith(f" {low_unit}") else low
    return f"{middle} ({shown_low}-{high})"


def format_bar(bar: Bar | None, unit: str = "s") -> str:
    """A bar in words."""
    if bar is None:
        return "-"
    if bar.kind is BarKind.BELOW:
        return f"< {bar.factor:g} {unit}"
    if bar.kind is BarKind.FASTER:
        return f">= {bar.factor:g}x as fast"
    return f"<= {bar.factor:g}x the peer"


def format_ratio(row: Row) -> str:
    """The ratio in the direction in which the row's bar is worded."""
    if row.ratio is None:
        return "-"
    bar = row.comparison.bar
    if bar is not None and bar.kind is BarKind.FASTER:
        return f"{1 / row.ratio.median:.2f}x as fast"
    return f"{row.ratio.median:.2f}x the peer"


def format_met(row: Row) -> str:
    """Whether the bar was met: ``yes``, ``NO``, ``could not run``, or ``-`` without a bar."""
    if row.problem is not None:
        return "could not run"
    if row.met is None:
        return "-"
    return "yes" if row.met else "NO"


def table_of_rows(rows: Sequence[Row]) -> Table:
    """The results, one tuple of cells for each comparison."""
    return [
        (
            row.comparison.work,
            format_series(row.ours),
            _peer_cell(row),
            format_ratio(row),
            format_bar(row.comparison.bar, _unit(row)),
            format_met(row),
        )
        for row in rows
    ]


def table_of_details(outcomes: Sequence[Outcome]) -> Table:
    """Every series that was measured, with processor time."""
    return [
        (
            outcome.benchmark,
            series.subject,
            format_series(series),
            _processor(series, user=True),
            _processor(series, user=False),
            str(len(series.samples)),
        )
        for outcome in outcomes
        for series in outcome.series
    ]


def format_text(report: Report) -> str:
    """The whole report for a terminal."""
    parts = [
        *(f"{title}: {_facts(facts)}" for title, facts in report.conditions.groups.items()),
        "",
        _columns(HEADER, table_of_rows(report.rows)),
        "",
        _verdict(report.rows),
    ]
    problems = [f"could not run: {line}" for line in format_problems(report.outcomes)]
    return "\n".join([*parts, *([""] if problems else []), *problems, ""])


def format_markdown(report: Report) -> str:
    """The whole report as a markdown file with an SPDX line."""
    groups = (f"- {title}: {_facts(facts)}" for title, facts in report.conditions.groups.items())
    parts = [
        "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->",
        "<!-- Written by make bench; docs/benchmarks.md explains it. -->",
        "",
        "# Benchmark results",
        "",
        *groups,
        "",
        _markdown_table(HEADER, table_of_rows(report.rows)),
        "",
        _verdict(report.rows),
        "",
        "## Everything that was measured",
        "",
        _markdown_table(DETAIL_HEADER, table_of_details(report.outcomes)),
    ]
    problems = [f"- {line}" for line in format_problems(report.outcomes)]
    if problems:
        parts += ["", "## Could not run", "", *problems]
    return "\n".join([*parts, ""])


def format_problems(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each subject that could not be measured."""
    return [
        f"{outcome.benchmark}: {failure.subject}: {failure.reason}"
        for outcome in outcomes
        for failure in outcome.failures
    ]


def to_json(report: Report) -> Json:
    """The whole report as plain data; ratios are ours over peer whatever the bar's wording."""
    groups: dict[str, Json] = {
        title: dict(facts) for title, facts in report.conditions.groups.items()
    }
    return {
        "schema": 1,
        **groups,
        "rows": [_row_json(row) for row in report.rows],
        "series": [
            {"benchmark": outcome.benchmark, **_series_json(series)}
            for outcome in report.outcomes
            for series in outcome.series
        ],
        "failures": [
            {
                "benchmark": outcome.benchmark,
                "subject": failure.subject,
                "reason": failure.reason,
            }
            for outcome in report.outcomes
            for failure in outcome.failures
        ],
    }


def _row_json(row: Row) -> dict[str, Json]:
    bar = row.comparison.bar
    ratio = row.ratio
    return {
        "work": row.comparison.work,
        "ours": row.comparison.ours,
        "peer": row.comparison.peer,
        "ours_median": row.ours.median if row.ours else None,
        "peer_median": row.peer.median if row.peer else None,
        "unit": row.ours.unit if row.ours else None,
        "ratio": {"median": ratio.median, "min": ratio.low, "max": ratio.high} if ratio else None,
        "bar": {"kind": bar.kind.value, "factor": bar.factor} if bar else None,
        "met": row.met,
        "problem": row.problem,
    }


def _series_json(series: Series) -> dict[str, Json]:
    return {
        "subject": series.subject,
        "unit": series.unit,
        "median": series.median,
        "values": list(series.values),
        "user": [sample.user for sample in series.samples],
        "system": [sample.system for sample in series.samples],
    }


def _unit(row: Row) -> str:
    series = row.ours or row.peer
    return series.unit if series else "s"


def _peer_cell(row: Row) -> str:
    if row.comparison.peer is None:
        return "-"
    return f"{row.comparison.peer}: {format_series(row.peer)}"


def _processor(series: Series, *, user: bool) -> str:
    if series.unit != "s":
        return "-"
    used = tuple(sample.user if user else sample.system for sample in series.samples)
    return format_value(Spread.of(used).median, "s")


def _facts(facts: dict[str, str | int]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in facts.items()
    )


def _verdict(rows: Sequence[Row]) -> str:
    met = sum(row.met is True for row in rows)
    missed = sum(row.met is False for row in rows)
    failed = sum(row.problem is not None for row in rows)
    return f"Bars met: {met}; missed: {missed}; rows that could not run: {failed}."


def _columns(header: tuple[str, ...], table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(header, *table, strict=True)]
    return _lines([header, *table], lambda cell, at: cell.ljust(widths[at]), "  ")


def _markdown_table(header: tuple[str, ...], table: Table) -> str:
    rule = tuple("---" for _ in header)
    body = _lines([header, rule, *table], lambda cell, _: cell.replace("|", "\\|"), " | ")
    return "\n".join(f"| {line} |" for line in body.splitlines())


def _lines(table: Table, cell: Callable[[str, int], str], between: str) -> str:
    return "\n".join(
        between.join(cell(text, at) for at, text in enumerate(row)).rstrip() for row in table
    )
