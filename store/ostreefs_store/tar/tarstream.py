# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of an archive, from a file or a pipe: decompressed, and read once from front to back.

The compression is told by the first bytes, not by a name: gzip (RFC 1952), xz
(https://tukaani.org/xz/xz-file-format.txt), zstd (RFC 8878), bzip2. What the stream does not hold
in full is `ArchiveError`: nobody takes half an archive for a whole one.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Literal, cast

from ostreefs_store.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

Compression = Literal["none", "gzip", "xz", "zstd", "bzip2"]

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
)
_MAGIC_SIZE = 6
_SUFFIXES: dict[str, Compression] = {
    **dict.fromkeys((".gz", ".tgz"), "gzip"),
    **dict.fromkeys((".xz", ".txz"), "xz"),
    **dict.fromkeys((".zst", ".zstd", ".tzst"), "zstd"),
    **dict.fromkeys((".bz2", ".tbz", ".tbz2"), "bzip2"),
}
_CHUNK = 256 << 10
_HEADER_MAX = 16 << 20
"""Bytes of one PAX header that are read into memory; no file has as many attributes."""
_WINDOW_MAX = 1 << 27
"""What zstd(1) takes without being asked; more is a matter of how much memory there is."""
_TAIL_MAX = 64 << 20
"""Bytes after the end of an archive that are read, so that who writes them need not fail."""


def find_compression(start: bytes) -> Compression:
    """How a stream that begins so is compressed."""
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "none")


def _is_extended_header(block: bytes) -> bool:
    return block[156:157] in {b"x", b"g", b"X"} and block[257:262] == b"ustar"


def are_records(data: bytes) -> bool:
    """Whether an extended header holds records (``LENGTH KEY=VALUE``) and zeros at its end."""
    position = 0
    while position < len(data) and data[position]:
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            return False
        end = position + int(digits)
        equals = data.find(b"=", space, end)
        if equals <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n":
            return False
        position = end
    return True


class TarStream:
    """What `tarfile` reads an archive from: goes forward alone, whatever it is told to seek."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._buffer = memoryview(b"")
        self._position = 0
        self.last_block = b""
        """What was read last through `read`: a header, and zeros at the end of an archive."""

    def tell(self) -> int:
        """How many bytes have been read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip what is before `position`. Ends early where the stream ends."""
        if position < self._position:
            raise ArchiveError(f"a header before byte {self._position} leads back")
        while self._position < position and self.read_some(position - self._position):
            pass

    def read(self, size: int) -> bytes:
        """Read a header: `size` bytes, fewer at the end of the stream.

        What follows an extended header is looked at: some versions of `tarfile` pass over records
        that are malformed, and all that come after them.
        """
        is_extended = _is_extended_header(self.last_block)
        if not 0 <= size <= _HEADER_MAX:
            raise ArchiveError(f"a header before byte {self._position} has {size} bytes")
        pieces: list[memoryview] = []
        missing = size
        while missing and (piece := self.read_some(missing)):
            pieces.append(piece)
            missing -= len(piece)
        self.last_block = b"".join(pieces)
        if is_extended and not are_records(self.last_block):
            raise ArchiveError(f"the extended header before byte {self._position} is malformed")
        return self.last_block

    def read_some(self, limit: int) -> memoryview:
        """The next bytes: at least one and at most `limit`, none at the end of the stream."""
        if not self._buffer:
            self._buffer = memoryview(self._source.read(_CHUNK))
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        self._position += len(piece)
        return piece

    def drain(self) -> None:
        """Read what follows the archive, so that its checksum is looked at, and no writer fails.

        Nothing there is part of the archive, as with tar(1).
        """
        end = self._position + _TAIL_MAX
        while self._position < end and self.read_some(_CHUNK):
            pass


@contextmanager
def open_stream(raw: IO[bytes]) -> Iterator[TarStream]:
    """Decompress an unbuffered stream for a `with` block; `raw` stays open.

    Raises `ArchiveError` in the block for a stream that is damaged or cut off.
    """
    start = b""
    while len(start) < _MAGIC_SIZE and (more := raw.read(_MAGIC_SIZE - len(start))):
        start += more
    compression = find_compression(start)
    stream, errors = _decompressed(cast("IO[bytes]", _Whole(start, raw)), compression)
    try:
        yield TarStream(stream)
    except EOFError:
        raise ArchiveError(f"its {compression} stream ends too early: it was cut off") from None
    except errors as error:
        raise ArchiveError(f"its {compression} stream is damaged: {error}") from None
    except OSError as error:
        if error.errno is not None or error.filename is not None:
            raise
        raise ArchiveError(f"its {compression} stream is damaged: {error}") from None


@contextmanager
def compressed(out: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    """What compresses into `out`, for a `with` block; equal bytes become equal bytes."""
    if compression == "gzip":
        import gzip  # noqa: PLC0415 -- each is imported for those alone who need it

        with gzip.GzipFile("", "wb", 6, out, mtime=0) as stream:
            yield cast("IO[bytes]", stream)
    elif compression == "xz":
        import lzma  # noqa: PLC0415 -- see above

        with lzma.LZMAFile(out, "wb") as xz:
            yield xz
    elif compression == "bzip2":
        import bz2  # noqa: PLC0415 -- see above

        with bz2.BZ2File(out, "wb") as bzip2:
            yield cast("IO[bytes]", bzip2)
    elif compression == "zstd":
        import zstandard  # noqa: PLC0415 -- see above

        # What it writes with threads does not depend on how many there are.
        compressor = zstandard.ZstdCompressor(level=3, threads=-1, write_checksum=True)
        with compressor.stream_writer(out, closefd=False) as zstd:
            yield cast("IO[bytes]", zstd)
    else:
        yield out


def compression_of(name: str) -> Compression:
    """How a file of this name is to be compressed."""
    return next((kind for end, kind in _SUFFIXES.items() if name.endswith(end)), "none")


class _Whole(io.RawIOBase):
    """A stream whose beginning has been read already."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if not self._start:
            return self._rest.read(size)
        end = len(self._start) if size < 0 else size
        start, self._start = self._start[:end], self._start[end:]
        return start


def _decompressed(
    source: IO[bytes], compression: Compression
) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    """What reads the bytes, and what it raises for damaged ones besides EOFError and OSError.

    Each module is imported for those alone who need it.
    """
    if compression == "gzip":
        import gzip  # noqa: PLC0415 -- see above
        import zlib  # noqa: PLC0415 -- see above

        return cast("IO[bytes]", gzip.GzipFile(fileobj=source)), (zlib.error,)
    if compression == "xz":
        import lzma  # noqa: PLC0415 -- see above

        return lzma.LZMAFile(source), (lzma.LZMAError,)
    if compression == "bzip2":
        import bz2  # noqa: PLC0415 -- see above

        return bz2.BZ2File(source), ()
    if compression == "zstd":
        import zstandard  # noqa: PLC0415 -- see above

        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)
        stream = reader.stream_reader(source, read_across_frames=True)
        return cast("IO[bytes]", stream), (zstandard.ZstdError,)
    return source, ()
