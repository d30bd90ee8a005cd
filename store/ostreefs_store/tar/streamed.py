# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storing files whose content comes by once, such as those of an archive in a pipe.

The caller hashes and asks what is here already; object files are made by whoever `write_objects`
runs in: a worker, while the caller reads on. So whatever a name that is taken turns out to mean
is settled there, from the content at hand: the object may be known to the index and damaged, left
by a crash, or just now be made by somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.codec import content_digest, encode_file, file_digest, read_file
from ostreefs_store.content import write_at
from ostreefs_store.known import KnownObjects
from ostreefs_store.model import Digest, File, RegularFile
from ostreefs_store.space import check_free_space
from ostreefs_store.verify import inspect

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import ObjectFile, Snapshot
    from ostreefs_store.objects import ObjectFiles
    from ostreefs_store.repository import Repository

Job = list[tuple[Digest, bytes, bytes]]
"""Object files to be made: file digest, canonical bytes of the file object, content."""

_JOB_FILES = 64
_JOB_BYTES = 96 << 10
"""Below what one message to a worker holds."""


class StreamedFiles:
    """File objects of one source, on their way into a batch."""

    def __init__(self, repository: Repository, snapshot: Snapshot, batch: Batch) -> None:
        self._repository = repository
        self._objects = repository.objects
        self._snapshot = snapshot
        self._known = KnownObjects(repository, snapshot)
        self._batch = batch
        self._job: Job = []
        self._job_bytes = 0

    def add_special(self, file: File) -> Digest:
        """Add a file object that has no content; its digest."""
        digest, encoded = _described(file)
        self._batch.files[digest] = encoded
        return digest

    def add_small(self, file: RegularFile, content: memoryview) -> Digest:
        """Add a file whose content is in memory; its digest. `file` need not have the content's.

        The object file is made with the next job.
        """
        file = msgspec.structs.replace(file, content=content_digest(content))
        digest, encoded = _described(file)
        if self._is_new(digest, file):
            self._job.append((digest, encoded, bytes(content)))
            self._job_bytes += file.size
        self._batch.files[digest] = encoded
        return digest

    def add_staged(self, file: RegularFile, fd: int, path: str) -> Digest:
        """Add a file from its staged copy, at once; its digest."""
        digest, encoded = _described(file)
        if self._is_new(digest, file):
            try:
                inode = self._objects.publish_staged(fd, path, digest, file)
            except FileExistsError:
                inode = _find_whole(self._objects, digest, file)
                inode = inode or self._objects.replace_staged(fd, path, digest, file)
            self.record([(inode, digest, file.content)])
        self._batch.files[digest] = encoded
        return digest

    def take_job(self, *, last: bool = False) -> Job:
        """The object files that are to be made now: none until they are worth a message."""
        if not last and len(self._job) < _JOB_FILES and self._job_bytes < _JOB_BYTES:
            return []
        job, self._job, self._job_bytes = self._job, [], 0
        return job

    def write_objects(self, job: Job) -> list[ObjectFile]:
        """Make object files; the function that workers run. The umask is empty.

        Raises `FreeSpaceError` for one that would leave less than is to be kept free.
        """
        written: list[ObjectFile] = []
        for digest, encoded, content in job:
            file = read_file(encoded)
            assert isinstance(file, RegularFile)
            check_free_space(self._repository, file.size)
            inode = self._write(digest, file, memoryview(content))
            written.append((inode, digest, file.content))
        return written

    def record(self, written: list[ObjectFile]) -> None:
        """Let the batch know the object files that were made."""
        self._batch.object_files += written

    def _write(self, digest: Digest, file: RegularFile, content: memoryview) -> int:
        try:
            return self._objects.add(digest, file, content)
        except FileExistsError:
            inode = _find_whole(self._objects, digest, file)
        if inode:
            return inode
        with self._objects.staged() as (fd, path):
            write_at(fd, content, 0)
            return self._objects.replace_staged(fd, path, digest, file)

    def _is_new(self, digest: Digest, file: RegularFile) -> bool:
        """Whether an object needs a file of its own; a twin of one that is here is noted."""
        if digest in self._batch.files:
            return False
        if self._known.has_file(digest):
            holder = self._snapshot.find_holder(digest)
            if self._objects.has_right_size(holder, file):
                return False
        twin_of = self._known.find_holder(file)
        if twin_of is not None:
            self._batch.twins[digest] = twin_of
        return twin_of is None


def _find_whole(objects: ObjectFiles, digest: Digest, file: RegularFile) -> int:
    """The inode number of an object file whose name was taken, if it can be kept; else 0.

    One with a second name may be written to by whoever has that.
    """
    found = objects.find_stat(digest)
    if found is None or found.st_nlink != 1:
        return 0
    if inspect(objects, digest, file) is not None:
        return 0
    objects.keep(digest)
    return found.st_ino


def _described(file: File) -> tuple[Digest, bytes]:
    encoded = encode_file(file)
    return file_digest(encoded), encoded
