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

from ostreefs_store.codec import content_digest, encode_file, file_digest
from ostreefs_store.content import CHUNK, hash_zeros, write_at
from ostreefs_store.errors import ArchiveError
from ostreefs_store.known import KnownObjects
from ostreefs_store.model import Digest, File, RegularFile, TreeHead
from ostreefs_store.space import check_free_space
from ostreefs_store.tarlayer import LayerBuilder
from ostreefs_store.tarmember import HardLink, Member, parse_member
from ostreefs_store.tarstream import TarStream, open_stream
from ostreefs_store.verify import inspect

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.layer import Layer
    from ostreefs_store.modifiers import Modifiers
    from ostreefs_store.repository import Repository
    from ostreefs_store.tarmember import Path

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
            run = _Import(repository, snapshot, batch, modifiers, stream)
            return run.run(source, progress)
    except ArchiveError as error:
        raise ArchiveError(error.detail, archive=source.name, member=error.member) from None
    finally:
        os.umask(previous)


class _Import:
    """One run of `read_tar`."""

    def __init__(
        self,
        repository: Repository,
        snapshot: Snapshot,
        batch: Batch,
        modifiers: Modifiers,
        stream: TarStream,
    ) -> None:
        self._repository = repository
        self._objects = repository.objects
        self._snapshot = snapshot
        self._known = KnownObjects(repository, snapshot)
        self._batch = batch
        self._stream = stream
        self._buffer = memoryview(bytearray(CHUNK))
        self._modifiers = modifiers

    def run(self, source: TarSource, progress: Progress | None) -> TarContents:
        """Read the whole stream."""
        builder = LayerBuilder(whiteouts=source.whiteouts)
        files = volume = 0
        for info in _iter_headers(self._stream):
            member = parse_member(info)
            if member is None or (source.skip and _is_skipped(member.path, source.skip)):
                continue
            self._add(builder, member)
            if isinstance(member.item, RegularFile):
                files += 1
                volume += member.item.size
                if progress is not None:
                    progress(files, volume)
        self._stream.drain()
        return TarContents(builder.root, files, volume)

    def _add(self, builder: LayerBuilder, member: Member) -> None:
        path, item = member.path, member.item
        if isinstance(item, TreeHead):
            builder.add_directory(path, self._modifiers.apply(item))
        elif builder.add_whiteout(path):
            pass
        elif isinstance(item, HardLink):
            builder.add_link(path, item.target)
        else:
            above = builder.prepare_file(path)
            above.entries[path[-1]] = self._store(member, self._modifiers.apply(item))

    # ---- content ----

    def _store(self, member: Member, file: File) -> Digest:
        """Store a file object of any kind; its digest."""
        if not isinstance(file, RegularFile) or file.size == 0:
            digest, encoded = _described(file)
            self._batch.files[digest] = encoded
            return digest
        extents = [(0, file.size)] if member.extents is None else member.extents
        check_free_space(self._repository, sum(count for _, count in extents))
        if member.extents is None and file.size <= CHUNK:
            return self._store_small(member, file)
        return self._store_large(member, file)

    def _store_small(self, member: Member, file: RegularFile) -> Digest:
        content = self._buffer[: file.size]
        position = 0
        for piece in self._pieces(member, file.size):
            content[position : position + len(piece)] = piece
            position += len(piece)
        file = msgspec.structs.replace(file, content=content_digest(content))
        digest, encoded = _described(file)
        if self._is_new(digest, file, encoded):
            try:
                inode = self._objects.add(digest, file, content)
            except FileExistsError:
                inode = self._find_whole(digest, file) or self._replace(digest, file, content)
            self._record(inode, digest, file, encoded)
        return digest

    def _replace(self, digest: Digest, file: RegularFile, content: memoryview) -> int:
        with self._objects.staged() as (fd, path):
            write_at(fd, content, 0)
            return self._objects.replace_staged(fd, path, digest, file)

    def _store_large(self, member: Member, file: RegularFile) -> Digest:
        with self._objects.staged() as (fd, path):
            content = self._copy(member, file.size, fd)
            file = msgspec.structs.replace(file, content=content)
            digest, encoded = _described(file)
            if self._is_new(digest, file, encoded):
                try:
                    inode = self._objects.publish_staged(fd, path, digest, file)
                except FileExistsError:
                    inode = self._find_whole(digest, file)
                    inode = inode or self._objects.replace_staged(fd, path, digest, file)
                self._record(inode, digest, file, encoded)
        return digest

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

    def _is_new(self, digest: Digest, file: RegularFile, encoded: bytes) -> bool:
        """Whether an object needs a file of its own; a twin of one that is here is noted."""
        if digest in self._batch.files:
            return False
        if self._known.has_file(digest):
            holder = self._snapshot.find_holder(digest)
            if self._objects.has_right_size(holder, file):
                return False
        twin_of = self._known.find_holder(file)
        if twin_of is None:
            return True
        self._batch.files[digest] = encoded
        self._batch.twins[digest] = twin_of
        return False

    def _record(self, inode: int, digest: Digest, file: RegularFile, encoded: bytes) -> None:
        self._batch.object_files.append((inode, digest, file.content))
        self._batch.files[digest] = encoded

    def _find_whole(self, digest: Digest, file: RegularFile) -> int:
        """The inode number of an object file that the index does not know, if it can be kept.

        A crash left it, whole or not, or somebody commits the same file just now. One with a
        second name may be written to by whoever has that.
        """
        found = self._objects.find_stat(digest)
        if found is None or found.st_nlink != 1:
            return 0
        if inspect(self._objects, digest, file) is not None:
            return 0
        self._objects.keep(digest)
        return found.st_ino


def _is_skipped(path: Path, skip: frozenset[bytes]) -> bool:
    return any(b"/".join(path[:depth]) in skip for depth in range(1, len(path) + 1))


def _described(file: File) -> tuple[Digest, bytes]:
    encoded = encode_file(file)
    return file_digest(encoded), encoded


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
