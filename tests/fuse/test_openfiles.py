# SPDX-License-Identifier: LGPL-2.1-or-later
"""Descriptors that are used again, but never for another file than was asked for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs.fuse.openfiles import OpenFiles

NUMBER = 7


@pytest.fixture
def files() -> Iterator[OpenFiles]:
    made = OpenFiles(2)
    yield made
    made.close_unused()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "object").write_bytes(b"content")
    return tmp_path / "object"


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


def test_one_descriptor_for_all_who_have_a_file_open(files: OpenFiles, path: Path) -> None:
    first = files.add(NUMBER, os.open(path, os.O_RDONLY), 7)
    second = files.take(NUMBER)
    assert second is first
    files.give_back(first)
    assert os.pread(second.fd, 7, 0) == b"content"
    assert not files.close_unused()
    files.give_back(second)
    assert files.take(NUMBER) is first
    files.give_back(first)
    assert files.close_unused()
    assert not is_open(first.fd)
    assert files.take(NUMBER) is None


def test_opened_by_two_at_the_same_time(files: OpenFiles, path: Path) -> None:
    """As when both wait for the content to be verified, and one is done with it before."""
    first = files.add(NUMBER, os.open(path, os.O_RDONLY), 7)
    files.give_back(first)
    second = files.add(NUMBER, os.open(path, os.O_RDONLY), 7)
    assert not is_open(first.fd)
    third = files.add(NUMBER, os.open(path, os.O_RDONLY), 7)
    assert len(files) == 2
    files.give_back(second)
    files.give_back(third)
    assert len(files) == 1
    assert files.close_unused()
    assert len(files) == 0
    assert not is_open(second.fd)
    assert not is_open(third.fd)


def test_few_are_kept(files: OpenFiles, path: Path) -> None:
    made = [files.add(number, os.open(path, os.O_RDONLY), 7) for number in range(5)]
    for file in made:
        files.give_back(file)
    assert [is_open(file.fd) for file in made] == [False, False, False, True, True]


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"CONTENT")
    path.with_name("new").rename(path)


def _write(path: Path) -> None:
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # clocks of filesystems tick every few milliseconds
        path.write_bytes(b"changed")


CHANGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "replaced": _replace,
    "written to": _write,
    "truncated": lambda path: os.truncate(path, 3),
    "linked": lambda path: path.with_name("link").hardlink_to(path),
}


@pytest.mark.parametrize("how", CHANGES)
def test_not_used_again_when_something_happened(files: OpenFiles, path: Path, how: str) -> None:
    kept = files.add(NUMBER, os.open(path, os.O_RDONLY), 7)
    held = files.add(NUMBER + 1, os.open(path, os.O_RDONLY), 7)
    files.give_back(kept)
    CHANGES[how](path)
    assert files.take(NUMBER) is None
    assert not is_open(kept.fd)
    assert files.take(NUMBER + 1) is None
    assert is_open(held.fd)  # whoever has it open goes on with it
    again = files.add(NUMBER + 1, os.open(path.parent, os.O_RDONLY), 0)
    files.give_back(held)
    assert not is_open(held.fd)
    files.give_back(again)
