# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be compared: a commit, or a directory on a disk as a commit of it would be."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from ostreefs_store.beneath import open_beneath
from ostreefs_store.content import hash_file
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.model import Digest
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import RegularFile
    from ostreefs_store.modifiers import Modifiers
    from ostreefs_store.repository import Repository
    from ostreefs_store.traverse import ObjectSource

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Side(Protocol):
    """A tree, the objects that it is made of, and the content of its files."""

    @property
    def root(self) -> Digest:
        """The tree."""

    @property
    def objects(self) -> ObjectSource:
        """Where its objects are found."""

    def open(self, path: bytes, digest: Digest, file: RegularFile) -> int:
        """Open the content of a file, given where and what it is in the tree."""


def read_content(
    side: Side, path: bytes, digest: Digest, file: RegularFile, size: int = -1
) -> bytes:
    """The content of a file, or `size` bytes from its beginning."""
    if not file.size:
        return b""
    with open(side.open(path, digest, file), "rb") as opened:
        return opened.read(size)


class CommitSide:
    """A commit; its name is its id."""

    def __init__(self, repository: Repository, snapshot: Snapshot, revision: str) -> None:
        commit = resolve(snapshot, revision)
        self.name = commit.hex()
        self.root = read_commit(snapshot, commit).root
        self.objects: ObjectSource = snapshot
        self._repository = repository

    def open(self, path: bytes, digest: Digest, file: RegularFile) -> int:
        """Open the content of a file. Raises `ObjectMissingError`, `ObjectCorruptError`."""
        del path
        return self._repository.open_content(digest, file)


class DirectorySide:
    """A directory on a disk, named by its path; all of it is read."""

    def __init__(self, path: str, modifiers: Modifiers) -> None:
        from ostreefs_store.checking.derive import derive_directory  # noqa: PLC0415 -- 10 ms, seldom needed

        self.name = path
        self._derived = derive_directory(path, modifiers)
        self.root = self._derived.root
        self.objects: ObjectSource = self

    def open(self, path: bytes, digest: Digest, file: RegularFile) -> int:
        """Open the content of a file. Raises `SourceChangedError` when it is not that any more."""
        del digest
        above, _, name = path.lstrip(b"/").rpartition(b"/")
        top = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open_beneath(top, above) as dir_fd:
                fd = os.open(name, _FILE, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                raise
            raise SourceChangedError(path) from None
        finally:
            os.close(top)
        if os.fstat(fd).st_size != file.size or hash_file(fd, file.size) != file.content:
            os.close(fd)
            raise SourceChangedError(path)
        return fd

    def find_tree(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a tree object."""
        return self._derived.trees.get(Digest(digest))

    def find_file(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a file object."""
        return self._derived.files.get(Digest(digest))

    def find_files(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the file objects that exist, by digest."""
        found = ((digest, self.find_file(digest)) for digest in digests)
        return {digest: encoded for digest, encoded in found if encoded is not None}


class Joined:
    """The objects of two sides together."""

    def __init__(self, one: ObjectSource, other: ObjectSource) -> None:
        self._one = one
        self._other = other

    def find_tree(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a tree object."""
        return self._one.find_tree(digest) or self._other.find_tree(digest)

    def find_file(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a file object."""
        return self._one.find_file(digest) or self._other.find_file(digest)

    def find_files(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the file objects that exist, by digest."""
        found = self._one.find_files(digests)
        return found | self._other.find_files([d for d in digests if d not in found])


def join_objects(old: Side, new: Side) -> ObjectSource:
    """Where the objects of both are found."""
    return old.objects if old.objects is new.objects else Joined(old.objects, new.objects)
