# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bisection drawn as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.bisecttext import find_word
from ostreefs.cli.buildtext import draw_beside
from ostreefs.cli.output import one_line
from ostreefs.cli.terminal import GREEN, RED, YELLOW

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ostreefs.bisect.report import BisectionReport
    from ostreefs.cli.terminal import Terminal

_SHORT = 12
_COLOURS = {"good": GREEN, "bad": RED, "skipped": YELLOW}


def format_graph(report: BisectionReport, terminal: Terminal) -> Iterator[str]:
    """The commits that are left and those that were judged, with lines that pass over others."""
    by_id = {each.commit: each for each in report.candidates}
    shown = [each for each in report.candidates if each.is_left or each.step is not None]
    width = max((len(find_word(each, report)) for each in shown), default=0)

    def tell(commit: str, used: int) -> str:
        candidate = by_id[commit]
        word = terminal.fit(f"{find_word(candidate, report):<{width}}", used)
        short = terminal.fit(f"  {commit[:_SHORT]}", used + width)
        told = f"  {one_line(candidate.subject)}".rstrip()
        subject = terminal.fit(told, used + width + len(short))
        colour = _COLOURS.get(candidate.shared_verdict or candidate.verdict, "")
        return terminal.paint(word, colour) + terminal.paint(short, YELLOW) + subject

    parents = skip_hidden(
        {each.commit: each.parents for each in report.candidates},
        {each.commit for each in shown},
    )
    return draw_beside([(each.commit, parents[each.commit]) for each in shown], tell, terminal)


def skip_hidden(
    parents: dict[str, tuple[str, ...]], shown: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """For each commit the nearest ancestors that are shown; children come before their parents."""
    found: dict[str, tuple[str, ...]] = {}
    for commit in reversed(parents):
        nearest = dict.fromkeys(
            each
            for parent in parents[commit]
            for each in ([parent] if parent in shown else found.get(parent, ()))
        )
        found[commit] = tuple(nearest)
    return found
