# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unified diffs."""

import difflib
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostreefs_store.comparing.textdiff import (
    NO_NEWLINE,
    find_blocks,
    is_binary,
    split_lines,
    unified_hunks,
)


def diff(old: bytes, new: bytes) -> bytes:
    return b"".join(unified_hunks(old, new))


def apply(old: bytes, hunks: bytes) -> bytes:
    """What patch(1) would make of `old`; strict about every number and every line."""
    before, after = split_lines(old), b""
    here = produced = 0
    lines = hunks.split(b"\n")[:-1]
    while lines:
        head = re.fullmatch(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", lines.pop(0))
        assert head
        start, taken, begin, given_lines = (int(n) if n else 1 for n in head.groups())
        at = start - (taken > 0)
        after += b"".join(before[here:at])
        produced += at - here
        assert begin - (given_lines > 0) == produced
        here = at
        while taken or given_lines:
            line = lines.pop(0)
            text = line[1:] + b"\n"
            if lines and lines[0] + b"\n" == NO_NEWLINE:
                lines.pop(0)
                text = text[:-1]
            assert line[:1] in {b" ", b"-", b"+"}
            if line[:1] != b"+":
                assert before[here] == text
                here, taken = here + 1, taken - 1
            if line[:1] != b"-":
                after += text
                produced, given_lines = produced + 1, given_lines - 1
    return after + b"".join(before[here:])


NUMBERS = b"".join(b"%d\n" % number for number in range(1, 31))

CASES: dict[str, tuple[bytes, bytes, bytes]] = {
    "equal": (b"a\n", b"a\n", b""),
    "nothing": (b"", b"", b""),
    "created": (b"", b"a\n", b"@@ -0,0 +1 @@\n+a\n"),
    "emptied": (b"a\nb\n", b"", b"@@ -1,2 +0,0 @@\n-a\n-b\n"),
    "newline added": (
        b"a",
        b"a\n",
        b"@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n",
    ),
    "newline removed": (
        b"x\na\n",
        b"x\na",
        b"@@ -1,2 +1,2 @@\n x\n-a\n+a\n\\ No newline at end of file\n",
    ),
    "no newline on either side": (
        b"x\na",
        b"y\na",
        b"@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of file\n",
    ),
    "in the middle": (
        NUMBERS,
        NUMBERS.replace(b"15\n", b""),
        b"@@ -12,7 +12,6 @@\n 12\n 13\n 14\n-15\n 16\n 17\n 18\n",
    ),
    "two hunks": (
        NUMBERS,
        NUMBERS.replace(b"\n5\n", b"\nfive\n").replace(b"\n13\n", b"\n13\n13b\n"),
        b"@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        b"@@ -11,6 +11,7 @@\n 11\n 12\n 13\n+13b\n 14\n 15\n 16\n",
    ),
    "one hunk": (
        NUMBERS,
        NUMBERS.replace(b"\n5\n", b"\nfive\n").replace(b"\n12\n", b"\ntwelve\n"),
        b"@@ -2,14 +2,14 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n 10\n 11\n-12\n+twelve\n"
        b" 13\n 14\n 15\n",
    ),
    "between lines that occur several times": (
        b"p\n1\n1\nq\n2\n2\nr\n",
        b"P\n1\n1\nQ\n2\n2\nR\n",
        b"@@ -1,7 +1,7 @@\n-p\n+P\n 1\n 1\n-q\n+Q\n 2\n 2\n-r\n+R\n",
    ),
    "a line that is unique on one side alone": (
        b"6\n0\n0\n0\n",
        b"6\n0\n0\n6\n0\n",
        b"@@ -1,4 +1,5 @@\n 6\n 0\n 0\n+6\n 0\n",
    ),
    "carriage returns are text": (b"a\r\nb\n", b"a\nb\n", b"@@ -1,2 +1,2 @@\n-a\r\n+a\n b\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    old, new, expected = CASES[case]
    assert diff(old, new) == expected
    assert apply(old, expected) == new


texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d"]), max_size=30).map(b"".join)


@given(texts, texts)
def test_any_text(old: bytes, new: bytes) -> None:
    hunks = diff(old, new)
    assert apply(old, hunks) == new
    assert bool(hunks) == (old != new)


@given(texts, texts)
def test_blocks_are_equal_and_in_order(old: bytes, new: bytes) -> None:
    before, after = split_lines(old), split_lines(new)
    here = there = 0
    for block in find_blocks(before, after):
        assert block.size > 0
        assert block.old >= here
        assert block.new >= there
        here, there = block.old + block.size, block.new + block.size
        assert before[block.old : here] == after[block.new : there]


def test_as_short_as_difflib() -> None:
    """Random edits of unique lines: never more lines than difflib has."""
    chance = random.Random(1)
    for _ in range(50):
        old = [b"%d\n" % number for number in range(60)]
        new = [line for line in old if chance.random() > 0.1]
        for _ in range(5):
            new.insert(chance.randrange(len(new)), b"new %d\n" % chance.randrange(99))
        ours = diff(b"".join(old), b"".join(new)).count(b"\n")
        theirs = list(difflib.diff_bytes(difflib.unified_diff, old, new))[2:]
        assert ours <= len(theirs)


def test_patch_takes_it(tmp_path: Path) -> None:
    if shutil.which("patch") is None:
        pytest.skip("needs patch")
    for number, (old, new, hunks) in enumerate(CASES.values()):
        if not old or not new:
            continue
        file = tmp_path / f"{number}"
        file.write_bytes(old)
        subprocess.run(
            ["patch", "--binary", file],
            input=b"--- a\n+++ b\n" + hunks if hunks else b"",
            check=True,
            capture_output=True,
        )
        assert file.read_bytes() == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (range(100_000), [*range(500), -1, *range(501, 99_000), -2, *range(99_001, 100_000)]),
        ([1, 2, 3, 4] * 20_000, [2, 1, 4, 3] * 20_000),
        (range(50_000), range(50_000, 100_000)),
        (range(30_000), range(29_999, -1, -1)),
    ],
    ids=["two edits", "no line is unique", "nothing in common", "backwards"],
)
def test_large_files_take_no_age(old: list[int], new: list[int]) -> None:
    before, after = (b"".join(b"%d\n" % number for number in numbers) for numbers in (old, new))
    start = time.monotonic()
    hunks = diff(before, after)
    assert time.monotonic() - start < 10
    assert apply(before, hunks) == after


def test_is_binary() -> None:
    assert is_binary(b"\x7fELF\0")
    assert not is_binary(b"")
    assert not is_binary("größe".encode() + b"\xff")
    assert not is_binary(b"a" * 8000 + b"\0")
