# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where lines and bars are drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostreefs.pages.chart import HEIGHT, WIDTH, draw_changes, draw_sizes, find_ticks
from ostreefs.pages.lines import draw_lines
from tests.property.histories import histories

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, (0, 1, [0, 1])),
        (0, 4, (0, 4, [0, 1, 2, 3, 4])),
        (100, 900, (0, 1000, [0, 500, 1000])),
        (3 * MIB, 3 * MIB, (0, 3 * MIB, [0, MIB, 2 * MIB, 3 * MIB])),
        (10 * KIB, 12 * KIB, (10 * KIB, 12 * KIB, [n * KIB // 2 for n in range(20, 25)])),
    ],
)
def test_ticks(low: int, high: int, expected: tuple[int, int, list[int]]) -> None:
    assert find_ticks(low, high) == expected


@given(st.integers(0, 1 << 45), st.integers(0, 1 << 45))
def test_ticks_enclose_everything(one: int, other: int) -> None:
    low, high = sorted((one, other))
    begin, end, ticks = find_ticks(low, high)
    assert begin <= low <= high <= end > begin
    assert ticks[0] == begin
    assert ticks[-1] == end
    assert 2 <= len(ticks) <= 11


def test_sizes() -> None:
    curve = draw_sizes([0, 4, 2, 4], [True, True, False, True])
    assert curve.line == "M125.00 100.00L375.00 0.00L875.00 0.00"
    assert curve.area == curve.line + "L875.00 100L125.00 100Z"
    assert curve.aside == "M562.50 50.00h125.00"
    assert [(tick.label, tick.at) for tick in curve.ticks][::2] == [
        ("0 B", 100),
        ("2 B", 50),
        ("4 B", 0),
    ]
    assert draw_sizes([7], [True]).line.startswith("M0 ")
    assert draw_sizes([], []).line == ""


def test_changes() -> None:
    first, small, large = draw_changes([None, (1, 0), (500, 1000)])
    assert (first.up, first.down) == (0, 0)
    assert 0 < small.up < 1
    assert small.down == 0
    assert (large.up, large.down) == (HEIGHT / 4, HEIGHT / 2)
    assert large.x + large.width <= WIDTH


@given(histories(most=30))
def test_lines_meet_from_row_to_row(commits: list[tuple[int, tuple[int, ...]]]) -> None:
    width, pictures = draw_lines(commits)
    coming: set[str] = set()
    for picture in pictures:
        starts = {s.path[1:].split()[0] for s in picture.strokes if " 0V" in s.path}
        assert starts == coming
        coming = {str(x) for x, _ in picture.tails}
        ends = {
            stroke.path.split()[-2] if "C" in stroke.path else stroke.path[1:].split()[0]
            for stroke in picture.strokes
            if " 0V" not in stroke.path
        }
        assert ends == coming
        assert 0 < picture.x < width
        assert width <= 160.1
