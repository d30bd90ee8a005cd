# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds as lines of text: a table, or a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.graph import cut, draw
from ostreefs.cli.output import one_line
from ostreefs.cli.terminal import GREEN, LINES, YELLOW, count_columns
from ostreefs.text import format_counts, format_growth, format_size, format_time
from ostreefs_store.comparing.lanes import lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ostreefs.cli.graph import Line
    from ostreefs.cli.terminal import Terminal
    from ostreefs_store.comparing.ancestry import Ancestor
    from ostreefs_store.comparing.builds import Build, History, Names
    from ostreefs_store.comparing.lanes import Key
    from ostreefs_store.model import Digest

_SHORT = 12
_TITLES = ("COMMIT", "DATE", "VERSION", "SIZE", "GROWTH", "FILES", "PACKAGES")
_NUMBERS = {"SIZE", "GROWTH"}
_VERSION_MAX = 20
_SUBJECT_MIN = 20
_DISPENSABLE = ("PACKAGES", "VERSION", "FILES", "GROWTH", "DATE")
"""Columns that give way to the subject on a narrow terminal, in this order."""


# ---- the table ----


def format_table(history: History, terminal: Terminal) -> Iterator[str]:
    """A line for each build below a heading; columns in which nothing stands are left out."""
    if not history.builds:
        return
    rows = [_TITLES, *(_format_cells(build, history) for build in history.builds)]
    widths = {
        column: max(count_columns(row[column]) for row in rows)
        for column in range(len(_TITLES))
        if any(row[column] for row in rows[1:])
    }
    columns = _choose_columns(widths, terminal)
    for number, row in enumerate(rows):
        cells = [_justify(row[c], widths[c], right=_TITLES[c] in _NUMBERS) for c in columns]
        if not number:
            yield terminal.fit("  ".join([*cells, "SUBJECT"]), 0)
            continue
        build = history.builds[number - 1]
        short = terminal.fit(cells[0], 0)
        rest = terminal.fit("".join(f"  {cell}" for cell in cells[1:]), len(short))
        used = len(short) + count_columns(rest)
        told = _format_told(build.ancestor, history.names, terminal, used + 1, build.base)
        yield f"{terminal.paint(short, YELLOW)}{rest} {told}".rstrip()


def _choose_columns(widths: Mapping[int, int], terminal: Terminal) -> list[int]:
    """The columns for which there is room."""
    chosen = dict(widths)
    for title in _DISPENSABLE:
        needed = sum(width + 2 for width in chosen.values()) + _SUBJECT_MIN
        if terminal.width is None or needed <= terminal.width:
            break
        chosen.pop(_TITLES.index(title), None)
    return list(chosen)


def _format_cells(build: Build, history: History) -> tuple[str, ...]:
    digest, commit, _ = build.ancestor
    stats = build.stats
    return (
        digest.hex()[:_SHORT],
        format_time(commit.timestamp)[:16],
        one_line(str(commit.metadata.get("version", "")))[:_VERSION_MAX],
        format_size(history.uses[digest].total.bytes),
        format_growth(stats.growth),
        format_counts(stats.added.files, stats.deleted.files, stats.modified.files),
        format_counts(*build.count_packages()),
    )


def _justify(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - count_columns(text))
    return blanks + text if right else text + blanks


# ---- the graph ----


def format_graph(ancestors: Sequence[Ancestor], names: Names, terminal: Terminal) -> Iterator[str]:
    """Commits as ``git log --graph --oneline --decorate`` shows them."""
    commits = {ancestor.digest: ancestor for ancestor in ancestors}

    def tell(digest: Digest, used: int) -> str:
        short = terminal.fit(digest.hex()[:_SHORT], used)
        told = _format_told(commits[digest], names, terminal, used + len(short))
        return f"{terminal.paint(short, YELLOW)}{told}"

    return draw_beside([(each.digest, each.parents) for each in ancestors], tell, terminal)


def draw_beside(
    commits: Iterable[tuple[Key, Sequence[Key]]],
    tell: Callable[[Key, int], str],
    terminal: Terminal,
) -> Iterator[str]:
    """Commits with their lines; `tell` is what to write of one behind so many columns."""
    for key, drawing in draw(lay_out(commits)):
        for line in drawing.above:
            yield _format_line(line, terminal)
        at = cut(drawing.at, _room(terminal, len(drawing.at)))
        yield f"{_format_line(at, terminal)}{tell(key, len(at))}"
        for line in drawing.below:
            yield _format_line(line, terminal)


def _room(terminal: Terminal, wanted: int) -> int:
    """Half of a terminal may be filled with lines."""
    return wanted if terminal.width is None else terminal.width // 2


def _format_line(line: Line, terminal: Terminal) -> str:
    return "".join(
        terminal.paint(character, LINES[number % len(LINES)]) if number >= 0 else character
        for character, number in cut(line, _room(terminal, len(line)))
    )


def _format_told(
    ancestor: Ancestor, names: Names, terminal: Terminal, used: int, base: Digest | None = None
) -> str:
    """The names and the subject of a commit, each behind a blank, as much as there is room for.

    A base with which it was compared stands beside the names.
    """
    known = ", ".join(
        [*names.get(ancestor.digest, ()), *([f"base: {base.hex()[:_SHORT]}"] if base else [])]
    )
    decoration = terminal.fit(f" ({known})" if known else "", used)
    subject = f" {one_line(ancestor.commit.subject) or '(no subject)'}"
    fitting = terminal.fit(subject, used + count_columns(decoration))
    return terminal.paint(decoration, GREEN) + fitting
