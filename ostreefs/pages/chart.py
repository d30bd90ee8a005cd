# SPDX-License-Identifier: LGPL-2.1-or-later
"""A chart of numbers over builds: where its line and bars are. Pure.

The coordinates are those of an SVG that is stretched to the room that there is: from 0 to `WIDTH`
across, from 0 to `HEIGHT` down. What is written at the axes stands beside it, in percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs.text import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 1000.0
HEIGHT = 100.0
_TICKS = 4
_LEAST = 0.6
"""The least height of a bar for what is not nothing."""


class Tick(NamedTuple):
    """Something written at an axis, and where, in percent from the top or the left."""

    label: str
    at: float


class Curve(NamedTuple):
    """Sizes as the path of a line, and of the area below it; `aside` has those of other lines."""

    line: str
    area: str
    aside: str
    ticks: list[Tick]


class Bar(NamedTuple):
    """What came and what went in a build, as bars up and down from the middle."""

    x: float
    width: float
    up: float
    down: float


def column(index: int, count: int) -> tuple[float, float]:
    """Where the column of a build begins, and its width."""
    width = WIDTH / max(count, 1)
    return round(index * width, 2), round(width, 2)


def draw_sizes(sizes: Sequence[int], is_main: Sequence[bool]) -> Curve:
    """A line through the middle of the main columns, a dash in each of the others.

    The axis begins at 0 unless all sizes are far away from it.
    """
    low, high, ticks = find_ticks(min(sizes, default=0), max(sizes, default=0))
    points: list[str] = []
    dashes: list[str] = []
    for index, (size, main) in enumerate(zip(sizes, is_main, strict=True)):
        x, width = column(index, len(sizes))
        y = HEIGHT - (size - low) / (high - low) * HEIGHT
        if main:
            points.append(f"{x + width / 2:.2f} {y:.2f}")
        else:
            dashes.append(f"M{x + width / 4:.2f} {y:.2f}h{width / 2:.2f}")
    if len(points) == 1:
        y_alone = points[0].split()[1]
        points = [f"0 {y_alone}", f"{WIDTH:.0f} {y_alone}"]
    line = "M" + "L".join(points) if points else ""
    first, last = (points[end].split()[0] for end in (0, -1)) if points else ("0", "0")
    area = f"{line}L{last} {HEIGHT:.0f}L{first} {HEIGHT:.0f}Z" if points else ""
    marks = [Tick(format_size(tick), 100 - (tick - low) / (high - low) * 100) for tick in ticks]
    return Curve(line, area, "".join(dashes), marks)


def find_ticks(low: int, high: int) -> tuple[int, int, list[int]]:
    """Where an axis of bytes begins and ends, and which numbers stand at it: round ones."""
    if low < high - low or low == high:
        low = 0
    step = _round_up((high - low) / _TICKS, high)
    begin = low // step * step
    end = -(-high // step) * step or step
    return begin, end, list(range(begin, end + 1, step))


def _round_up(least: float, largest: int) -> int:
    """A step that is round in the unit that the largest number is written in."""
    unit = 1
    while largest >= unit * 1024:
        unit *= 1024
    tenth = unit / 10 if unit > 1 else 1.0
    power = 1.0
    while True:
        for factor in (1, 2, 5):
            if factor * power * tenth >= least:
                return max(int(factor * power * tenth), 1)
        power *= 10


def draw_changes(changes: Sequence[tuple[int, int] | None]) -> list[Bar]:
    """A bar for each build; None for one that is compared with nothing, which has none."""
    most = max((max(change) for change in changes if change is not None), default=0) or 1
    bars = []
    for index, change in enumerate(changes):
        x, width = column(index, len(changes))
        gap = min(width * 0.25, 4.0)
        came, went = change or (0, 0)
        bars.append(Bar(x + gap / 2, width - gap, _height(came, most), _height(went, most)))
    return bars


def _height(size: int, most: int) -> float:
    return round(max(size / most * HEIGHT / 2, _LEAST), 2) if size else 0.0
