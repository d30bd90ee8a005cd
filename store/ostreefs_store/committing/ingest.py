# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking a directory into the repository.

1. Worker processes (`walk`) share the source among them. They look at directories (`scan`),
   describe files with new metadata (`redescribe`), read, hash and store what is new (`reader`):
   nothing is reachable yet. Directories of which everything is known become trees.
2. The digests of the other trees follow here, from the leaves up.

What comes of it goes into a `Batch` of records for the index; `commit` makes the objects durable
and puts the records in, in one transaction. Dying anywhere before that leaves files that no one
knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import decode_file
from ostreefs_store.committing.reader import FileReader
from ostreefs_store.committing.scan import SourceOptions
from ostreefs_store.committing.walk import SOURCE, Answer, Walker
from ostreefs_store.errors import SourceChangedError, SourceHoldsRepositoryError
from ostreefs_store.known import KnownObjects
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.parallel import map_growing

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.committing.consume import TakenDirectory
    from ostreefs_store.index import Snapshot
    from ostreefs_store.modifiers import Modifiers
    from ostreefs_store.repository import Repository

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
        walker = Walker(repository, known, reader, options)
        ingest = _Ingest(repository, snapshot, batch, reader, walker, progress)
        try:
            return ingest.run()
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
        walker: Walker,
        progress: Progress | None,
    ) -> None:
        self._snapshot = snapshot
        self._objects = repository.objects
        self._batch = batch
        self._reader = reader
        self._walker = walker
        self._progress = progress
        self._all = Answer()
        self._all.batch = batch

    def run(self) -> Ingested:
        for answer in map_growing(self._walker.run, SOURCE):
            self._take(answer)
        self._settle_taken()
        self._finish()
        everything = self._all
        return Ingested(
            root=everything.trees[b""],
            skipped=sorted(everything.skipped),
            taken_in=sorted(everything.taken_in),  # parents come first
            read_files=everything.read_files,
            read_bytes=everything.read_bytes,
        )

    def _take(self, answer: Answer) -> None:
        """Add what came of one job to all that is known."""
        self._all.add(answer)
        if self._progress is not None and answer.read_files:
            self._progress(self._all.read_files, self._all.read_bytes)

    def _settle_taken(self) -> None:
        """Objects whose name was taken: stored by us, known to the index, or left by a crash."""
        taken = self._all.taken
        unknown = [digest for digest in taken if digest not in self._batch.files]
        present = self._snapshot.find_files(unknown)
        for digest in unknown:
            path, encoded = taken[digest]
            file = decode_file(encoded)
            assert isinstance(file, RegularFile)
            holder = self._snapshot.find_holder(digest)
            if digest in present and self._objects.has_right_size(holder, file):
                continue  # known, and not so damaged that a look from outside shows it
            inode = self._reader.recover(path, digest, file)
            self._batch.object_files.append((inode, digest, file.content))
            self._batch.files[digest] = encoded

    def _finish(self) -> None:
        """Find the trees of directories that lie across jobs: the longest paths first."""
        everything = self._all
        unfinished = {directory.path: directory for directory in everything.unfinished}
        for path, stored in everything.stored:
            for position, digest, facts in stored:
                unfinished[path].set_stored(position, digest, facts)
        for path in sorted(unfinished, key=len, reverse=True):
            directory = unfinished[path]
            for name in directory.subdirectories:
                if name not in directory.trees:
                    directory.trees[name] = everything.trees[directory.path_of(name)]
            self._walker.finish(directory, everything)
            everything.trees[path] = directory.tree
