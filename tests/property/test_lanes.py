# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever the history, each line that is drawn leads from a commit to one of its parents."""

from itertools import pairwise

from hypothesis import given

from ostreefs.cli.graph import Drawing, Line, draw
from ostreefs_store.comparing.lanes import Row, lay_out
from tests.property.histories import histories

Commits = list[tuple[int, tuple[int, ...]]]


def follow(rows: list[Row[int]], start: int, lane: int) -> int | None:
    """The commit to which a lane leads that goes on below a row; None for the end."""
    for row in rows[start + 1 :]:
        if not row.is_tip and lane == row.lane:
            return row.key
        lane = row.through[lane - (lane > row.lane and not row.is_tip)]
    return None


@given(histories())
def test_each_edge_leads_to_a_parent(commits: Commits) -> None:
    rows = list(lay_out(commits))
    here = {key for key, _ in commits}
    assert [row.key for row in rows] == [key for key, _ in commits]
    for number, (row, (_, parents)) in enumerate(zip(rows, commits, strict=True)):
        led_to = [follow(rows, number, lane) for lane in row.parents]
        assert led_to == [parent if parent in here else None for parent in parents]
        children = [child for child, its in commits[:number] if row.key in its]
        assert row.is_tip == (not children)


@given(histories())
def test_lanes_have_no_gaps(commits: Commits) -> None:
    width = 0
    for row in lay_out(commits):
        assert len(row.through) == width - (not row.is_tip)
        assert row.lane <= width - (not row.is_tip)
        leading = {to for _, to in row.edges()}
        width = row.next_width
        assert leading == set(range(width))
        assert len(set(row.lines)) == width  # no two have one number


@given(histories())
def test_a_line_keeps_its_number_along_first_parents(commits: Commits) -> None:
    rows = {row.key: row for row in lay_out(commits)}
    for key, parents in commits:
        first = rows.get(parents[0]) if parents else None
        children = [child for child, its in commits if parents and parents[0] in its]
        if first is not None and children == [key]:
            assert first.line == rows[key].line


# ---- text: what ends at the bottom of a line of characters goes on in the next one ----

EXITS = {"|": 0, "*": 0, ".": 0, "\\": 1, "/": -1}
POSSIBLE_EXITS = {"-": 0, "_": -1}
ENTRIES = {"|": 0, "*": 0, "\\": -1, "/": 1}


def places(line: Line, shifts: dict[str, int]) -> set[int]:
    return {at + shifts[c] for at, (c, _) in enumerate(line) if c in shifts}


def check_joined(above: Line, below: Line, *, root: int | None, tip: int | None) -> None:
    exits, entries = places(above, EXITS) - {root}, places(below, ENTRIES) - {tip}
    assert exits <= places(below, ENTRIES), (above, below)
    assert entries <= places(above, EXITS | POSSIBLE_EXITS) - {root}, (above, below)


@given(histories())
def test_the_text_is_joined_from_line_to_line(commits: Commits) -> None:
    lines: list[tuple[Line, int | None, int | None]] = []
    rows = {row.key: row for row in lay_out(commits)}
    for key, drawing in draw(rows.values()):
        assert isinstance(drawing, Drawing)
        row = rows[key]
        lines += [(line, None, None) for line in drawing.above]
        root = None if row.parents else 2 * row.lane
        lines.append((drawing.at, root, 2 * row.lane if row.is_tip else None))
        assert drawing.at[2 * row.lane][0] == "*"
        lines += [(line, None, None) for line in drawing.below]
    for (above, root, _), (below, _, tip) in pairwise(lines):
        check_joined(above, below, root=root, tip=tip)
