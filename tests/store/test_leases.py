# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases end with their holder, and are exact."""

import fcntl
import os
import random
import signal
from pathlib import Path

import pytest

from ostreefs_store.leases import Leases, claim, find_leased, join_spans, position
from ostreefs_store.lock import LOCK_NAME, exclusive_lock, shared_lock
from ostreefs_store.model import Digest

LOWEST, HIGHEST = Digest(b"\0" * 32), Digest(b"\xff" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / LOCK_NAME).touch()
    return tmp_path


def some_commits(count: int, seed: int = 1) -> list[Digest]:
    source = random.Random(seed)
    return [Digest(source.randbytes(32)) for _ in range(count)]


def test_what_is_held_is_found(folder: Path) -> None:
    commits = [*some_commits(200), LOWEST, HIGHEST]
    assert find_leased(folder, commits) == set()
    with Leases(folder) as one, Leases(folder) as other:
        held = {*commits[:50], LOWEST, HIGHEST}
        assert all(one.hold(commit) for commit in held)
        assert all(other.hold(commit) for commit in commits[30:80])
        assert find_leased(folder, commits) == held | set(commits[30:80])
        for commit in commits[:40]:
            one.drop(commit)
        assert find_leased(folder, commits) == {*commits[30:80], LOWEST, HIGHEST}
        one.drop(commits[150])  # never held
    assert find_leased(folder, commits) == set()


def test_each_hold_needs_a_drop(folder: Path) -> None:
    """Of two commits that share a byte, too."""
    one, other = Digest(b"a" * 32), Digest(b"a" * 31 + b"b")
    with Leases(folder) as leases:
        for commit in (one, one, other):
            assert leases.hold(commit)
        for commit in (one, other):
            leases.drop(commit)
            assert find_leased(folder, [one]) == {one}
        leases.drop(one)
        assert find_leased(folder, [one]) == set()
        leases.drop(one)
        assert leases.hold(one)
        assert find_leased(folder, [one]) == {one}


def test_neighbours_are_told_apart(folder: Path) -> None:
    """The kernel joins locks on bytes that stand side by side."""
    row = [Digest((number << 193).to_bytes(32, "big")) for number in range(10)]
    assert [position(commit) for commit in row] == list(range(10))
    with Leases(folder) as leases:
        for commit in row:
            leases.hold(commit)
        leases.drop(row[4])
        assert find_leased(folder, row) == set(row) - {row[4]}


def test_a_holder_that_is_killed_holds_nothing(folder: Path) -> None:
    [commit] = some_commits(1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        leases = Leases(folder)
        os.write(writer, b"1" if leases.hold(commit) else b"0")
        signal.pause()
    assert os.read(reader, 1) == b"1"
    assert find_leased(folder, [commit]) == {commit}
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert find_leased(folder, [commit]) == set()
    os.close(reader)
    os.close(writer)


def test_a_claim_and_a_lease_exclude_each_other(folder: Path) -> None:
    doomed, kept = some_commits(50, 1), some_commits(50, 2)
    with Leases(folder) as leases:
        with claim(folder, doomed, kept) as is_claimed:
            assert is_claimed
            assert not any(leases.hold(commit) for commit in doomed)
            assert all(leases.hold(commit) for commit in kept)
        assert leases.hold(doomed[7])
        with claim(folder, doomed, kept) as is_claimed:
            assert not is_claimed
        leases.drop(doomed[7])
        with claim(folder, doomed, kept) as is_claimed:
            assert is_claimed


def test_leases_are_no_matter_for_the_lock(folder: Path) -> None:
    commits = some_commits(3)
    with Leases(folder) as leases, exclusive_lock(folder):
        assert leases.hold(commits[0])
        with claim(folder, commits[1:], commits[:1]) as is_claimed:
            assert is_claimed
    with shared_lock(folder), Leases(folder) as leases:
        assert leases.hold(commits[0])


def test_who_may_only_read_may_hold(folder: Path) -> None:
    (folder / LOCK_NAME).chmod(0o444)
    fd = os.open(folder / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)  # as `in_use` does
    with Leases(folder) as leases:
        assert leases.hold(LOWEST)
        assert find_leased(folder, [LOWEST]) == {LOWEST}
    os.close(fd)


@pytest.mark.parametrize(
    ("doomed", "kept", "spans"),
    [
        ([], [], []),
        ([5], [], [(5, 5)]),
        ([5, 9, 7], [], [(5, 9)]),
        ([5, 9], [7], [(5, 5), (9, 9)]),
        ([5, 6, 9], [1, 20], [(5, 9)]),
        ([5, 6], [5], [(6, 6)]),
        ([], [5], []),
    ],
)
def test_spans(doomed: list[int], kept: list[int], spans: list[tuple[int, int]]) -> None:
    assert join_spans(set(doomed), set(kept)) == spans
