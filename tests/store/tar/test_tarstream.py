# SPDX-License-Identifier: LGPL-2.1-or-later
"""Streams that are compressed, cut off, damaged, or given out in drops."""

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from typing import IO, cast

import pytest
import zstandard

from ostreefs_store.errors import ArchiveError
from ostreefs_store.tar.tarstream import are_records, find_compression, open_stream

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
}
DATA = os.urandom(700_000) + bytes(300_000) + b"end"


class Drops(io.RawIOBase):
    """A pipe whose writer is slow: one byte at a time at first, then a little more."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        self._count += 1
        limit = min(size, 1 if self._count < 9 else 5000)
        piece, self._data = self._data[:limit], self._data[limit:]
        return bytes(piece)


def read_all(raw: IO[bytes]) -> bytes:
    with open_stream(raw) as stream:
        pieces: list[bytes] = []
        while piece := stream.read_some(1 << 20):
            pieces.append(bytes(piece))
        assert stream.tell() == sum(map(len, pieces))
    return b"".join(pieces)


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_every_compression(kind: str) -> None:
    packed = COMPRESSORS[kind](DATA)
    assert find_compression(packed) == kind
    assert read_all(io.BytesIO(packed)) == DATA
    assert read_all(cast("IO[bytes]", Drops(packed))) == DATA


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "bzip2"])
def test_streams_one_after_another(kind: str) -> None:
    pack = COMPRESSORS[kind]
    assert read_all(io.BytesIO(pack(b"one") + pack(b"two"))) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_cut_off(kind: str) -> None:
    packed = COMPRESSORS[kind](DATA)
    with pytest.raises(ArchiveError, match=f"{kind} stream .*cut off"):
        read_all(io.BytesIO(packed[:-10]))


def test_cut_off_zstd_ends_early() -> None:
    """Its reader tells nothing; the end marker of the archive is missed then."""
    assert len(read_all(io.BytesIO(zstandard.compress(DATA)[:-10]))) < len(DATA)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd"])
def test_damaged(kind: str) -> None:
    if kind == "zstd":
        packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(DATA))
    else:
        packed = bytearray(COMPRESSORS[kind](DATA))
    for position in range(len(packed) // 2, len(packed) // 2 + 40):
        packed[position] ^= 0x55
    with pytest.raises(ArchiveError, match=f"{kind} stream is damaged"):
        read_all(io.BytesIO(packed))


def test_errors_of_the_disk_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), open_stream(io.BytesIO(b"")):
        raise PermissionError(13, "no")


@pytest.mark.parametrize("start", [b"", b"\x1f", b"B", b"(\xb5/"])
def test_short(start: bytes) -> None:
    assert read_all(io.BytesIO(start)) == start


def test_seek_goes_forward_alone() -> None:
    with open_stream(io.BytesIO(DATA)) as stream:
        assert stream.read(10) == DATA[:10]
        stream.seek(400_000)
        assert stream.read(3) == DATA[400_000:400_003]
        with pytest.raises(ArchiveError, match="leads back"):
            stream.seek(5)
        stream.seek(len(DATA) + 7)
        assert (stream.tell(), stream.read(5)) == (len(DATA), b"")


@pytest.mark.parametrize("size", [-1, 1 << 30])
def test_headers_of_no_size(size: int) -> None:
    with (
        open_stream(io.BytesIO(DATA)) as stream,
        pytest.raises(ArchiveError, match="header before byte 0"),
    ):
        stream.read(size)


def test_drain_reads_the_rest_but_not_for_ever() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def read(self, size: int = -1) -> bytes:
            self.count += size
            return bytes(size)

    source = Endless()
    with open_stream(cast("IO[bytes]", source)) as stream:
        stream.drain()
        assert 1 << 20 < stream.tell() < 1 << 30
    rest = io.BytesIO(DATA)
    with open_stream(rest) as stream:
        stream.read(5)
        stream.drain()
    assert rest.read() == b""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", True),
        (bytes(512), True),
        (b"6 a=b\n", True),
        (b"6 a=b\n5 a=\n" + bytes(500), True),
        (b"9 a=\n\0=\n\n", True),
        (b"6 a=b\nrubbish", False),
        (b"7 a=b\n", False),
        (b"5 a=b\n", False),
        (b"4 =\n", False),
        (b"5 =b\n", False),
        (b"6 abc\n", False),
        (b"-6 a=b\n", False),
        (b"0 a=b\n", False),
        (b" a=b\n", False),
        (b"99999999999999999999999 a=b\n", False),
        (b"600 a=b\n" + bytes(100), False),
    ],
)
def test_records(data: bytes, expected: bool) -> None:
    assert are_records(data) == expected
