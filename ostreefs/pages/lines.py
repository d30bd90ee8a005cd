# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lines of history beside the rows of a page, as SVG paths. Pure.

Each row has a picture of a fixed height, in which the lines come in at the top, pass the commit,
and change their lanes; below it they run straight down for as long as the row is high.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.comparing.lanes import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs_store.comparing.lanes import Key

HEIGHT = 48
MIDDLE = 20
"""Where the commit is."""

_PITCH = 16.0
_ROOM = 160.0
"""The lanes come closer together when they would take more."""

COLOURS = 6


class Stroke(NamedTuple):
    """A path, and the number of its colour."""

    path: str
    colour: int


class Picture(NamedTuple):
    """What is drawn beside a commit: its place, the lines, and where they run on below."""

    x: float
    colour: int
    is_merge: bool
    strokes: list[Stroke]
    tails: list[tuple[float, int]]

    @property
    def is_straight(self) -> bool:
        """Whether no line begins, ends or changes its lane here."""
        coming = sum(" 0V" in stroke.path for stroke in self.strokes)
        return coming == len(self.tails) and not any("C" in each.path for each in self.strokes)


def draw_lines(
    commits: Sequence[tuple[Key, Sequence[Key]]],
) -> tuple[float, list[Picture]]:
    """The width that the lines need, and the picture of each commit."""
    rows = list(lay_out(commits))
    lanes = max((max(row.width, row.next_width) for row in rows), default=1)
    pitch = min(_PITCH, _ROOM / lanes)
    pictures = []
    coming: tuple[int, ...] = ()
    for row in rows:
        numbers = [*coming, row.line] if row.is_tip else list(coming)
        strokes = [
            Stroke(f"M{_x(lane, pitch)} 0V{MIDDLE}", number % COLOURS)
            for lane, number in enumerate(numbers)
            if not (row.is_tip and lane == row.lane)
        ]
        strokes += [
            Stroke(_curve(_x(start, pitch), _x(end, pitch)), row.lines[end] % COLOURS)
            for start, end in row.edges()
        ]
        tails = [(_x(lane, pitch), number % COLOURS) for lane, number in enumerate(row.lines)]
        is_merge = len(row.parents) > 1
        pictures.append(Picture(_x(row.lane, pitch), row.line % COLOURS, is_merge, strokes, tails))
        coming = row.lines
    return round(lanes * pitch, 2), pictures


def _x(lane: int, pitch: float) -> float:
    return round((lane + 0.5) * pitch, 2)


def _curve(start: float, end: float) -> str:
    if start == end:
        return f"M{start} {MIDDLE}V{HEIGHT}"
    middle = (MIDDLE + HEIGHT) / 2
    return f"M{start} {MIDDLE}C{start} {middle} {end} {middle} {end} {HEIGHT}"
