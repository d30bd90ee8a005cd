# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bisection drawn as text."""

import msgspec
import pytest

from ostreefs.cli.bisectgraph import format_graph, skip_hidden
from ostreefs.cli.terminal import Terminal
from tests.support.bisections import INJECTION, make_report


def test_graph() -> None:
    assert list(format_graph(make_report(), Terminal())) == [
        "*   slow        000000000000  Build 0",
        "|\\",
        f"* | first slow  333333333333  {INJECTION}",
        "* | fast        444444444444  Build 4",
        "|/",
        "* skipped     555555555555  Build 5",
        "* fast        666666666666  Build 6",
    ]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("abcd", {"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}),
        ("ad", {"a": ("d",), "b": ("d",), "c": ("d",), "d": ()}),
        ("acd", {"a": ("d", "c"), "b": ("d",), "c": ("d",), "d": ()}),
        ("a", {"a": (), "b": (), "c": (), "d": ()}),
    ],
)
def test_hidden_commits_are_passed_over(shown: str, expected: dict[str, tuple[str, ...]]) -> None:
    parents = {"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}
    assert skip_hidden(parents, shown) == expected


def test_colours() -> None:
    lines = list(format_graph(make_report(), Terminal("always")))
    assert "\x1b[1;31mslow" in lines[0]
    assert any("\x1b[1;32mfast" in line for line in lines)
    nothing = msgspec.structs.replace(make_report(), candidates=())
    assert list(format_graph(nothing, Terminal())) == []
