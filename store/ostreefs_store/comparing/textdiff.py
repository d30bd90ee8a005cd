# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unified diffs of text, as ``diff -u``, git and patch(1) understand them. Pure.

Lines that occur once on both sides are matched first, in the longest sequence that keeps their
order (a "patience diff"); what lies between them is left to difflib. So large files with few
changes cost little. Stretches that are large and have nothing in common are replaced as a whole.
"""

from __future__ import annotations

from bisect import bisect_left
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTEXT = 3
SNIFFED = 8000
"""How many bytes of a file tell whether it is text."""
_PRODUCT_MAX = 4_000_000
"""Of the numbers of lines in two stretches that difflib may still compare."""

NO_NEWLINE = b"\\ No newline at end of file\n"


class Block(NamedTuple):
    """Equal lines: where they begin on either side, and how many they are."""

    old: int
    new: int
    size: int


def is_binary(content: bytes) -> bool:
    """Whether content is no text: there is a NUL byte near its beginning, as git has it."""
    return b"\0" in content[:SNIFFED]


def split_lines(content: bytes) -> list[bytes]:
    """Lines with their newlines; the last one may have none."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def unified_hunks(old: bytes, new: bytes) -> Iterator[bytes]:
    """The hunks of a unified diff, line by line; nothing when both are equal."""
    before, after = split_lines(old), split_lines(new)
    blocks = find_blocks(before, after)
    for group in _group(blocks, len(before), len(after)):
        yield from _format_hunk(group, before, after)


def find_blocks(old: Sequence[bytes], new: Sequence[bytes]) -> list[Block]:
    """Equal stretches in order, each as long as it can be, neighbours joined."""
    found: list[Block] = []
    here = there = 0
    for one, other in [*_anchors(old, new), (len(old), len(new))]:
        if one < here or other < there:  # part of the stretch before
            continue
        found += _match_gap(old, new, (here, one), (there, other))
        size = 0
        while one + size < len(old) and other + size < len(new):
            if old[one + size] != new[other + size]:
                break
            size += 1
        found.append(Block(one, other, size))
        here, there = one + size, other + size
    return _join(found)


def _anchors(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[int, int]]:
    """Lines that are unique on both sides, in the longest sequence that is in order on both."""
    positions = _unique(new)
    pairs = [(one, positions[line]) for line, one in _unique(old).items() if line in positions]
    return _longest_increasing(sorted(pairs))


def _unique(lines: Sequence[bytes]) -> dict[bytes, int]:
    positions: dict[bytes, int] = {}
    several: set[bytes] = set()
    for position, line in enumerate(lines):
        if line in positions:
            several.add(line)
        positions[line] = position
    return {line: found for line, found in positions.items() if line not in several}


def _longest_increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """By the second of each pair; the first ones increase already."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, other) in enumerate(pairs):
        place = bisect_left(ends, other)
        before.append(last[place - 1] if place else -1)
        ends[place : place + 1] = [other]
        last[place : place + 1] = [number]
    chosen: list[tuple[int, int]] = []
    number = last[-1] if last else -1
    while number >= 0:
        chosen.append(pairs[number])
        number = before[number]
    return chosen[::-1]


def _match_gap(
    old: Sequence[bytes], new: Sequence[bytes], here: tuple[int, int], there: tuple[int, int]
) -> list[Block]:
    """Equal stretches between two anchors."""
    left, right = old[slice(*here)], new[slice(*there)]
    start = 0
    while start < len(left) and start < len(right) and left[start] == right[start]:
        start += 1
    end = 0
    longest = min(len(left), len(right)) - start
    while end < longest and left[-1 - end] == right[-1 - end]:
        end += 1
    found = [Block(here[0], there[0], start)]
    middle_left, middle_right = left[start : len(left) - end], right[start : len(right) - end]
    if 0 < len(middle_left) * len(middle_right) <= _PRODUCT_MAX:
        matcher = SequenceMatcher(None, middle_left, middle_right)
        for one, other, size in matcher.get_matching_blocks():
            found.append(Block(here[0] + start + one, there[0] + start + other, size))
    found.append(Block(here[1] - end, there[1] - end, end))
    return found


def _join(blocks: Sequence[Block]) -> list[Block]:
    """Drop empty stretches and join those that touch on both sides."""
    joined: list[Block] = []
    for block in blocks:
        if not block.size:
            continue
        if joined:
            last = joined[-1]
            if (last.old + last.size, last.new + last.size) == block[:2]:
                joined[-1] = last._replace(size=last.size + block.size)
                continue
        joined.append(block)
    return joined


class _Gap(NamedTuple):
    """Lines that differ: where they begin and end on either side."""

    old: int
    old_end: int
    new: int
    new_end: int


class _Hunk(NamedTuple):
    """What a hunk shows of either side: lines from `start` to `end`, and equal stretches."""

    old: tuple[int, int]
    new: tuple[int, int]
    equal: list[Block]


def _group(blocks: Sequence[Block], old_size: int, new_size: int) -> Iterator[_Hunk]:
    """Hunks: changes that are no further apart than twice the context."""
    group: list[_Gap] = []
    for gap in _gaps(blocks, old_size, new_size):
        if group and gap.old - group[-1].old_end > 2 * CONTEXT:
            yield _hunk(group, old_size)
            group = []
        group.append(gap)
    if group:
        yield _hunk(group, old_size)


def _hunk(gaps: Sequence[_Gap], old_size: int) -> _Hunk:
    first, last = gaps[0], gaps[-1]
    before, after = min(CONTEXT, first.old), min(CONTEXT, old_size - last.old_end)
    equal = [Block(first.old - before, first.new - before, before)]
    for one, other in pairwise(gaps):
        equal.append(Block(one.old_end, one.new_end, other.old - one.old_end))
    equal.append(Block(last.old_end, last.new_end, after))
    return _Hunk(
        (first.old - before, last.old_end + after),
        (first.new - before, last.new_end + after),
        equal,
    )


def _gaps(blocks: Sequence[Block], old_size: int, new_size: int) -> Iterator[_Gap]:
    here = there = 0
    for block in [*blocks, Block(old_size, new_size, 0)]:
        if here < block.old or there < block.new:
            yield _Gap(here, block.old, there, block.new)
        here, there = block.old + block.size, block.new + block.size


def _format_hunk(hunk: _Hunk, old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[bytes]:
    yield f"@@ -{_format_range(*hunk.old)} +{_format_range(*hunk.new)} @@\n".encode()
    here, there = hunk.old[0], hunk.new[0]
    for block in hunk.equal:
        for line in old[here : block.old]:
            yield from _format_line(b"-", line)
        for line in new[there : block.new]:
            yield from _format_line(b"+", line)
        here, there = block.old + block.size, block.new + block.size
        for line in old[block.old : here]:
            yield from _format_line(b" ", line)


def _format_line(sign: bytes, line: bytes) -> Iterator[bytes]:
    if line.endswith(b"\n"):
        yield sign + line
    else:
        yield sign + line + b"\n"
        yield NO_NEWLINE


def _format_range(start: int, end: int) -> str:
    """Counted from 1, but for nothing at all: then the line before it."""
    if end - start == 1:
        return f"{end}"
    return f"{start + (end > start)},{end - start}"
