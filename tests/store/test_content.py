# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moving bytes: digests, holes, files that are shorter than they were."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from ostreefs_store.content import CHUNK, copy_file, hash_file, reflink, segments, write_at
from ostreefs_store.model import EMPTY_CONTENT
from tests.support.trees import data_ranges, make_sparse

SIZES = (0, 1, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5)


@contextmanager
def opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> Iterator[int]:
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", SIZES)
def test_hash_and_copy(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    with (
        opened(tmp_path / "source") as source,
        opened(tmp_path / "hashed") as hashed,
        opened(tmp_path / "copied") as copied,
    ):
        assert hash_file(source, size) == blake3(data).digest()
        assert hash_file(source, size, hashed) == blake3(data).digest()
        copy_file(source, copied, size)
    assert (tmp_path / "hashed").read_bytes() == data
    assert (tmp_path / "copied").read_bytes() == data


def test_empty() -> None:
    assert blake3(b"").digest() == EMPTY_CONTENT


HOLES: dict[str, tuple[int, dict[int, bytes]]] = {
    "only a hole": (4 * CHUNK, {}),
    "hole first": (3 * CHUNK, {2 * CHUNK: b"x" * CHUNK}),
    "hole last": (3 * CHUNK, {0: b"x"}),
    "islands": (9 * CHUNK + 7, {CHUNK: b"a" * 4096, 5 * CHUNK + 100: b"b", 9 * CHUNK: b"c"}),
    "huge": (5 << 30, {3 << 30: b"beyond two GiB"}),
}


@pytest.mark.parametrize("case", HOLES)
def test_holes_stay_holes(tmp_path: Path, case: str) -> None:
    size, data = HOLES[case]
    path = make_sparse(tmp_path / "source", size, data)
    with (
        opened(path) as source,
        opened(tmp_path / "hashed") as hashed,
        opened(tmp_path / "copied") as copied,
    ):
        expected = list(data_ranges(source, size))
        assert list(segments(source, size)) == expected
        digest = hash_file(source, size, hashed)
        copy_file(source, copied, size)
        for copy in (hashed, copied):
            assert list(data_ranges(copy, size)) == expected
            assert os.fstat(copy).st_size == size
            for offset, piece in data.items():
                assert os.pread(copy, len(piece), offset) == piece
        if size < 1 << 30:
            assert digest == blake3(path.read_bytes()).digest()
            assert digest == hash_file(copied, size)


@pytest.mark.parametrize("size", [10, CHUNK - 1, CHUNK + 1, 3 * CHUNK])
def test_a_shorter_file_is_hashed_as_if_it_ended_with_zeros(tmp_path: Path, size: int) -> None:
    data = b"x" * (size // 2)
    (tmp_path / "source").write_bytes(data)
    expected = blake3(data.ljust(size, b"\0")).digest()
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        assert hash_file(source, size) == expected
        assert hash_file(source, size, target) == expected
        assert os.fstat(target).st_size == size
        copy_file(source, target, size)
    assert (tmp_path / "target").read_bytes() == data.ljust(size, b"\0")


def test_a_longer_file_is_read_as_far_as_asked(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * (2 * CHUNK))
    for size in (10, CHUNK + 10):
        with opened(tmp_path / "source") as source, opened(tmp_path / f"{size}") as target:
            assert hash_file(source, size) == blake3(b"x" * size).digest()
            copy_file(source, target, size)
        assert (tmp_path / f"{size}").stat().st_size == size


def test_write_at(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as fd:
        write_at(fd, memoryview(b"hello"), 3)
    assert (tmp_path / "file").read_bytes() == b"\0\0\0hello"


def test_reflink_says_when_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        done = reflink(source, target)
    assert (tmp_path / "target").read_bytes() == (b"x" if done else b"")
    read_end, write_end = os.pipe()
    assert not reflink(read_end, write_end)
    os.close(read_end)
    os.close(write_end)
