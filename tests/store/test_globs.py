# SPDX-License-Identifier: LGPL-2.1-or-later
"""Patterns for refs."""

import re

import pytest

from ostreefs_store.globs import is_pattern, matching, translate

REFS = ["a", "a-b", "a.b", "ab", "b", "os/next", "os/stable", "os/stable/amd64", "x/os/next"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["a", "a-b", "a.b", "ab", "b"]),
        ("**", REFS),
        ("?", ["a", "b"]),
        ("a*", ["a", "a-b", "a.b", "ab"]),
        ("a.?", ["a.b"]),
        ("os/*", ["os/next", "os/stable"]),
        ("os/**", ["os/next", "os/stable", "os/stable/amd64"]),
        ("os*", []),
        ("os?next", []),
        ("os[/]next", []),
        ("os[!x]next", []),
        ("*/next", ["os/next"]),
        ("**/next", ["os/next", "x/os/next"]),
        ("[ab]", ["a", "b"]),
        ("[!a]", ["b"]),
        ("[a-c]", ["a", "b"]),
        ("[^a]", ["a"]),
        ("[]a]", ["a"]),
        ("[z-a]", []),
        ("[a", []),
        ("a[", []),
        ("a[-.]b", ["a-b", "a.b"]),
        ("a[\\w]b", []),
        ("A", []),
        ("", []),
        ("os/*\n", []),
    ],
)
def test_matching(pattern: str, expected: list[str]) -> None:
    assert list(matching(pattern, ((ref, None) for ref in REFS))) == expected


def test_malformed_sets_mean_themselves() -> None:
    for pattern in ("[z-a]", "[a", "[", "[]", "[!"):
        assert re.fullmatch(translate(pattern), pattern)


def test_is_pattern() -> None:
    assert all(map(is_pattern, ("a*", "?", "[")))
    assert not any(map(is_pattern, ("", "os/stable", "a-b.c_d+e")))
