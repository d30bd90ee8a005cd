# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing a tree as a tar archive: what `tarimport` makes the same tree of.

Content is hashed on its way out, so that an archive never carries a damaged object off: one that
ends in the middle has no end marker, and nobody takes it for whole.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from blake3 import blake3

from ostreefs_store import durable
from ostreefs_store.codec import content_digest
from ostreefs_store.content import CHUNK, hash_zeros, segments
from ostreefs_store.errors import ObjectCorruptError
from ostreefs_store.model import Digest, File, RegularFile, Tree
from ostreefs_store.tar.tarheader import BLOCK, END, format_header, padding
from ostreefs_store.traverse import Node, find_node, iter_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.objects import ObjectFiles
    from ostreefs_store.repository import Repository

_SMALL = 64 << 10
_RECORD = 20 * BLOCK
"""An archive is filled up to a multiple of this, as tar(1) does."""


class ExportOptions(NamedTuple):
    """What to write, and how; the words are ostree's.

    `prefix` stands before every name as it is. `sparse`: leave out the holes that the object files
    have, in GNU tar's format; what they have depends on the filesystem.
    """

    subpath: bytes = b"/"
    prefix: bytes = b""
    xattrs: bool = True
    sparse: bool = False


class ExportResult(NamedTuple):
    """How much was written."""

    members: int
    size: int
    """In bytes, before compression."""


def export_tree(
    repository: Repository,
    root: Digest,
    out: IO[bytes],
    options: ExportOptions,
    progress: Callable[[int, int], None] | None = None,
) -> ExportResult:
    """Write what is at `subpath`, parents first and in the order of names.

    `progress` is called with members and bytes. Raises `PathNotFoundError`, `CorruptionError`.
    """
    with repository.in_use(), repository.index.snapshot() as snapshot:
        export = _Export(repository.objects, snapshot, out, options)
        top = find_node(snapshot, root, options.subpath)
        for node in iter_nodes(snapshot, top):
            export.write_member(_name_below(top, node), node)
            if progress is not None:
                progress(export.members, export.size)
        export.finish()
    return ExportResult(export.members, export.size)


def _name_below(top: Node, node: Node) -> bytes:
    """The name in the archive: relative to what is exported; for a single file its own."""
    if not isinstance(top.item, Tree):
        return os.path.basename(top.path)
    return node.path.removeprefix(top.path).removeprefix(b"/")


class _Export:
    """An archive that is being written."""

    def __init__(
        self, objects: ObjectFiles, snapshot: Snapshot, out: IO[bytes], options: ExportOptions
    ) -> None:
        self._objects = objects
        self._snapshot = snapshot
        self._out = out
        self._options = options
        self.members = self.size = 0

    def write_member(self, name: bytes, node: Node) -> None:
        """Write one file or directory."""
        name = self._options.prefix + name or b"."
        if isinstance(node.item, RegularFile) and node.item.size:
            self._write_regular(name, node.digest, node.item)
        else:
            self._write(self._header(name, node.item))
        self.members += 1

    def finish(self) -> None:
        """Write the end marker."""
        self._write(END)
        self._write(bytes(-self.size % _RECORD))

    def _header(
        self, name: bytes, item: Tree | File, extents: list[tuple[int, int]] | None = None
    ) -> bytes:
        return format_header(name, item, xattrs=self._options.xattrs, extents=extents)

    def _write_regular(self, name: bytes, digest: Digest, file: RegularFile) -> None:
        holder = self._snapshot.find_holder(digest)
        fd = self._objects.open_checked(holder, file)
        try:
            extents = self._find_extents(fd, file.size)
            header = self._header(name, file, extents)
            if extents is None and file.size <= _SMALL:
                self._write_small(fd, header, holder, file)
                return
            self._write(header)
            hasher = blake3()
            position = 0
            for offset, count in [(0, file.size)] if extents is None else extents:
                hash_zeros(hasher, offset - position)
                position = offset + count
                self._write_range(fd, offset, count, hasher)
            hash_zeros(hasher, file.size - position)
        finally:
            os.close(fd)
        if hasher.digest() != file.content:
            raise ObjectCorruptError("file", holder, "content differs")
        self._write(padding(self.size))

    def _write_small(self, fd: int, header: bytes, holder: Digest, file: RegularFile) -> None:
        content = os.pread(fd, file.size, 0)
        if content_digest(content) != file.content:
            raise ObjectCorruptError("file", holder, "content differs")
        self._write(header + content + padding(file.size))

    def _find_extents(self, fd: int, size: int) -> list[tuple[int, int]] | None:
        """The ranges (offset, size) of data; None where the whole file is one, or is to be."""
        if not self._options.sparse:
            return None
        found = [(start, end - start) for start, end in segments(fd, size)]
        return None if found == [(0, size)] else found

    def _write_range(self, fd: int, offset: int, count: int, hasher: blake3) -> None:
        while count:
            data = os.pread(fd, min(count, CHUNK), offset)
            if not data:
                return  # cut off just now: the digest tells
            hasher.update(data)
            self._write(data)
            offset += len(data)
            count -= len(data)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)


@contextmanager
def replaced_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write for a `with` block, which has its name only once it is complete.

    What is there already stays until then, and when the block raises. A device or a pipe is
    written to as it is.
    """
    if path.exists() and not path.is_file():
        with path.open("wb", CHUNK) as file:
            yield file
        return
    path = path.resolve()
    name = durable.temporary_name(f".{os.fsdecode(os.fsencode(path.name)[:200])}.export-")
    temporary = path.with_name(name)
    dir_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with temporary.open("xb", CHUNK) as file:
            yield file
        durable.rename_over(dir_fd, os.fsencode(name), os.fsencode(path.name))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(dir_fd)
