# SPDX-License-Identifier: LGPL-2.1-or-later
"""Histories drawn as text, as git draws them."""

import pytest

from ostreefs.cli.graph import cut, draw
from ostreefs_store.comparing.lanes import lay_out

CASES = {
    "one after another": (
        "c:b b:a a:",
        """
* c
* b
* a
""",
    ),
    "a merge": (
        "m:a,b b:r a:r r:",
        r"""
*   m
|\
| * b
* | a
|/
* r
""",
    ),
    "a fork": (
        "x:r y:r r:",
        """
* x
| * y
|/
* r
""",
    ),
    "a fork across another line": (
        "x:r y:s z:r s:r r:",
        """
* x
| * y
| | * z
| |/
|/|
| * s
|/
* r
""",
    ),
    "a fork across two lines": (
        "x:r y:s w:s z:r s:r r:",
        """
* x
| * y
| | * w
| |/
| | * z
| |/
|/|
| * s
|/
* r
""",
    ),
    "lines far away": (
        "a:r b:s c:t d:r t:s s:r r:",
        """
* a
| * b
| | * c
| | | * d
| |_|/
|/| |
| | * t
| |/
| * s
|/
* r
""",
    ),
    "three merged at once": (
        "o:a,b,c c:r b:r a:r r:",
        r"""
*-.   o
|\ \
| | * c
| * | b
| |/
* | a
|/
* r
""",
    ),
    "three merged at once beside another line": (
        "z:q,o o:a,b,c q:r c:r b:r a:r r:",
        r"""
*   z
|\
| *-.   o
| |\ \
* | | | q
| | | * c
| |_|/
|/| |
| | * b
| |/
|/|
| * a
|/
* r
""",
    ),
    "room is made for three": (
        "z:o w:v o:a,b,c c:a b:a a:v v:",
        r"""
* z
| * w
|  \
*-. |   o
|\ \ \
| | * | c
| |/ /
|/| |
| * | b
|/ /
* | a
|/
* v
""",
    ),
    "a merge of what is on the left already": (
        "x:p m:p,q q:p p:",
        """
* x
| * m
|/|
| * q
|/
* p
""",
    ),
    "a merge of what is further left": (
        "x:p y:s m:p,q s:q q:p p:",
        """
* x
| * y
| | * m
| |/|
|/| |
| * | s
| |/
| * q
|/
* p
""",
    ),
    "a merge of what is on the right already": (
        "x:m y:q m:p,q q:p p:",
        r"""
* x
| * y
* | m
|\|
| * q
|/
* p
""",
    ),
    "histories that have nothing in common": (
        "x:w y:v w: v:",
        """
* x
| * y
* | w
 /
* v
""",
    ),
    "the rest was left out": (
        "m:a,b b:s",
        r"""
*   m
|\
| * b
""",
    ),
}


def parse(text: str) -> list[tuple[str, list[str]]]:
    found = []
    for word in text.split():
        key, _, parents = word.partition(":")
        found.append((key, parents.split(",") if parents else []))
    return found


@pytest.mark.parametrize("name", CASES)
def test_drawing(name: str) -> None:
    commits, expected = CASES[name]
    lines = []
    for key, drawing in draw(lay_out(parse(commits))):
        lines += ["".join(c for c, _ in line) for line in drawing.above]
        lines.append("".join(c for c, _ in drawing.at) + key)
        lines += ["".join(c for c, _ in line) for line in drawing.below]
    assert "\n".join(lines) == expected.strip("\n")


def test_a_line_that_does_not_fit_is_marked() -> None:
    line = [("|", 0), (" ", -1), ("|", 1), (" ", -1)]
    assert "".join(c for c, _ in cut(line, 4)) == "| | "
    assert "".join(c for c, _ in cut(line, 3)) == "| ~"
    assert "".join(c for c, _ in cut(line, 1)) == "~"
