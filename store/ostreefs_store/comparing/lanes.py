# SPDX-License-Identifier: LGPL-2.1-or-later
r"""Where each commit of a history is drawn: in which lane, with which lines to its parents. Pure.

A history is drawn from top to bottom, a commit in each row. Between two rows run lines, each to a
commit that comes later, in lanes without a gap. A commit takes the lane of the line that leads to
it; one that no line leads to gets a new lane on the right. Its parents take its place, in their
order. Two lines to the same commit become one, in the lane that is further left::

    row 0   *          lane 0 -> 0 (first parent), 1 (second parent)
            |\
    row 1   | *        lane 1 -> 1; line 0 -> 0
    row 2   * |        lane 0 -> 0; line 1 -> 0, where both lead to the same
            |/
    row 3   *

Both the picture of text and that of a page are made from this.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

Key = TypeVar("Key", bound="Hashable")


class Row(NamedTuple, Generic[Key]):
    """A commit in its lane, and how all lanes go on from here to the next row.

    Lines come in from above on the lanes 0, 1, … as many as `through` has, and one more that ends
    here unless `is_tip`; leaving out this one, `through` says to which lane each goes on. Where
    `is_tip`, `lane` is to the right of them all.
    """

    key: Key
    lane: int
    is_tip: bool
    parents: tuple[int, ...]
    """The lane of the next row that leads to each parent."""
    through: tuple[int, ...]
    line: int
    """The number of the line that the commit is on: that of its newest child by a first parent."""
    lines: tuple[int, ...]
    """The number of the line that goes on in each lane of the next row."""

    @property
    def width(self) -> int:
        """The number of lanes in this row."""
        return len(self.through) + 1

    @property
    def next_width(self) -> int:
        """The number of lanes that go on."""
        return len(self.lines)

    def edges(self) -> Iterator[tuple[int, int]]:
        """Every line to the next row: the lane where it begins, and the one where it ends.

        Those that come from the commit itself are the first ones.
        """
        for to in self.parents:
            yield self.lane, to
        for position, to in enumerate(self.through):
            yield position + (position >= self.lane), to


def lay_out(commits: Iterable[tuple[Key, Sequence[Key]]]) -> Iterator[Row[Key]]:
    """Place commits, given with their parents, each before all of these.

    Lines to parents that never come go on to the end.
    """
    numbers = count()
    awaited: dict[Key, int] = {}
    for key, parents in commits:
        keys = list(awaited)
        is_tip = key not in awaited
        lane = len(keys) if is_tip else keys.index(key)
        line = next(numbers) if is_tip else awaited.pop(key)
        others = list(awaited)
        numbered = dict(awaited)
        for parent in parents:
            if parent not in numbered:
                numbered[parent] = next(numbers) if line in numbered.values() else line
        following = dict.fromkeys([*others[:lane], *parents, *others[lane:]])
        places = {each: place for place, each in enumerate(following)}
        yield Row(
            key,
            lane,
            is_tip,
            tuple(places[parent] for parent in dict.fromkeys(parents)),
            tuple(places[other] for other in others),
            line,
            tuple(numbered[each] for each in following),
        )
        awaited = {each: numbered[each] for each in following}
