# SPDX-License-Identifier: LGPL-2.1-or-later
r"""A history as lines of text beside its commits, as ``git log --graph`` draws them. Pure.

What is drawn is the layout of `ostreefs_store.comparing.lanes`, two columns a lane. Between two
rows, first the lines to all parents fan out, each into a lane of its own, and then those that lead
to the same commit come together, one after another::

    *   a merge
    |\
    | * what was merged
    |/
    * where it began
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ostreefs_store.comparing.lanes import Key, Row

Cell = tuple[str, int]
"""A character, and the number of the line that it is part of; a blank is of none."""

Line = list[Cell]

_BLANK: Cell = (" ", -1)
_CUT: Cell = ("~", -1)


class Drawing(NamedTuple):
    """The lines above a commit that make room for it, its own one, and those below it."""

    above: list[Line]
    at: Line
    below: list[Line]


def draw(rows: Iterable[Row[Key]]) -> Iterator[tuple[Key, Drawing]]:
    """Every commit with what is drawn beside it and around it."""
    coming: tuple[int, ...] = ()
    for row in rows:
        yield row.key, _draw_row(row, [*coming, row.line] if row.is_tip else list(coming))
        coming = row.lines


def cut(line: Line, width: int) -> Line:
    """The line, or as much of it as fits, and a mark."""
    return line if len(line) <= width else [*line[: max(width - 1, 0)], _CUT]


def pad(line: Line, width: int) -> Line:
    """The line with blanks behind it."""
    return line + [_BLANK] * (width - len(line))


def _draw_row(row: Row[Key], lines: list[int]) -> Drawing:
    lane = row.lane
    dashes = max(len(row.parents) - 2, 0)
    left, right = lines[:lane], lines[lane + 1 :]
    above = []
    for step in range(dashes if right else 0):
        above.append(_bars([*left, row.line]))
        _put_all(above[-1], "\\", 2 * (lane + 1 + step) + 1, right)
    at = _bars(left)
    _put(at, 2 * lane, ("*", row.line))
    for column in range(2 * lane + 1, 2 * (lane + dashes)):
        _put(at, column, ("-", row.line))
    if dashes:
        _put(at, 2 * (lane + dashes), (".", row.line))
    _put_all(at, "|", 2 * (lane + dashes + 1), right)
    fan, leading = _join_at_once(row, left, right) or _fan_out(row, left, right)
    width = 2 * max(len(leading), row.width + dashes)
    return Drawing(above, pad(at, width), [*fan, *_gather(leading, row.lines)])


Step = tuple[list[Line], list["int | None"]]
"""Lines that are drawn, and where each lane leads below them; None for one that ends."""


def _fan_out(row: Row[Key], left: list[int], right: list[int]) -> Step:
    """Give the line to each parent a lane of its own."""
    before, after = row.through[: row.lane], row.through[row.lane :]
    leading: list[int | None] = [*before, *row.parents, *after]
    if not row.parents:
        return [], [*before, None, *after]
    if len(row.parents) == 1:
        return [], leading
    line = _bars([*left, row.lines[row.parents[0]]])
    others = [row.lines[to] for to in row.parents[1:]]
    _put_all(line, "\\", 2 * row.lane + 1, [*others, *right])
    return [line], leading


def _join_at_once(row: Row[Key], left: list[int], right: list[int]) -> Step | None:
    """Of a merge, where another lane leads to one of its parents already: join that.

    For the first parent that is a lane on the left, for the second one the next on the right.
    """
    if len(row.parents) != 2:
        return None
    lane, (first, second) = row.lane, row.parents
    before, after = row.through[:lane], row.through[lane:]
    if first in before:
        line = _bars([*left, row.lines[second], *right])
        leading: list[int | None] = [*before, second, *after]
        return _reach_left(line, lane, first, leading, row.lines), leading
    if after[:1] == (second,):
        line = _bars([*left, row.lines[first], *right])
        _put(line, 2 * lane + 1, ("\\", row.lines[second]))
        return [line], [*before, first, *after]
    return None


def _gather(leading: list[int | None], lines: tuple[int, ...]) -> Iterator[Line]:
    """Close the gap where a line ended, and let those that lead to one lane become one.

    `leading` says for each lane where it leads; one step takes one lane away.
    """
    while True:
        numbers = [-1 if to is None else lines[to] for to in leading]
        gone = next((i for i, to in enumerate(leading) if to is None or to in leading[:i]), None)
        if gone is None:
            return
        to = leading.pop(gone)
        line = _bars(numbers[:gone])
        _put_all(line, "/", 2 * gone + 1, numbers[gone + 1 :])
        if to is not None:
            yield from _reach_left(line, gone, to, leading, lines)
        elif gone < len(leading):
            yield line


def _reach_left(
    line: Line, lane: int, to: int, leading: Sequence[int | None], lines: tuple[int, ...]
) -> list[Line]:
    """Lead what comes from a lane to one on the left, in this line and perhaps in the next."""
    joins = leading.index(to)
    for column in range(2 * joins + 3, 2 * lane - 1, 2):
        _put(line, column, ("_", lines[to]))
    _put(line, 2 * lane - 1, ("/", lines[to]))
    if lane - joins == 1:
        return [line]
    following = _bars([-1 if each is None else lines[each] for each in leading])
    _put(following, 2 * joins + 1, ("/", lines[to]))
    return [line, following]


def _bars(numbers: list[int]) -> Line:
    line: Line = []
    _put_all(line, "|", 0, numbers)
    return line


def _put_all(line: Line, character: str, column: int, numbers: list[int]) -> None:
    """Put the same character for several lines, two columns apart."""
    for position, number in enumerate(numbers):
        _put(line, column + 2 * position, (character, number))


def _put(line: Line, column: int, cell: Cell) -> None:
    line += [_BLANK] * (column + 1 - len(line))
    line[column] = cell
