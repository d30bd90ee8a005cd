# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files whose metadata alone have changed since they were committed: described without reading.

Such a file has its inode, size and mtime as they were, and another ctime. A new mode, owner or
xattr accounts for that. Where nothing does, the content may have changed and the mtime have been
put back, so the file is read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import open_beneath
from ostreefs_store.codec import encode_file, file_digest, read_file
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.modifiers import Modifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot


_BATCH_FILES = 1024


class Candidate(NamedTuple):
    """A file of a directory as it is now, and the object that it was."""

    position: int
    name: str
    found: os.stat_result
    before: Digest


class Suspects(NamedTuple):
    """The candidates of one directory: its number, its path in the source."""

    number: int
    path: bytes
    candidates: list[Candidate]


Described = tuple[int, list[tuple[int, Digest, bytes]]]
"""(number of a directory, [(position, new file digest, canonical bytes), …]): those candidates
for which that is certain. They may be in the index already."""


class Redescriber:
    """Finds the new objects of candidates; `describe` is for workers.

    They are forked with everything that they need; only numbers of suspects are sent to them.
    """

    def __init__(
        self, snapshot: Snapshot, source_fd: int, modifiers: Modifiers, suspects: list[Suspects]
    ) -> None:
        self._source_fd = source_fd
        self._modifiers = modifiers
        self._is_plain = modifiers == Modifiers()
        self._suspects = suspects
        digests = {c.before for directory in suspects for c in directory.candidates}
        self._before = snapshot.find_files(sorted(digests))

    def batches(self) -> Iterator[list[int]]:
        """Numbers of suspects, in portions of a fair size."""
        batch: list[int] = []
        count = 0
        for number, directory in enumerate(self._suspects):
            batch.append(number)
            count += len(directory.candidates)
            if count >= _BATCH_FILES:
                yield batch
                batch, count = [], 0
        if batch:
            yield batch

    def describe(self, batch: list[int]) -> list[Described]:
        """The new objects of some suspects.

        Raises `OSError` with the path of what cannot be looked at, `SourceChangedError`.
        """
        previous = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return [self._describe_directory(self._suspects[number]) for number in batch]
        finally:
            os.fchdir(previous)
            os.close(previous)

    def _describe_directory(self, directory: Suspects) -> Described:
        described = []
        try:
            with open_beneath(self._source_fd, directory.path) as fd:
                # listxattr(2) takes no descriptor of a directory, and going through
                # /proc/self/fd costs twice.
                os.fchdir(fd)
                for candidate in directory.candidates:
                    new = self._describe(candidate)
                    if new is not None:
                        described.append((candidate.position, *new))
        except OSError as error:
            name = error.filename if isinstance(error.filename, str) else ""
            path = os.path.join(directory.path, os.fsencode(name))
            raise of_source(error, path) from None
        return directory.number, described

    def _describe(self, candidate: Candidate) -> tuple[Digest, bytes] | None:
        """The file object of a candidate; None when its metadata are what they were."""
        encoded = self._before.get(candidate.before)
        old = None if encoded is None else read_file(encoded)
        if not isinstance(old, RegularFile):
            return None
        xattrs = read_xattrs(candidate.name) if self._modifiers.xattrs else ()
        if self._is_plain:  # a microsecond less for each file
            found = candidate.found
            mode = found.st_mode & 0o7777
            file = RegularFile(mode, found.st_uid, found.st_gid, xattrs, old.content, old.size)
        else:
            file = self._modifiers.regular_file(candidate.found, xattrs, old.content)
        if file == old:
            return None
        encoded = encode_file(file)
        return file_digest(encoded), encoded


def of_source(error: OSError, path: bytes) -> Exception:
    """The error with the path in the source; what has vanished has changed."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceChangedError(path)
    return OSError(error.errno, error.strerror, os.fsdecode(path))
