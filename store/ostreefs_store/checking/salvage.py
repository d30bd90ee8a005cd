# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looking through directories for whole copies of damaged objects, and for names of their inodes.

A directory may be a checkout, a backup, a mount of another repository, or the tree that was once
committed. What is found is a candidate, no more: a hardlink checkout has the damaged inode itself,
so whoever uses a candidate hashes what it copies.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import find_fstype, open_beneath
from ostreefs_store.content import hash_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from ostreefs_store.model import Digest

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_MADE_UP = {"proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "devpts"}

_BESIDE_MAX = 200

Inode = tuple[int, int]
"""Device and inode number."""


class Wanted(NamedTuple):
    """What to look for: sizes of content that is lost, and inodes whose names are to be told."""

    sizes: frozenset[int] = frozenset()
    inodes: frozenset[Inode] = frozenset()


class Directories:
    """The directories given; walked once, when something is not where the commits have it."""

    def __init__(
        self, paths: Sequence[bytes], wanted: Wanted, *, repository: str | os.PathLike[str]
    ) -> None:
        """The repository may lie in one of them, and is no copy of itself.

        Raises `OSError` for a path that is not a directory that we may list.
        """
        own = os.stat(repository)
        self.beside = find_beside(os.fsencode(repository)) if wanted.inodes else []
        self.paths = [os.path.realpath(path) for path in paths]
        for path in self.paths:
            os.listdir(path)
        self._wanted = wanted
        self._skip = (own.st_dev, own.st_ino)
        self._walked = False
        self._by_size: dict[int, list[bytes]] = {}
        self._names: dict[Inode, list[bytes]] = {}
        self._by_content: dict[Digest, bytes] = {}

    def iter_copies(
        self, content: Digest, size: int, paths: Collection[bytes]
    ) -> Iterator[tuple[bytes, int]]:
        """Yield files that may hold some content, as (path, descriptor), the likeliest first.

        `paths` are those that commits have for it. The descriptor is closed when the next is asked
        for.
        """
        for top in self.paths:
            for path in sorted(paths):
                yield from _opened(top, path, size)
        found = self._find_hashed(content, size)
        if found is not None:
            yield from _opened(b"/", found, size)

    def iter_entries(self, path: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield what stands at a commit's path: its full path, its directory (open) and name."""
        above, name = os.path.split(path.lstrip(b"/"))
        for top in self.paths:
            with suppress(OSError), _open_directory(top, above) as dir_fd:
                os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
                yield os.path.join(top, above, name), dir_fd, name

    def names_of(self, inode: Inode) -> list[bytes]:
        """The names that one of the wanted inodes has under the directories."""
        self._walk()
        return self._names.get(inode, [])

    def _find_hashed(self, content: Digest, size: int) -> bytes | None:
        """A file of the right size anywhere, by its content; each file is read once."""
        self._walk()
        for path in self._by_size.pop(size, []):
            for _, fd in _opened(b"/", path, size):
                with suppress(OSError):
                    self._by_content.setdefault(hash_file(fd, size), path)
        return self._by_content.get(content)

    def _walk(self) -> None:
        if self._walked:
            return
        self._walked = True
        devices: dict[int, bool] = {}
        for top in self.paths:
            for folder, subdirectories, names in os.walk(top):
                found = _find_stat(folder)
                if found is not None and found.st_dev not in devices:
                    devices[found.st_dev] = _holds_files(folder)
                if found is None or self._is_passed_over(found, devices):
                    subdirectories.clear()
                    continue
                for name in names:
                    self._note(os.path.join(folder, name))

    def _is_passed_over(self, found: os.stat_result, devices: dict[int, bool]) -> bool:
        return (found.st_dev, found.st_ino) == self._skip or not devices[found.st_dev]

    def _note(self, path: bytes) -> None:
        found = _find_stat(path)
        if found is None or not stat.S_ISREG(found.st_mode):
            return
        inode = (found.st_dev, found.st_ino)
        if inode in self._wanted.inodes:
            self._names.setdefault(inode, []).append(path)
        elif found.st_size in self._wanted.sizes:
            self._by_size.setdefault(found.st_size, []).append(path)


def find_beside(repository: bytes) -> list[bytes]:
    """The directories beside a repository, where its deployments are.

    None where there are so many that it lies among other things.
    """
    own = os.path.realpath(repository)
    try:
        with os.scandir(os.path.dirname(own)) as listing:
            found = [e.path for e in listing if e.is_dir(follow_symlinks=False) and e.path != own]
    except OSError:
        return []
    return sorted(found) if len(found) <= _BESIDE_MAX else []


def _find_in_checkouts(
    checkouts: Collection[bytes], paths: Collection[bytes], inode: Inode
) -> Iterator[bytes]:
    """Names of an inode where checkouts have it; nothing is walked."""
    for checkout in checkouts:
        for path in paths:
            full = os.path.join(checkout, path.lstrip(b"/"))
            found = _find_stat(full)
            if found is not None and (found.st_dev, found.st_ino) == inode:
                yield full


class Sharing(NamedTuple):
    """Who shares a damaged inode: the names that were found, and how to find the others."""

    paths: tuple[bytes, ...]
    others: int
    """Names that the inode has besides, somewhere on its filesystem."""
    command: str
    """What lists all of them."""


def find_sharing(
    repository: Path, inode: Inode, links: int, paths: Collection[bytes], directories: Directories
) -> Sharing:
    """Names that an object's inode has outside of the repository."""
    own = os.fsencode(repository)
    beside = _find_in_checkouts(directories.beside, paths, inode)
    found = {*beside, *directories.names_of(inode)}
    start = shlex.quote(os.fsdecode(find_mount_point(own)))
    command = f"find {start} -xdev -inum {inode[1]}"
    return Sharing(tuple(sorted(found)), max(links - 1 - len(found), 0), command)


def find_mount_point(path: bytes) -> bytes:
    """The mount point of the filesystem that a path lies on: where `find -xdev` would start."""
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def _opened(top: bytes, path: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    """The regular file of this size that a path beneath `top` names, if there is one."""
    above, name = os.path.split(path.lstrip(b"/"))
    with suppress(OSError), _open_directory(top, above) as dir_fd:
        fd = os.open(name, _FILE, dir_fd=dir_fd)
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode) and found.st_size == size:
                yield os.path.join(top, above, name), fd
        finally:
            os.close(fd)


@contextmanager
def _open_directory(top: bytes, path: bytes) -> Iterator[int]:
    """A directory beneath another one; no symbolic link beneath `top` is followed."""
    top_fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open_beneath(top_fd, path) as fd:
            yield fd
    finally:
        os.close(top_fd)


def _holds_files(folder: bytes) -> bool:
    """Whether a filesystem holds files at all, rather than what the kernel makes up."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return find_fstype(fd) not in _MADE_UP
    finally:
        os.close(fd)


def _find_stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except OSError:
        return None
