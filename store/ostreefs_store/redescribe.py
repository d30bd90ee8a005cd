# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files whose metadata alone have changed since they were committed: described without reading.

Such a file has its inode, size and mtime as they were, and another ctime. A new mode, owner or
xattr accounts for that. Where nothing does, the content may have changed and the mtime have been
put back, so the file is read.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import encode_file, file_digest, read_file
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.modifiers import Modifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot


class Candidate(NamedTuple):
    """A file of a directory as it is now, and the object that it was."""

    position: int
    name: str
    found: os.stat_result
    before: Digest


class Redescriber:
    """Finds the objects of such files. They may be in the index already."""

    def __init__(self, snapshot: Snapshot | None, modifiers: Modifiers) -> None:
        self._snapshot = snapshot
        self._modifiers = modifiers
        self._is_plain = modifiers == Modifiers()
        self.files: list[tuple[Digest, bytes]] = []
        """File objects (digest, canonical bytes)."""
        self.twins: dict[Digest, Digest] = {}
        """Those of them that have content, and their holders."""

    def describe(self, fd: int, candidates: list[Candidate]) -> Iterator[tuple[int, Digest]]:
        """(position, new object) of each candidate of one directory for which that is certain.

        Raises `OSError` with the name of a file whose xattrs cannot be read.
        """
        assert self._snapshot is not None, "who knows nothing has no candidates"
        before = self._snapshot.find_files([candidate.before for candidate in candidates])
        described: list[tuple[Candidate, Digest, bytes, RegularFile]] = []
        with _working_directory(fd):
            for candidate in candidates:
                old = before.get(candidate.before)
                file = None if old is None else self._new_file(candidate, old)
                if file is not None:
                    encoded = encode_file(file)
                    described.append((candidate, file_digest(encoded), encoded, file))
        holders = self._snapshot.find_holders([candidate.before for candidate, *_ in described])
        for candidate, digest, encoded, file in described:
            self.files.append((digest, encoded))
            if file.size:
                self.twins[digest] = Digest(holders.get(candidate.before, candidate.before))
            yield candidate.position, digest

    def _new_file(self, candidate: Candidate, encoded: bytes) -> RegularFile | None:
        """The file object of a candidate; None when its metadata are what they were."""
        old = read_file(encoded)
        if not isinstance(old, RegularFile):
            return None
        xattrs = read_xattrs(candidate.name) if self._modifiers.xattrs else ()
        if self._is_plain:  # a microsecond less for each file
            found = candidate.found
            mode = found.st_mode & 0o7777
            file = RegularFile(mode, found.st_uid, found.st_gid, xattrs, old.content, old.size)
        else:
            file = self._modifiers.regular_file(candidate.found, xattrs, old.content)
        return None if file == old else file


@contextmanager
def _working_directory(fd: int) -> Iterator[None]:
    """Look up names in a directory.

    listxattr(2) takes no descriptor of one, and going through ``/proc/self/fd`` costs twice.
    """
    previous = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(fd)
        try:
            yield
        finally:
            os.fchdir(previous)
    finally:
        os.close(previous)
