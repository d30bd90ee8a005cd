# SPDX-License-Identifier: LGPL-2.1-or-later
"""What objects the things on a disk would become in a commit, without storing any.

Everything is read; nothing that a repository remembers of a directory is believed.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import open_beneath
from ostreefs_store.codec import encode_file, file_digest, tree_digest
from ostreefs_store.committing.scan import Scanner, SourceOptions, special_file
from ostreefs_store.content import hash_file
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.parallel import map_unordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.committing.sourcedir import SourceDirectory
    from ostreefs_store.model import Digest, File
    from ostreefs_store.modifiers import Modifiers

_JOB_FILES = 256
_JOB_BYTES = 16 << 20
_ATTEMPTS = 5
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_Job = list[tuple[int, bytes, list[tuple[int, str]]]]
"""(number of a directory, its path, [(position of a file in it, name), …]), …"""

_Answer = list[tuple[int, int, bytes]]
"""(number of a directory, position of a file in it, canonical bytes), …"""


class Derived(NamedTuple):
    """The objects that a directory with all below it would become."""

    root: Digest
    trees: dict[Digest, bytes]
    files: dict[Digest, bytes]


def derive_directory(source: str | os.PathLike[str], modifiers: Modifiers) -> Derived:
    """Read a directory; its root is the tree id that a commit of it would record.

    Raises `OSError` for what cannot be read, `SourceChangedError` for what is not left alone.
    """
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _derive(fd, modifiers)
    finally:
        os.close(fd)


def derive_file(dir_fd: int, name: str, modifiers: Modifiers) -> File:
    """The file object that an entry of a directory would become; links are not followed.

    Raises `OSError`, `SourceChangedError`; `ValueError` for a directory or a socket.
    """
    for _ in range(_ATTEMPTS):
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            raise ValueError(name)
        if not stat.S_ISREG(found.st_mode):
            return special_file(dir_fd, name, found, modifiers)
        fd = os.open(name, _FILE, dir_fd=dir_fd)
        try:
            file = _read_regular(fd, modifiers)
        finally:
            os.close(fd)
        if file is not None:
            return file
    raise SourceChangedError(os.fsencode(name))


def _read_regular(fd: int, modifiers: Modifiers) -> File | None:
    """The object of an open file; None when it is none, or changed under our hands."""
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        return None
    xattrs = read_xattrs(fd) if modifiers.xattrs else ()
    content = hash_file(fd, before.st_size)
    after = os.fstat(fd)
    if (before.st_size, before.st_ctime_ns) != (after.st_size, after.st_ctime_ns):
        return None
    return modifiers.regular_file(before, xattrs, content)


def _derive(source_fd: int, modifiers: Modifiers) -> Derived:
    scanner = Scanner(
        None, modifiers, lambda *_: None, own=None, options=SourceOptions(trust=False)
    )
    directories: list[SourceDirectory] = []
    derived = Derived(b"", {}, {})  # type: ignore[arg-type]  # the root is known at the end
    worker = _Worker(source_fd, modifiers)
    for answer in map_unordered(worker.describe, _jobs(scanner, source_fd, directories)):
        for number, position, encoded in answer:
            digest = directories[number].digests[position] = file_digest(encoded)
            derived.files[digest] = encoded
    derived.files.update(scanner.special_files)
    below: dict[bytes, Digest] = {}
    for directory in reversed(directories):
        directory.trees = {
            name: below[directory.path_of(name)] for name in directory.subdirectories
        }
        encoded = directory.encode_tree()
        directory.tree = below[directory.path] = tree_digest(encoded)
        derived.trees[directory.tree] = encoded
    return derived._replace(root=directories[0].tree)


def _jobs(scanner: Scanner, source_fd: int, directories: list[SourceDirectory]) -> Iterator[_Job]:
    """Walk; gather the regular files into jobs of a fair size."""
    job: _Job = []
    count = volume = 0
    for number, directory in enumerate(scanner.walk(source_fd)):
        directories.append(directory)
        files: list[tuple[int, str]] = []
        for position in directory.pending:
            if not files:
                job.append((number, directory.path, files))
            files.append((position, directory.names[position]))
            count += 1
            volume += directory.facts_of(position)[1]
            if count >= _JOB_FILES or volume >= _JOB_BYTES:
                yield job
                job, files, count, volume = [], [], 0, 0
    if job:
        yield job


class _Worker:
    """The part that workers do: read files."""

    def __init__(self, source_fd: int, modifiers: Modifiers) -> None:
        self._source_fd = source_fd
        self._modifiers = modifiers

    def describe(self, job: _Job) -> _Answer:
        answer: _Answer = []
        for number, path, files in job:
            with open_beneath(self._source_fd, path) as dir_fd:
                for position, name in files:
                    file = self._describe(dir_fd, path, name)
                    answer.append((number, position, encode_file(file)))
        return answer

    def _describe(self, dir_fd: int, path: bytes, name: str) -> File:
        full = os.path.join(path, os.fsencode(name))
        try:
            return derive_file(dir_fd, name, self._modifiers)
        except (SourceChangedError, ValueError, FileNotFoundError):
            raise SourceChangedError(full) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fsdecode(full)) from None
