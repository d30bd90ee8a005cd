# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking a directory into the repository.

1. `scan` walks the source and finds what must be read.
2. `reader`, in worker processes, reads, hashes and stores it: nothing is reachable yet.
3. The digests of the trees follow, from the leaves up.

What comes of it goes into a `Batch` of records for the index; `commit` makes the objects durable
and puts the records in, in one transaction. Dying anywhere before that leaves files that no one
knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import decode_file, read_file
from ostreefs_store.committing.consume import TakenDirectory, TakenFile
from ostreefs_store.committing.reader import FileReader, Job, Stored
from ostreefs_store.committing.redescribe import Redescriber, Suspects
from ostreefs_store.committing.scan import Scanner, SourceDirectory, SourceOptions
from ostreefs_store.errors import SourceChangedError, SourceHoldsRepositoryError
from ostreefs_store.known import KnownObjects
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.parallel import map_unordered
from ostreefs_store.space import check_free_space
from ostreefs_store.statcache import (
    FACTS,
    NO_DIGEST,
    UNKNOWN,
    DirectoryRecord,
    encode_record,
    forget_racy,
    is_racy,
    pack_facts,
    pack_names,
)

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_JOB_FILES = 256
_JOB_BYTES = 16 << 20

Progress = Callable[[int, int], None]
"""Called now and then with the files and the bytes read so far."""


class Ingested(NamedTuple):
    """The tree that a source became, and how."""

    root: Digest
    skipped: list[bytes]
    """Paths of sockets, which are in no tree."""
    taken_in: list[TakenDirectory]
    """With `consume`: what may be deleted once the commit is durable."""
    read_files: int
    read_bytes: int


@contextmanager
def open_source(source: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of a directory to be taken in, for a `with` block."""
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def ingest_directory(
    repository: Repository,
    source: str | os.PathLike[str],
    modifiers: Modifiers,
    batch: Batch,
    *,
    options: SourceOptions = SourceOptions(),  # noqa: B008 -- an immutable value
    progress: Progress | None = None,
) -> Ingested:
    """Store everything under `source`, to be added to the index from `batch`.

    With `options.consume` the source's own inodes may become the objects, and their times become
    0. Raises `OSError` for what cannot be read, `SourceChangedError` for a file that is not left
    alone, `SourceHoldsRepositoryError`.
    """
    own, resolved = os.path.realpath(repository.path), os.path.realpath(source)
    if resolved.startswith(own + "/"):
        raise SourceHoldsRepositoryError(os.fsencode(source))
    with open_source(source) as source_fd, repository.index.snapshot() as snapshot:
        known = KnownObjects(repository, snapshot)
        reader = FileReader(
            repository.objects, known, source_fd, modifiers, consume=options.consume
        )
        ingest = _Ingest(repository, snapshot, batch, reader, options, progress)
        try:
            return ingest.run(source_fd)
        except SourceChangedError as error:
            raise SourceChangedError(os.path.join(os.fsencode(source), error.path)) from None
        except OSError as error:
            if not isinstance(error.filename, str):
                raise
            full = os.path.join(source, error.filename)
            raise OSError(error.errno, error.strerror, full) from None


class _Ingest:
    """One run of `ingest_directory`."""

    def __init__(
        self,
        repository: Repository,
        snapshot: Snapshot,
        batch: Batch,
        reader: FileReader,
        options: SourceOptions,
        progress: Progress | None,
    ) -> None:
        self._snapshot = snapshot
        self._repository = repository
        self._objects = repository.objects
        self._modifiers = modifiers = reader.modifiers
        self._reader = reader
        self._progress = progress
        self._objects_device = os.fstat(repository.objects.fd).st_dev
        self._scanner = Scanner(
            snapshot, modifiers, self._recognise, own=repository.path, options=options
        )
        self._directories: list[SourceDirectory] = []
        self._batch = batch
        self._taken: dict[Digest, tuple[bytes, bytes]] = {}
        self._read_files = self._read_bytes = 0

    def run(self, source_fd: int) -> Ingested:
        self._read(source_fd, self._walk(source_fd))
        suspects = [
            Suspects(number, directory.path, directory.candidates)
            for number, directory in enumerate(self._directories)
            if directory.candidates
        ]
        if suspects:
            self._read(source_fd, self._redescribe(source_fd, suspects))
        self._settle_taken()
        self._batch.files.update(self._scanner.special_files)
        for directory in reversed(self._directories):
            self._finish(directory)
        directories = self._directories
        return Ingested(
            root=directories[0].tree,
            skipped=[os.path.join(d.path, name) for d in directories for name in d.skipped],
            taken_in=[_taken_in(d) for d in directories] if self._reader.consume else [],
            read_files=self._read_files,
            read_bytes=self._read_bytes,
        )

    def _walk(self, source_fd: int) -> Iterator[tuple[int, list[int]]]:
        """Every directory: its number, the positions of its files that must be read."""
        for number, directory in enumerate(self._scanner.walk(source_fd)):
            self._directories.append(directory)
            yield number, directory.pending

    def _redescribe(
        self, source_fd: int, suspects: list[Suspects]
    ) -> Iterator[tuple[int, list[int]]]:
        """Find the objects of files with new metadata; those that must be read after all."""
        redescriber = Redescriber(self._snapshot, source_fd, self._reader.modifiers, suspects)
        answers = map_unordered(redescriber.describe, redescriber.batches())
        for answer in list(answers):
            for number, described in answer:
                self._take_described(self._directories[number], described)
                digests = self._directories[number].digests
                left = [c.position for c in self._directories[number].candidates]
                yield number, [position for position in left if digests[position] == NO_DIGEST]

    def _take_described(
        self, directory: SourceDirectory, described: list[tuple[int, Digest, bytes]]
    ) -> None:
        before = {c.position: c.before for c in directory.candidates}
        holders = self._snapshot.find_holders([before[position] for position, _, _ in described])
        for position, digest, encoded in described:
            directory.digests[position] = digest
            self._batch.files[digest] = encoded
            if directory.facts[position * FACTS + 1]:
                old = before[position]
                self._batch.twins[digest] = Digest(holders.get(old, old))

    def _read(self, source_fd: int, wanted: Iterator[tuple[int, list[int]]]) -> None:
        """Read files, given by the number of their directory and their positions in it."""
        for answer in map_unordered(self._reader.store_batch, self._jobs(source_fd, wanted)):
            for number, stored in answer:
                self._record(self._directories[number], stored)

    def _jobs(self, source_fd: int, wanted: Iterator[tuple[int, list[int]]]) -> Iterator[Job]:
        """Gather files that must be read into jobs of a fair size."""
        job: Job = []
        count = volume = 0
        for number, positions in wanted:
            directory = self._directories[number]
            files: list[tuple[int, str]] = []
            for position in positions:
                if not files:
                    job.append((number, directory.path, files))
                files.append((position, directory.names[position]))
                count += 1
                volume += directory.facts[position * FACTS + 1]
                if count >= _JOB_FILES or volume >= _JOB_BYTES:
                    self._check_space(source_fd, job, volume)
                    yield job
                    job, files, count, volume = [], [], 0, 0
        if job:
            self._check_space(source_fd, job, volume)
            yield job

    def _check_space(self, source_fd: int, job: Job, volume: int) -> None:
        """Fail before a job that would fill the disk; of files of holes, only the data counts."""
        if self._reader.consume:
            return
        if volume > _JOB_BYTES:
            paths = [
                os.path.join(path, os.fsencode(name)) for _, path, fs in job for _, name in fs
            ]
            volume = sum(_allocated(source_fd, path) for path in paths)
        check_free_space(self._repository, volume)

    def _record(self, directory: SourceDirectory, stored: list[Stored]) -> None:
        files, twins = self._batch.files, self._batch.twins
        for position, digest, encoded, facts, content, inode, holder in stored:
            directory.digests[position] = digest
            directory.facts[position * FACTS : (position + 1) * FACTS] = facts
            size = facts[1]
            self._read_bytes += size
            if inode:
                self._batch.object_files.append((inode, digest, content))
            if holder:
                twins[digest] = Digest(holder)
            if inode or holder or size == 0:
                files[digest] = encoded
            else:
                path = directory.path_of(directory.names[position])
                self._taken[digest] = (path, encoded)
        self._read_files += len(stored)
        if self._progress is not None:
            self._progress(self._read_files, self._read_bytes)

    def _settle_taken(self) -> None:
        """Objects whose name was taken: stored by us, known to the index, or left by a crash."""
        unknown = [digest for digest in self._taken if digest not in self._batch.files]
        present = self._snapshot.find_files(unknown)
        for digest in unknown:
            path, encoded = self._taken[digest]
            file = decode_file(encoded)
            assert isinstance(file, RegularFile)
            holder = self._snapshot.find_holder(digest)
            if digest in present and self._objects.has_right_size(holder, file):
                continue  # known, and not so damaged that a look from outside shows it
            inode = self._reader.recover(path, digest, file)
            self._batch.object_files.append((inode, digest, file.content))
            self._batch.files[digest] = encoded

    def _recognise(self, found: os.stat_result, path: str) -> Digest | None:
        """The object that a hardlink checkout shares this inode with, unless it was changed."""
        if found.st_dev != self._objects_device or self._modifiers != Modifiers():
            return None
        digest = self._snapshot.find_by_inode(found.st_ino)
        encoded = None if digest is None else self._snapshot.find_file(digest)
        if digest is None or encoded is None:
            return None
        file = read_file(encoded)
        if not isinstance(file, RegularFile):
            return None
        return digest if self._objects.is_own_inode(digest, file, found, path) else None

    def _finish(self, directory: SourceDirectory) -> None:
        """Find a directory's tree, its subdirectories being done; note what is new."""
        if directory.recognised:
            return
        record = directory.record
        trees = b"".join(child.tree for _, child in directory.subdirectories)
        if record is not None and directory.unchanged:
            if trees == record.trees and self._snapshot.has_tree(record.tree):
                directory.tree = record.tree
                return
            directory.load_files()
        directory.tree = self._batch.add_tree(self._snapshot, directory.make_tree())
        self._remember(directory, trees)

    def _remember(self, directory: SourceDirectory, trees: bytes) -> None:
        if directory.fingerprint is None:
            return
        started = self._scanner.started
        record = DirectoryRecord(
            fingerprint=directory.fingerprint,
            ctime=UNKNOWN if is_racy(directory.ctime, started) else directory.ctime,
            mode=directory.mode,
            uid=directory.uid,
            gid=directory.gid,
            xattrs=directory.xattrs,
            names=pack_names(directory.names),
            facts=pack_facts(forget_racy(directory.facts, started)),
            digests=b"".join(directory.digests),
            subdirectories=pack_names(name for name, _ in directory.subdirectories),
            trees=trees,
            tree=directory.tree,
            skipped=directory.skipped,
        )
        self._batch.directory_records.append((directory.key, encode_record(record)))


def _allocated(source_fd: int, path: bytes) -> int:
    """The bytes of a file that are no holes; 0 for one that has just vanished."""
    try:
        found = os.stat(path, dir_fd=source_fd, follow_symlinks=False)
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
