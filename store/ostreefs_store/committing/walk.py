# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a worker does with a part of a source: walk it, store what is new, find its trees.

A *job* is some directories with all that is below them. A worker goes down into them until it has
done a fair share, and hands the rest back as jobs, so that no one need know the source beforehand
to divide it. A directory of which all is settled becomes a tree at once, and nothing but that
tree's digest is told of it; what lies across jobs is finished by the parent.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.batch import Batch
from ostreefs_store.codec import read_file
from ostreefs_store.committing.consume import TakenDirectory, TakenFile
from ostreefs_store.committing.redescribe import Redescriber
from ostreefs_store.committing.scan import Scanner, SourceOptions
from ostreefs_store.committing.sourcedir import SourceDirectory
from ostreefs_store.errors import FreeSpaceError
from ostreefs_store.model import DIGEST_SIZE, Digest, RegularFile
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.space import check_free_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.committing.reader import FileReader
    from ostreefs_store.known import KnownObjects
    from ostreefs_store.repository import Repository

_SHARE = 1024
"""What a job may cost, in files that are looked at."""
_FIRST_SHARE = 256
"""The same for the first job, which keeps the others waiting."""
_READ_COST = 3
"""What it costs to read one, beyond looking at it."""
_BYTES_COST = 1 << 14
"""So many bytes of a file that is read cost one more."""
_JOB_FILES = 256
_JOB_BYTES = 16 << 20

Wanted = tuple[bytes, list[tuple[int, str, int]]]
"""Files of a directory that are to be read: its path, [(position, name, size), …]."""


Part = tuple[bytes, list[str]]
"""Some subdirectories of a directory: its path, their names."""


class Job(NamedTuple):
    """A part of the source: directories to walk and files to read."""

    directories: list[Part]
    files: list[Wanted]


SOURCE = Job([], [])
"""The job that is the source itself."""


class Answer:
    """What came of a job.

    `trees` are the digests of the directories that it named, as far as they are known;
    `unfinished` those that have more in them than this job saw; `stored` what files of such
    directories became: (path of the directory, [(position, digest, facts), …]); `taken` objects
    whose name was taken: digest -> (path of the file, canonical bytes).
    """

    __slots__ = (
        "batch",
        "read_bytes",
        "read_files",
        "skipped",
        "stored",
        "taken",
        "taken_in",
        "trees",
        "unfinished",
    )

    def __init__(self) -> None:
        self.batch = Batch()
        self.trees: dict[bytes, Digest] = {}
        self.unfinished: list[SourceDirectory] = []
        self.stored: list[tuple[bytes, list[tuple[int, Digest, tuple[int, ...]]]]] = []
        self.taken: dict[Digest, tuple[bytes, bytes]] = {}
        self.taken_in: list[TakenDirectory] = []
        self.skipped: list[bytes] = []
        self.read_files = self.read_bytes = 0

    def add(self, other: Answer) -> None:
        """Add what came of another job."""
        self.batch.merge(other.batch)
        self.trees.update(other.trees)
        self.unfinished += other.unfinished
        self.stored += other.stored
        self.taken.update(other.taken)
        self.taken_in += other.taken_in
        self.skipped += other.skipped
        self.read_files += other.read_files
        self.read_bytes += other.read_bytes


class Walker:
    """Does jobs; `run` is for workers, which are forked with everything that it needs."""

    def __init__(
        self,
        repository: Repository,
        known: KnownObjects,
        reader: FileReader,
        options: SourceOptions,
    ) -> None:
        self._repository = repository
        self._known = known
        self._reader = reader
        self._redescriber = Redescriber(reader.modifiers)
        self._scanner = Scanner(
            known, reader.modifiers, self._recognise, own=repository.path, options=options
        )
        self._objects_device = os.fstat(repository.objects.fd).st_dev
        self._answer = Answer()
        self._left: list[Part] = []
        self._wanted: list[Job] = []
        self._cost, self._share = 0, _SHARE

    def run(self, job: Job) -> tuple[Answer, list[Job]]:
        """Do a job, or a fair share of it; what is left of it.

        Raises `OSError` and `SourceChangedError` with paths in the source, `FreeSpaceError`.
        """
        self._answer, self._left, self._wanted, self._cost = Answer(), [], [], 0
        self._share = _FIRST_SHARE if job == SOURCE else _SHARE
        previous = os.umask(0)
        try:
            if job == SOURCE:
                self._walk_source()
            for path, files in job.files:
                self._read_files(path, files)
            for part in job.directories:
                self._walk(part)
        finally:
            os.umask(previous)
        special = self._scanner.special_files
        batch = self._answer.batch
        batch.files.update(special)
        special.clear()
        # The index wants them sorted: sorted runs are half the work of that, and done here.
        batch.files = dict(sorted(batch.files.items()))
        return self._answer, [*_halves(self._left), *self._wanted]

    def _is_spent(self) -> bool:
        return self._cost >= self._share

    def _walk_source(self) -> None:
        with self._reader.open_directory(b"") as fd:
            top = self._enter(fd, b"")
            self._descend(fd, top, top.subdirectories)
            self._leave(top)
        if top.is_settled:
            self._answer.trees[b""] = top.tree

    def _walk(self, part: Part) -> None:
        path, names = part
        if self._is_spent():
            self._left.append(part)
            return
        with self._reader.open_directory(path) as fd:
            above = SourceDirectory(path)
            self._descend(fd, above, names)
        for name, tree in above.trees.items():
            self._answer.trees[above.path_of(name)] = tree

    def _descend(self, top_fd: int, top: SourceDirectory, names: list[str]) -> None:
        """Walk subdirectories; what is not reached before the share is done is left."""
        stack = [(top_fd, top, "", iter(names))]
        try:
            while True:
                fd, directory, own, remaining = stack[-1]
                name = None if self._is_spent() else next(remaining, None)
                if name is not None:
                    child_fd = self._scanner.open(fd, directory, name)
                    with _closed_on_error(child_fd):
                        child = self._enter(child_fd, directory.path_of(name))
                    stack.append((child_fd, child, name, iter(child.subdirectories)))
                    continue
                if left := list(remaining):
                    self._left.append((directory.path, left))
                stack.pop()
                if not stack:
                    return
                os.close(fd)
                self._leave(directory)
                if directory.is_settled:
                    stack[-1][1].trees[own] = directory.tree
        finally:
            for fd, *_ in stack[1:]:
                os.close(fd)

    def _enter(self, fd: int, path: bytes) -> SourceDirectory:
        """Look at a directory, and settle as many of its files as there is time for."""
        directory = self._scanner.scan(fd, path)
        self._cost += 1 + _count(directory)
        if directory.candidates:
            snapshot = self._known.snapshot()
            assert snapshot is not None, "what is in no index is no candidate"
            self._redescriber.describe(snapshot, directory, fd, self._answer.batch)
        if directory.pending:
            self._read_pending(directory, fd)
        return directory

    def _read_pending(self, directory: SourceDirectory, fd: int) -> None:
        """Read what must be read of a directory; what is not reached becomes jobs of its own."""
        names, pending = directory.names, directory.pending
        self._check_space(
            directory.path, fd, [(names[at], directory.size_of(at)) for at in pending]
        )
        done = 0
        for position in pending:
            if self._is_spent():
                break
            digest, facts = self._store(fd, directory.path, names[position])
            directory.set_stored(position, digest, facts)
            done += 1
        directory.pending = pending[done:]
        self._wanted += _reading_jobs(directory)

    def _leave(self, directory: SourceDirectory) -> None:
        """Finish a directory, or hand it over to be finished by the parent."""
        for name in directory.skipped:
            self._answer.skipped.append(os.path.join(directory.path, name))
        if directory.is_settled:
            self.finish(directory, self._answer)
        else:
            self._answer.unfinished.append(directory)

    def finish(self, directory: SourceDirectory, answer: Answer) -> None:
        """Find the tree of a directory that is settled."""
        directory.finish(self._known.snapshot(), answer.batch, self._scanner.started)
        if self._reader.consume:
            answer.taken_in.append(_taken_in(directory))

    def _read_files(self, path: bytes, files: list[tuple[int, str, int]]) -> None:
        with self._reader.open_directory(path) as fd:
            self._check_space(path, fd, [(name, size) for _, name, size in files])
            stored = [(position, *self._store(fd, path, name)) for position, name, _ in files]
        self._answer.stored.append((path, stored))

    def _check_space(self, path: bytes, fd: int, files: list[tuple[str, int]]) -> None:
        """Raise `FreeSpaceError` before anything is written if not all of these files fit.

        Of files of holes only the data counts, and of those whose content is here nothing.
        """
        if self._reader.consume:
            return
        volume = sum(size for _, size in files)
        if volume > _JOB_BYTES:
            volume = sum(_allocated(fd, name) for name, _ in files)
        try:
            check_free_space(self._repository, volume)
        except FreeSpaceError:
            if self._known.snapshot() is None:
                raise
            names = [name for name, _ in files]
            check_free_space(self._repository, self._reader.find_new_bytes(path, fd, names))

    def _store(self, fd: int, path: bytes, name: str) -> tuple[Digest, tuple[int, ...]]:
        """Store a file; its digest and its facts."""
        digest, encoded, facts, content, inode, holder = self._reader.store(path, fd, name)
        answer, size = self._answer, facts[1]
        answer.read_files += 1
        answer.read_bytes += size
        self._cost += _READ_COST + size // _BYTES_COST
        if inode:
            answer.batch.object_files.append((inode, digest, content))
        if holder:
            answer.batch.twins[digest] = Digest(holder)
        if inode or holder or size == 0:
            answer.batch.files[digest] = encoded
        else:
            answer.taken[digest] = (os.path.join(path, os.fsencode(name)), encoded)
        return digest, facts

    def _recognise(self, found: os.stat_result, path: str) -> Digest | None:
        """The object that a hardlink checkout shares this inode with, unless it was changed."""
        if found.st_dev != self._objects_device or self._reader.modifiers != Modifiers():
            return None
        snapshot = self._known.snapshot()
        digest = None if snapshot is None else snapshot.find_by_inode(found.st_ino)
        if digest is None or snapshot is None:
            return None
        encoded = snapshot.find_file(digest)
        file = None if encoded is None else read_file(encoded)
        if not isinstance(file, RegularFile):
            return None
        return digest if self._repository.objects.is_own_inode(digest, file, found, path) else None


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _count(directory: SourceDirectory) -> int:
    """How many files a directory has."""
    if directory.record is None or not directory.unchanged:
        return len(directory.names)
    return len(directory.record.digests) // DIGEST_SIZE


def _halves(parts: list[Part]) -> list[Job]:
    """What is left of a job, as two: so it becomes enough for all workers before long."""
    half = (sum(len(names) for _, names in parts) + 1) // 2
    one: list[Part] = []
    other: list[Part] = []
    for path, names in parts:
        if half:
            one.append((path, names[:half]))
        if names[half:]:
            other.append((path, names[half:]))
        half -= min(half, len(names))
    return [Job(directories, []) for directories in (one, other) if directories]


def _reading_jobs(directory: SourceDirectory) -> Iterator[Job]:
    """The files of a directory that are still to be read, in portions of a fair size."""
    files: list[tuple[int, str, int]] = []
    volume = 0
    for position in directory.pending:
        size = directory.size_of(position)
        files.append((position, directory.names[position], size))
        volume += size
        if len(files) >= _JOB_FILES or volume >= _JOB_BYTES:
            yield Job([], [(directory.path, files)])
            files, volume = [], 0
    if files:
        yield Job([], [(directory.path, files)])


def _allocated(dir_fd: int, name: str) -> int:
    """The bytes of a file that are no holes; 0 for one that has just vanished."""
    try:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return 0
    return min(found.st_size, found.st_blocks * 512)


def _taken_in(directory: SourceDirectory) -> TakenDirectory:
    """What a consumed directory may lose: all of it but sockets."""
    if directory.unchanged:
        directory.load_files()
    skipped = {os.fsdecode(name) for name in directory.skipped}
    files = [
        TakenFile(name, *directory.facts_of(position)[:3])
        for position, name in enumerate(directory.names)
        if name not in skipped
    ]
    return TakenDirectory(directory.path, files)
