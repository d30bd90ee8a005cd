# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of a bisection: whole, escaped, and with what it is about."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostreefs.bisect.report import BisectionReport, Candidate
from ostreefs.pages.bisection import clean_output, find_rounds, write_bisection_page
from tests.pages.markup import Markup, check_page
from tests.support.bisections import INJECTION, make_report


def render(report: BisectionReport) -> Markup:
    out = io.BytesIO()
    write_bisection_page(out, report)
    return check_page(out.getvalue().decode())


def changed(**facts: Any) -> BisectionReport:
    return msgspec.structs.replace(make_report(), **facts)


def test_what_others_wrote_is_text(bisection_page: Path) -> None:
    text = bisection_page.read_text()
    assert all(character.isprintable() or character == "\n" for character in text)
    texts = check_page(text).texts
    assert texts.count(INJECTION) == 3  # the heading, the output, the list
    assert {"test <file>", "usr/<lib>", "<u>", "no <db>"} <= {*texts}
    assert "Bisection <name> of /somewhere" in texts


def test_verdicts_in_the_terms_of_the_bisection(bisection_page: Path) -> None:
    texts = check_page(bisection_page.read_text()).texts
    assert "The first slow commit" in texts
    assert texts.count("fast") == 5  # two rounds, two commits, one output
    assert "fast, as its equal" in texts
    assert "equal to 666666666666" in texts
    assert {"skipped", "untested", "object is damaged", "exit status 125"} <= {*texts}
    assert "2 files added" in texts
    assert not any("deleted" in text for text in texts)


def test_output(bisection_page: Path) -> None:
    texts = check_page(bisection_page.read_text()).texts
    assert [text for text in texts if text.startswith("test ") and text[5:].isdigit()] == [
        "test 3",
        "test 5",
        "test 4",
    ]
    assert texts.count("20%") == 0
    assert texts.count(r"<i>     \x07") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n", []),
        ("a\n\nb\n", ["a", "", "b"]),
        ("\x1b[1;31mred\x1b[0m\x1b[K", ["red"]),
        ("\x1b]0;title\x07after", ["after"]),
        ("1%\r50%\r100%\ndone\r\n", ["100%", "done"]),
        ("a\tb", ["a       b"]),
        ("\x1b", ["\x1b"]),
    ],
)
def test_cleaning_output(text: str, expected: list[str]) -> None:
    assert clean_output(text) == expected


def test_rounds() -> None:
    """Seven columns, the oldest on the left; what is left after each verdict."""
    found = [
        (each.step, each.remaining, [(round(r.x), round(r.width)) for r in each.left])
        for each in find_rounds(make_report())
    ]
    assert found == [
        (1, 7, [(0, 1000)]),
        (2, 6, [(143, 857)]),
        (3, 3, [(143, 429)]),
        (4, 3, [(143, 429)]),
        (5, 1, [(429, 143)]),
    ]
    first, *_, last = find_rounds(make_report())
    assert (round(first.at, 1), round(last.at, 1)) == (92.9, 35.7)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": "open", "culprit": None, "changes": None}, "1 commit left to look at"),
        (
            {"outcome": "only-skipped", "culprit": None, "possible": ("4" * 64, "3" * 64)},
            "The first slow commit is one of these",
        ),
        (
            {"outcome": "waiting", "culprit": None, "changes": None, "candidates": ()},
            "Waiting for fast and slow commits",
        ),
    ],
)
def test_other_outcomes(facts: dict[str, Any], expected: str) -> None:
    texts = render(changed(**facts)).texts
    assert expected in texts
    assert "The first slow commit" not in texts


def make_line(
    count: int, *, bad: int, left: set[int], merge: int | None = None
) -> list[Candidate]:
    """Commits one after another, the newest bad, of which some are left; perhaps with a merge."""
    found = []
    for number in range(count):
        parents = [number + 1] if number + 1 < count else []
        parents += [number + 3] if number == merge else []
        found.append(
            Candidate(
                commit=f"{number:064x}",
                subject="",
                timestamp=0,
                parents=tuple(f"{parent:064x}" for parent in parents),
                verdict="bad" if number == bad else "untested",
                is_left=number in left,
                step=1 if number == bad else None,
            )
        )
    return found


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (None, ["9 untested commits", "11 untested commits"]),
        (20, ["9 untested commits", "7 untested commits"]),
    ],
)
def test_what_nobody_needs_to_see_is_folded(merge: int | None, expected: list[str]) -> None:
    """The culprit and what is left are shown, and where lines change their lanes."""
    line = make_line(25, bad=0, left={10, 11, 12}, merge=merge)
    report = changed(candidates=tuple(line), outcome="open", culprit=None, changes=None)
    markup = render(report)
    assert [text for text in markup.texts if text.endswith("untested commits")] == expected
    assert len(markup.ids) == 25
    assert markup.texts.count("still possible") == 3
