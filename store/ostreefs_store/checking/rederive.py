# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making records of the index again: those of file objects and trees that are lost or damaged.

A record is found when its digest is: what an object file and its inode say, or a file in one of
the directories given, is described as a commit would describe it, with those owners, modes and
xattrs that the place does not keep filled in from the tree that names it. A tree can be derived
from a directory alone, and a commit from nothing: they hold names that stand nowhere else.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.checking.derive import derive_directory, derive_file
from ostreefs_store.codec import encode_file, file_digest, read_file
from ostreefs_store.content import hash_file
from ostreefs_store.errors import CorruptionError, SourceChangedError, StoreError, printable
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import Digest, File, RegularFile, Symlink, Tree
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import read_commit
from ostreefs_store.traverse import find_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ostreefs_store.checking.fsck import Problem
    from ostreefs_store.checking.salvage import Directories
    from ostreefs_store.index import Snapshot
    from ostreefs_store.objects import ObjectFiles

_SPECIAL_BITS = (0, stat.S_ISUID, stat.S_ISGID, stat.S_ISUID | stat.S_ISGID, stat.S_ISVTX)
_SIBLINGS = 200
"""How many files beside a lost one are asked for their owners."""

Owner = tuple[int, int]
Records = dict[Digest, bytes]


class Rederiver:
    """Finds records by their digests; see the module for where."""

    def __init__(self, snapshot: Snapshot, objects: ObjectFiles, directories: Directories) -> None:
        self._snapshot = snapshot
        self._objects = objects
        self._directories = directories

    def find_file(self, problem: Problem) -> tuple[bytes, str] | None:
        """The canonical bytes of a file object, and where they come from."""
        owners = self._find_owners(problem)
        own = self._describe_object_file(problem.digest)
        encoded = None if own is None else _match(own, owners, problem.digest)
        if encoded is not None:
            return encoded, "from its object file"
        for path in sorted({path for _, path in problem.paths}):
            for full, dir_fd, name in self._directories.iter_entries(path):
                with suppress(OSError, ValueError, SourceChangedError):
                    file = derive_file(dir_fd, os.fsdecode(name), Modifiers())
                    encoded = _match(file, owners, problem.digest)
                    if encoded is not None:
                        return encoded, f"from {printable(full)}"
        return None

    def find_trees(self, problem: Problem) -> tuple[Records, Records, str] | None:
        """The trees that a lost one consists of, the file objects in them, and where from."""
        for path in sorted({path for _, path in problem.paths}):
            for top in self._directories.paths:
                full = os.path.join(top, path.lstrip(b"/"))
                for modifiers in (Modifiers(), Modifiers(0, 0)):
                    with suppress(OSError, StoreError):
                        derived = derive_directory(os.fsdecode(full), modifiers)
                        if derived.root == problem.digest:
                            return derived.trees, derived.files, f"from {printable(full)}"
        return None

    def _describe_object_file(self, digest: Digest) -> RegularFile | None:
        """What an object's own file says of it; in `bare-user` its owner and xattrs are lost."""
        with suppress(OSError, CorruptionError):
            fd = self._objects.open(digest)
            try:
                found = os.fstat(fd)
                content = hash_file(fd, found.st_size)
                xattrs = read_xattrs(fd) if self._objects.mode == "bare" else ()
            finally:
                os.close(fd)
            return Modifiers().regular_file(found, xattrs, content)
        return None

    def _find_owners(self, problem: Problem) -> list[Owner]:
        """Owners that a lost file is likely to have: those of what is around it."""
        owners: dict[Owner, None] = {}
        for commit, path in problem.paths:
            with suppress(StoreError):
                root = read_commit(self._snapshot, Digest(bytes.fromhex(commit))).root
                tree = find_node(self._snapshot, root, os.path.dirname(path)).item
                if isinstance(tree, Tree):
                    owners |= dict.fromkeys(self._owners_in(tree))
        owners[0, 0] = None
        owners[os.geteuid(), os.getegid()] = None
        return list(owners)

    def _owners_in(self, tree: Tree) -> Iterator[Owner]:
        yield tree.uid, tree.gid
        files = [entry.digest for entry in tree.entries if not entry.is_tree][:_SIBLINGS]
        for encoded in self._snapshot.find_files(files).values():
            with suppress(CorruptionError):
                file = read_file(encoded)
                yield file.uid, file.gid


def _match(file: File, owners: Iterable[Owner], digest: Digest) -> bytes | None:
    """The canonical bytes of a file object like this one that has the digest."""
    for uid, gid in ((file.uid, file.gid), *owners):
        for xattrs in {file.xattrs, ()}:
            variant = msgspec.structs.replace(file, uid=uid, gid=gid, xattrs=xattrs)
            for candidate in _with_modes(variant):
                encoded = encode_file(candidate)
                if file_digest(encoded) == digest:
                    return encoded
    return None


def _with_modes(file: File) -> Iterator[File]:
    """A file with the modes that a repository or checkout may show as the one that it has."""
    yield file
    if isinstance(file, Symlink):
        return
    bits = (file.mode & 0o777, file.mode & 0o377)  # a bare-user object's owner can always read
    for mode, special in product(bits, _SPECIAL_BITS):
        yield msgspec.structs.replace(file, mode=mode | special)
