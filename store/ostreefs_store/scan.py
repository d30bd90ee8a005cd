# SPDX-License-Identifier: LGPL-2.1-or-later
"""Walking a source directory: what is in it, and what of that must be read.

The walk holds a descriptor of every directory on the way down and opens each entry relative to
one, so that neither a renamed parent nor a symbolic link that appears in its place can lead it
out of the source, and no path is ever too long.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ostreefs_store.beneath import DIRECTORY_FLAGS
from ostreefs_store.codec import encode_file, file_digest
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Xattrs,
)
from ostreefs_store.statcache import (
    FACTS,
    NO_DIGEST,
    DirectoryRecord,
    Modifiers,
    decode_record,
    directory_key,
    pack_facts,
    pack_names,
)

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot

Recognise = Callable[[os.stat_result], Digest | None]
"""Finds the object whose own inode a stat shows, if there is one."""


class SourceDirectory:
    """One directory of the source, as the walk found it.

    `facts` has `FACTS` numbers for each of `names`, `digests` a digest for each that needs no
    reading; `pending` are the positions of those that must be read. A directory with `unchanged`
    set has the digests of its `record` instead.
    """

    __slots__ = (
        "ctime",
        "digests",
        "facts",
        "gid",
        "key",
        "mode",
        "names",
        "path",
        "pending",
        "record",
        "skipped",
        "subdirectories",
        "tree",
        "uid",
        "unchanged",
        "xattrs",
    )

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.key = b""
        self.mode = self.uid = self.gid = self.ctime = 0
        self.xattrs: Xattrs = ()
        self.names: list[str] = []
        self.facts: list[int] = []
        self.digests: list[Digest] = []
        self.pending: list[int] = []
        self.subdirectories: list[tuple[int, SourceDirectory]] = []
        self.skipped: tuple[bytes, ...] = ()
        self.record: DirectoryRecord | None = None
        self.unchanged = False
        self.tree = NO_DIGEST

    def facts_of(self, position: int) -> tuple[int, ...]:
        """The facts of the entry at a position."""
        return tuple(self.facts[position * FACTS : (position + 1) * FACTS])

    def path_of(self, name: str) -> bytes:
        """The path of an entry, relative to the source."""
        encoded = os.fsencode(name)
        return self.path + b"/" + encoded if self.path else encoded


class Scanner:
    """Walks one source for one commit."""

    def __init__(self, snapshot: Snapshot, modifiers: Modifiers, recognise: Recognise) -> None:
        self._snapshot = snapshot
        self._modifiers = modifiers
        self._fingerprint = modifiers.fingerprint()
        self._recognise = recognise
        self.started = time.time_ns()
        self.special_files: list[tuple[Digest, bytes]] = []
        """File objects (digest, canonical bytes) of symlinks, fifos and devices that were read."""

    def walk(self, source_fd: int) -> Iterator[SourceDirectory]:
        """Yield every directory, parents first; the root has an empty path.

        Raises `OSError` for what cannot be listed, with its path.
        """
        root, names = self._scan(source_fd, b"")
        yield root
        stack = [(source_fd, root, iter(names))]
        try:
            while stack:
                fd, directory, remaining = stack[-1]
                found = next(remaining, None)
                if found is None:
                    stack.pop()
                    if stack:
                        os.close(fd)
                    continue
                position, name = found
                child_fd = self._open(fd, directory, name)
                child, names = self._scan(child_fd, directory.path_of(name))
                directory.subdirectories.append((position, child))
                stack.append((child_fd, child, iter(names)))
                yield child
        finally:
            for fd, _, _ in stack[1:]:
                os.close(fd)

    def _open(self, parent_fd: int, parent: SourceDirectory, name: str) -> int:
        try:
            return os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        except (NotADirectoryError, FileNotFoundError):
            raise SourceChangedError(parent.path_of(name)) from None
        except OSError as error:
            raise _with_path(error, parent.path_of(name)) from None

    def _scan(self, fd: int, path: bytes) -> tuple[SourceDirectory, list[tuple[int, str]]]:
        """List one directory; also its subdirectories as (position, name)."""
        directory = SourceDirectory(path)
        names = directory.names
        facts: list[int] = []
        subdirectories: list[tuple[int, str]] = []
        others: list[tuple[int, os.stat_result]] = []
        with os.scandir(fd) as listing:
            for entry in listing:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    subdirectories.append((len(names), name))
                    facts += (entry.inode(), 0, 0, 0)
                else:
                    found = entry.stat(follow_symlinks=False)
                    others.append((len(names), found))
                    facts += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                names.append(name)
        own = os.fstat(fd)
        directory.key = directory_key(own.st_dev, own.st_ino)
        directory.ctime = own.st_ctime_ns
        directory.facts = facts
        record = decode_record(
            self._snapshot.find_directory_record(directory.key), self._fingerprint
        )
        directory.record = record
        if record is not None and record.ctime == own.st_ctime_ns:
            directory.mode, directory.uid, directory.gid = record.mode, record.uid, record.gid
            directory.xattrs = record.xattrs
            if record.facts == pack_facts(facts) and record.names == pack_names(names):
                directory.unchanged = True
                directory.skipped = record.skipped
                return directory, subdirectories
        else:
            self._read_own_metadata(directory, fd, own)
        self._resolve(directory, fd, others)
        return directory, subdirectories

    def _read_own_metadata(self, directory: SourceDirectory, fd: int, own: os.stat_result) -> None:
        directory.mode = stat.S_IMODE(own.st_mode)
        directory.uid, directory.gid = modified_owner(own, self._modifiers)
        directory.xattrs = read_xattrs(fd) if self._modifiers.xattrs else ()

    def _resolve(
        self, directory: SourceDirectory, fd: int, others: list[tuple[int, os.stat_result]]
    ) -> None:
        """Find the digest of each entry without reading content, where that can be done."""
        known: dict[bytes, tuple[tuple[int, ...], Digest]] = {}
        if directory.record is not None:
            known = {name: (facts, digest) for name, facts, digest in directory.record.entries()}
        directory.digests = [NO_DIGEST] * len(directory.names)
        for position, found in others:
            name = directory.names[position]
            facts = directory.facts_of(position)
            before = known.get(os.fsencode(name))
            if before is not None and before[0] == facts and before[1] != NO_DIGEST:
                directory.digests[position] = before[1]
            elif stat.S_ISREG(found.st_mode):
                own = self._recognise(found) if found.st_nlink > 1 else None
                if own is None:
                    directory.pending.append(position)
                else:
                    directory.digests[position] = own
            elif stat.S_ISSOCK(found.st_mode):
                directory.skipped += (os.fsencode(name),)
            else:
                file = self._read_special(directory, fd, name, found)
                encoded = encode_file(file)
                digest = file_digest(encoded)
                directory.digests[position] = digest
                self.special_files.append((digest, encoded))

    def _read_special(
        self, directory: SourceDirectory, fd: int, name: str, found: os.stat_result
    ) -> File:
        uid, gid = modified_owner(found, self._modifiers)
        mode = stat.S_IMODE(found.st_mode)
        xattrs = read_xattrs(f"/proc/self/fd/{fd}/{name}") if self._modifiers.xattrs else ()
        if stat.S_ISLNK(found.st_mode):
            try:
                target = os.readlink(name, dir_fd=fd)
            except OSError:
                raise SourceChangedError(directory.path_of(name)) from None
            return Symlink(uid, gid, xattrs, os.fsencode(target))
        if stat.S_ISFIFO(found.st_mode):
            return Fifo(mode, uid, gid, xattrs)
        kind = CharDevice if stat.S_ISCHR(found.st_mode) else BlockDevice
        major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        return kind(mode, uid, gid, xattrs, major, minor)


def modified_owner(found: os.stat_result, modifiers: Modifiers) -> tuple[int, int]:
    """The owner that a commit records."""
    uid, gid = modifiers.owner_uid, modifiers.owner_gid
    return (
        found.st_uid if uid is None else uid,
        found.st_gid if gid is None else gid,
    )


def regular_file(
    found: os.stat_result, xattrs: Xattrs, content: Digest, modifiers: Modifiers
) -> RegularFile:
    """The file object of a regular file, as a commit records it."""
    uid, gid = modified_owner(found, modifiers)
    return RegularFile(stat.S_IMODE(found.st_mode), uid, gid, xattrs, content, found.st_size)


def _with_path(error: OSError, path: bytes) -> OSError:
    return OSError(error.errno, error.strerror, os.fsdecode(path))
