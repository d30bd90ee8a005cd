# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking a tar archive into the repository, from a stream that is read once.

`tarfile` parses the headers; `tarmember` and `tarlayer` say what they mean. The content of each
regular file is hashed as it comes: one that fits in memory before it is written, a larger one
while it is written to ``tmp``. As with `ingest`, nobody can reach what is written here before
`commit` puts the batch into the index; dying before that leaves files that no one knows.

An archive is taken in whole or not at all: one that is cut off, garbled, or without the block of
zeros at its end is an error, also where tar(1) would be content.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from blake3 import blake3

from ostreefs_store.content import CHUNK, hash_zeros, write_at
from ostreefs_store.errors import ArchiveError
from ostreefs_store.model import Digest, File, RegularFile, TreeHead
from ostreefs_store.parallel import map_unordered
from ostreefs_store.space import check_free_space
from ostreefs_store.tar.streamed import Job, StreamedFiles
from ostreefs_store.tar.tarlayer import LayerBuilder
from ostreefs_store.tar.tarmember import HardLink, Member, parse_member
from ostreefs_store.tar.tarstream import TarStream, open_stream

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.layer import Layer
    from ostreefs_store.modifiers import Modifiers
    from ostreefs_store.repository import Repository
    from ostreefs_store.tar.tarmember import Components

_MALFORMED = (ArithmeticError, LookupError, ValueError, RecursionError)
"""What `tarfile` lets pass, beside its own errors, for headers that nobody writes."""

Progress = Callable[[int, int], None]
"""Called now and then with the files and the bytes read so far."""


class TarSource(NamedTuple):
    """An archive: an unbuffered stream, what to call it in errors, and how to understand it.

    `skip`: paths without a slash before, which are left out with all that is in them.
    """

    stream: IO[bytes]
    name: str
    whiteouts: bool = False
    skip: frozenset[bytes] = frozenset()


class TarContents(NamedTuple):
    """What an archive says of a tree, and how much of it was read."""

    layer: Layer
    read_files: int
    read_bytes: int


def read_tar(
    repository: Repository,
    source: TarSource,
    modifiers: Modifiers,
    batch: Batch,
    progress: Progress | None = None,
) -> TarContents:
    """Store the files of an archive, to be added to the index from `batch`.

    Raises `ArchiveError` for an archive that is damaged, or that holds what no tree may hold, and
    `FreeSpaceError`.
    """
    previous = os.umask(0)
    try:
        with repository.index.snapshot() as snapshot, open_stream(source.stream) as stream:
            files = StreamedFiles(repository, snapshot, batch)
            return _Import(repository, files, source, modifiers, stream).run(progress)
    except ArchiveError as error:
        raise ArchiveError(error.detail, archive=source.name, member=error.member) from None
    finally:
        os.umask(previous)


class _Import:
    """One run of `read_tar`."""

    def __init__(
        self,
        repository: Repository,
        files: StreamedFiles,
        source: TarSource,
        modifiers: Modifiers,
        stream: TarStream,
    ) -> None:
        self._repository = repository
        self._files = files
        self._skip = source.skip
        self._modifiers = modifiers
        self._stream = stream
        self._builder = LayerBuilder(whiteouts=source.whiteouts)
        self._buffer = memoryview(bytearray(CHUNK))
        self._read_files = self._read_bytes = 0

    def run(self, progress: Progress | None) -> TarContents:
        """Read the whole stream, while workers make object files."""
        for written in map_unordered(self._files.write_objects, self._jobs(progress)):
            self._files.record(written)
        return TarContents(self._builder.root, self._read_files, self._read_bytes)

    def _jobs(self, progress: Progress | None) -> Iterator[Job]:
        for info in _iter_headers(self._stream):
            member = parse_member(info)
            if member is None or (self._skip and _is_skipped(member.path, self._skip)):
                continue
            self._add(member)
            if job := self._files.take_job():
                yield job
            if progress is not None:
                progress(self._read_files, self._read_bytes)
        self._stream.drain()
        if job := self._files.take_job(last=True):
            yield job

    def _add(self, member: Member) -> None:
        path, item = member.path, member.item
        if isinstance(item, TreeHead):
            self._builder.add_directory(path, self._modifiers.apply(item))
        elif self._builder.add_whiteout(path):
            pass
        elif isinstance(item, HardLink):
            self._builder.add_link(path, item.target)
        else:
            above = self._builder.prepare_file(path)
            above.entries[path[-1]] = self._store(member, self._modifiers.apply(item))

    # ---- content ----

    def _store(self, member: Member, file: File) -> Digest:
        """Store a file object of any kind; its digest."""
        if not isinstance(file, RegularFile):
            return self._files.add_special(file)
        self._read_files += 1
        self._read_bytes += file.size
        if file.size == 0:
            return self._files.add_special(file)
        if member.extents is None and file.size <= CHUNK:
            return self._files.add_small(file, self._read(member, file.size))
        extents = [(0, file.size)] if member.extents is None else member.extents
        check_free_space(self._repository, sum(count for _, count in extents))
        with self._repository.objects.staged() as (fd, path):
            file = msgspec.structs.replace(file, content=self._copy(member, file.size, fd))
            return self._files.add_staged(file, fd, path)

    def _read(self, member: Member, size: int) -> memoryview:
        position = 0
        for piece in self._pieces(member, size):
            self._buffer[position : position + len(piece)] = piece
            position += len(piece)
        return self._buffer[:size]

    def _copy(self, member: Member, size: int, fd: int) -> Digest:
        """Write the data of a member into an empty file, with its holes; the content digest."""
        os.ftruncate(fd, size)  # fails at once for a size that the filesystem cannot hold
        hasher = blake3()
        position = 0
        for offset, count in [(0, size)] if member.extents is None else member.extents:
            hash_zeros(hasher, offset - position)
            position = offset
            for piece in self._pieces(member, count):
                hasher.update(piece)
                write_at(fd, piece, position)
                position += len(piece)
        hash_zeros(hasher, size - position)
        return Digest(hasher.digest())

    def _pieces(self, member: Member, count: int) -> Iterator[memoryview]:
        """The next `count` bytes of the archive."""
        while count:
            piece = self._stream.read_some(min(count, CHUNK))
            if not piece:
                detail = "the archive ends in the middle of it: it was cut off"
                raise ArchiveError(detail, member=b"/".join(member.path))
            yield piece
            count -= len(piece)


def _is_skipped(path: Components, skip: frozenset[bytes]) -> bool:
    return any(b"/".join(path[:depth]) in skip for depth in range(1, len(path) + 1))


# ---- headers ----


def _iter_headers(stream: TarStream) -> Iterator[tarfile.TarInfo]:
    """The headers of an archive; whoever is given one may read its data from the stream.

    Raises `ArchiveError` unless the archive goes on to its end marker.
    """
    with _parsing(stream):
        archive = tarfile.TarFile(
            fileobj=cast("IO[bytes]", stream), encoding="utf-8", errors="surrogateescape"
        )
    while True:
        with _parsing(stream):
            info = archive.next()
        if info is None:
            break
        cast("Any", archive).members.clear()  # or all of them would stay in memory
        yield info
        if info.isreg() and info.sparse is not None and stream.tell() > info.offset_data:
            # With a "size" record beside a map of holes, `tarfile` looks for it elsewhere.
            archive.offset = stream.tell() + -stream.tell() % tarfile.BLOCKSIZE
    if stream.last_block.strip(b"\0"):
        raise ArchiveError(f"the header before byte {stream.tell()} is malformed")
    if len(stream.last_block) < tarfile.BLOCKSIZE:
        raise ArchiveError("it has no end marker: it was cut off")


@contextmanager
def _parsing(stream: TarStream) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, *_MALFORMED) as error:
        if stream.tell() == 0:
            raise ArchiveError("it is empty") from None
        if stream.tell() <= tarfile.BLOCKSIZE:
            raise ArchiveError("it is not a tar archive") from None
        if not stream.read_some(1):
            raise ArchiveError(f"it ends after byte {stream.tell()}: it was cut off") from None
        raise ArchiveError(
            f"the header before byte {stream.tell()} is malformed ({error})"
        ) from None
