# SPDX-License-Identifier: LGPL-2.1-or-later
"""Walking a source directory: what is in it, and what of that must be read.

The walk holds a descriptor of every directory on the way down and opens each entry relative to
one, so that neither a renamed parent nor a symbolic link that appears in its place can lead it
out of the source, and no path is too long; the depth is bounded by the descriptors one may hold.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import DIRECTORY_FLAGS, find_fstype
from ostreefs_store.codec import encode_file, file_digest, read_tree_head
from ostreefs_store.committing.redescribe import of_source
from ostreefs_store.committing.sourcedir import SourceDirectory
from ostreefs_store.errors import SourceChangedError, SourceHoldsRepositoryError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    Symlink,
    TreeHead,
    Xattrs,
)
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.names import RESERVED_XATTR_PREFIX
from ostreefs_store.statcache import (
    KEPT_CTIME,
    NO_DIGEST,
    UNKNOWN,
    DirectoryRecord,
    decode_record,
    directory_key,
    pack_facts,
    pack_names,
    split_digests,
    unpack_names,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.known import KnownObjects


MOUNT_FSTYPE = "fuse.ostreefs"
TREE_XATTR = RESERVED_XATTR_PREFIX.decode() + "object"
"""What a mount shows as the digest of the object behind a path, in hex."""

Recognise = Callable[[os.stat_result, str], Digest | None]
"""Finds the object whose own inode is what a path names, if there is one; with the path's stat."""


class SourceOptions(NamedTuple):
    """How a directory is taken in.

    `consume`: its own inodes may become the objects. `skip`: paths in it, without a slash before,
    that are left out. `trust`: believe what an earlier commit found of files with the same stat.
    """

    consume: bool = False
    skip: frozenset[bytes] = frozenset()
    trust: bool = True


class Scanner:
    """Looks at the directories of one source for one commit."""

    def __init__(
        self,
        known: KnownObjects | None,
        modifiers: Modifiers,
        recognise: Recognise,
        *,
        own: Path | None,
        options: SourceOptions,
    ) -> None:
        """`own` is the repository, which no commit may hold. Without one nothing is trusted."""
        self._trust = options.trust
        self._believes_mounts = options.trust and not options.skip and modifiers == Modifiers()
        self._is_ours: dict[int, bool] = {}
        self._skip: dict[bytes, set[str]] = {}
        for path in options.skip:
            above, name = os.path.split(path)
            self._skip.setdefault(above, set()).add(os.fsdecode(name))
        self._own_key = b""
        if own is not None:
            found = own.stat()
            self._own_key = directory_key(found.st_dev, found.st_ino)
        self._known = known
        self._modifiers = modifiers
        self._fingerprints: dict[int, bytes | None] = {}
        self._recognise = recognise
        self.started = time.time_ns()
        self.special_files: list[tuple[Digest, bytes]] = []
        """File objects (digest, canonical bytes) of symlinks, fifos and devices that were read."""

    def walk(self, source_fd: int) -> Iterator[SourceDirectory]:
        """Yield every directory, parents first; the root has an empty path.

        Raises `OSError` for what cannot be listed, with its path.
        """
        root = self.scan(source_fd, b"")
        yield root
        stack = [(source_fd, root, iter(root.subdirectories))]
        try:
            while stack:
                fd, directory, remaining = stack[-1]
                name = next(remaining, None)
                if name is None:
                    stack.pop()
                    if stack:
                        os.close(fd)
                    continue
                child_fd = self.open(fd, directory, name)
                child = self.scan(child_fd, directory.path_of(name))
                stack.append((child_fd, child, iter(child.subdirectories)))
                yield child
        finally:
            for fd, _, _ in stack[1:]:
                os.close(fd)

    def open(self, parent_fd: int, parent: SourceDirectory, name: str) -> int:
        """A descriptor of a subdirectory, to be closed by the caller.

        Raises `SourceChangedError` when it is none any more, `OSError` with its path.
        """
        try:
            return os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        except NotADirectoryError:
            raise SourceChangedError(parent.path_of(name)) from None
        except OSError as error:
            raise of_source(error, parent.path_of(name)) from None

    def scan(self, fd: int, path: bytes) -> SourceDirectory:
        """Look at one directory.

        Its own stat is taken before it is listed: what comes later changes its ctime again.
        """
        directory = SourceDirectory(path)
        own = os.fstat(fd)
        directory.key = directory_key(own.st_dev, own.st_ino)
        if directory.key == self._own_key:
            raise SourceHoldsRepositoryError(path)
        shown = self._find_shown(fd, own)
        if shown is not None:
            directory.tree, directory.recognised = shown, True
            return directory
        directory.ctime = own.st_ctime_ns
        fingerprint = None if path in self._skip else self._fingerprint(fd, own.st_dev)
        directory.fingerprint = fingerprint
        record = directory.record = self._find_record(directory.key, fingerprint)
        if record is not None and record.ctime == own.st_ctime_ns:
            directory.mode, directory.uid, directory.gid = record.mode, record.uid, record.gid
            directory.xattrs = record.xattrs
            if _has_same_files(fd, record):
                directory.unchanged = True
                directory.skipped = record.skipped
                directory.subdirectories = unpack_names(record.subdirectories)
                return directory
        else:
            directory.mode = self._modifiers.mode(stat.S_IMODE(own.st_mode))
            directory.uid, directory.gid = self._modifiers.owner(own.st_uid, own.st_gid)
            directory.xattrs = read_xattrs(fd) if self._modifiers.xattrs else ()
        self._list(directory, fd)
        return directory

    @property
    def _snapshot(self) -> Snapshot | None:
        return None if self._known is None else self._known.snapshot()

    def _find_record(self, key: bytes, fingerprint: bytes | None) -> DirectoryRecord | None:
        if fingerprint is None or not self._trust or (snapshot := self._snapshot) is None:
            return None
        return decode_record(snapshot.find_directory_record(key), fingerprint)

    def _find_shown(self, fd: int, own: os.stat_result) -> Digest | None:
        """The tree that a directory of a mount of ours shows, if this repository has it.

        It is believed where the directory shows the tree's own metadata, too.
        """
        if not self._believes_mounts:
            return None
        if own.st_dev not in self._is_ours:
            self._is_ours[own.st_dev] = find_fstype(fd) == MOUNT_FSTYPE
        if not self._is_ours[own.st_dev]:
            return None
        try:
            digest = Digest(bytes.fromhex(os.getxattr(fd, TREE_XATTR).decode("ascii")))
        except (OSError, ValueError):  # a directory of the mount itself, such as refs
            return None
        snapshot = self._snapshot
        encoded = None if snapshot is None else snapshot.find_tree(digest)
        if encoded is None:
            return None
        head = read_tree_head(encoded)
        found = TreeHead(stat.S_IMODE(own.st_mode), own.st_uid, own.st_gid, head.xattrs)
        return digest if found == head else None

    def _fingerprint(self, fd: int, device: int) -> bytes | None:
        """What the records of a filesystem are marked with; None where ctimes mean nothing."""
        try:
            return self._fingerprints[device]
        except KeyError:
            pass
        found = os.fstatvfs(fd)
        is_kept = find_fstype(fd) in KEPT_CTIME and not found.f_flag & os.ST_RDONLY
        fingerprint = self._modifiers.fingerprint(found.f_fsid) if is_kept else None
        self._fingerprints[device] = fingerprint
        return fingerprint

    def _list(self, directory: SourceDirectory, fd: int) -> None:
        """List a directory, and find the digests of its files."""
        stats: list[os.stat_result] = []
        subdirectories = directory.subdirectories
        names, facts = directory.names, directory.facts
        skip = self._skip.get(directory.path, ())
        with os.scandir(fd) as listing:
            for entry in listing:
                if entry.name in skip:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    subdirectories.append(entry.name)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError as error:
                    raise of_source(error, directory.path_of(entry.name)) from None
                stats.append(found)
                names.append(entry.name)
                facts += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        self._resolve(directory, fd, stats)

    def _resolve(self, directory: SourceDirectory, fd: int, stats: list[os.stat_result]) -> None:
        """Find the digest of each file without reading content, where that can be done."""
        directory.packed_names = pack_names(directory.names)
        record = directory.record
        touched = None
        if record is not None:
            touched = record.find_touched(directory.packed_names, directory.facts)
        if record is None or touched is None:
            self._resolve_each(directory, fd, stats)
            return
        before = split_digests(record.digests)
        digests = directory.digests = list(before)
        for position in touched:
            found = stats[position]
            digests[position] = NO_DIGEST
            if found.st_nlink == 1 and stat.S_ISREG(found.st_mode):  # as below, for most files
                name = directory.names[position]
                directory.candidates.append((position, name, found, before[position]))
            else:
                self._resolve_touched(directory, fd, (position, found, before[position]))

    def _resolve_each(
        self, directory: SourceDirectory, fd: int, stats: list[os.stat_result]
    ) -> None:
        known = {} if directory.record is None else directory.record.files()
        digests = directory.digests = [NO_DIGEST] * len(stats)
        for position, (name, found) in enumerate(zip(directory.names, stats, strict=True)):
            facts = directory.facts_of(position)
            before = known.get(name)
            if before is not None and before[0] == facts and before[1] != NO_DIGEST:
                digests[position] = before[1]
            elif before is not None and _only_ctime_differs(before[0], facts):
                self._resolve_touched(directory, fd, (position, found, before[1]))
            else:
                self._resolve_touched(directory, fd, (position, found, None))

    def _resolve_touched(
        self,
        directory: SourceDirectory,
        fd: int,
        entry: tuple[int, os.stat_result, Digest | None],
    ) -> None:
        """Settle a file that is not as it was; with the object of which only the ctime differs."""
        position, found, before = entry
        if not stat.S_ISREG(found.st_mode):
            self._resolve_special(directory, fd, position, found)
            return
        name = directory.names[position]
        if found.st_nlink != 1 and (own := self._find_own(fd, name, found)) is not None:
            directory.digests[position] = own
        elif before is not None:
            directory.candidates.append((position, name, found, before))
        else:
            directory.pending.append(position)

    def _resolve_special(
        self, directory: SourceDirectory, fd: int, position: int, found: os.stat_result
    ) -> None:
        name = directory.names[position]
        if stat.S_ISSOCK(found.st_mode):
            directory.skipped += (os.fsencode(name),)
            return
        encoded = encode_file(self._read_special(directory, fd, name, found))
        digest = directory.digests[position] = file_digest(encoded)
        self.special_files.append((digest, encoded))

    def _find_own(self, fd: int, name: str, found: os.stat_result) -> Digest | None:
        """The object of which this file is a hard link."""
        if not self._trust:
            return None
        return self._recognise(found, f"/proc/self/fd/{fd}/{name}")

    def _read_special(
        self, directory: SourceDirectory, fd: int, name: str, found: os.stat_result
    ) -> File:
        try:
            return special_file(fd, name, found, self._modifiers)
        except OSError as error:
            raise of_source(error, directory.path_of(name)) from None


def _has_same_files(fd: int, record: DirectoryRecord) -> bool:
    """Whether the files of a directory that holds the same names have the same facts."""
    facts: list[int] = []
    try:
        for name in unpack_names(record.names):
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            facts += (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except FileNotFoundError:
        return False
    return record.facts == pack_facts(facts)


def _only_ctime_differs(before: tuple[int, ...], now: tuple[int, ...]) -> bool:
    """Whether a file that was not too young to be believed was changed, but not written to."""
    return before[:3] == now[:3] and before[3] != UNKNOWN


def special_file(fd: int, name: str, found: os.stat_result, modifiers: Modifiers) -> File:
    """The file object of a symlink, fifo or device in the directory `fd`, as a commit records it.

    Raises `OSError`, FileNotFoundError for a symlink that is none any more.
    """
    uid, gid = modifiers.owner(found.st_uid, found.st_gid)
    mode = modifiers.mode(stat.S_IMODE(found.st_mode))
    xattrs: Xattrs = ()
    if modifiers.xattrs:
        xattrs = modifiers.file_xattrs(read_xattrs(f"/proc/self/fd/{fd}/{name}"))
    if stat.S_ISLNK(found.st_mode):
        try:
            target = os.readlink(name, dir_fd=fd)
        except OSError as error:
            raise FileNotFoundError(errno.ENOENT, error.strerror, name) from None
        return Symlink(uid, gid, xattrs, os.fsencode(target))
    if stat.S_ISFIFO(found.st_mode):
        return Fifo(mode, uid, gid, xattrs)
    kind = CharDevice if stat.S_ISCHR(found.st_mode) else BlockDevice
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return kind(mode, uid, gid, xattrs, major, minor)
