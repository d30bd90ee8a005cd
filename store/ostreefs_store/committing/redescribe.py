# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files whose metadata alone have changed since they were committed: described without reading.

Such a file has its inode, size and mtime as they were, and another ctime. A new mode, owner or
xattr accounts for that. Where nothing does, the content may have changed and the mtime have been
put back, so the file is read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs_store.codec import RegularHeads, encode_file, file_digest, read_file
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.metadata import read_xattrs
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.modifiers import Modifiers

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.committing.sourcedir import Candidate, SourceDirectory
    from ostreefs_store.index import Snapshot


class Redescriber:
    """Finds the new objects of candidates."""

    def __init__(self, modifiers: Modifiers) -> None:
        self._modifiers = modifiers
        self._is_plain = modifiers == Modifiers()
        self._heads = RegularHeads()

    def describe(
        self, snapshot: Snapshot, directory: SourceDirectory, fd: int, batch: Batch
    ) -> None:
        """Settle the candidates of a directory, open as `fd`: those left are made pending.

        Raises `OSError` with the path of what cannot be looked at, `SourceChangedError`.
        """
        # listxattr(2) takes no descriptor of a directory, and going through /proc/self/fd costs
        # twice. Nothing else is done meanwhile, since other paths may be relative.
        previous = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fchdir(fd)
            self._describe_here(snapshot, directory, batch)
        finally:
            os.fchdir(previous)
            os.close(previous)

    def _describe_here(self, snapshot: Snapshot, directory: SourceDirectory, batch: Batch) -> None:
        """Describe the candidates in the working directory, in steps that are quick loops."""
        candidates = directory.candidates
        before = sorted({old for _, _, _, old in candidates})
        files, holders = snapshot.find_files(before), snapshot.find_holders(before)
        changed: list[tuple[Candidate, bytes]] = []
        for candidate in candidates:
            encoded = files.get(candidate[3])
            new = None if encoded is None else self._describe(directory, candidate, encoded)
            if new is None or new == encoded:  # nothing accounts for the new ctime
                directory.pending.append(candidate[0])
            else:
                changed.append((candidate, new))
        digests = [file_digest(new) for _, new in changed]
        batch.files.update(zip(digests, [new for _, new in changed], strict=True))
        settled = directory.digests
        for ((position, _, found, old), _), digest in zip(changed, digests, strict=True):
            settled[position] = digest
            if found.st_size:
                batch.twins[digest] = Digest(holders[old]) if old in holders else old
        directory.pending.sort()
        directory.candidates = []

    def _describe(
        self, directory: SourceDirectory, candidate: Candidate, encoded: bytes
    ) -> bytes | None:
        """The canonical bytes of a file, given those it had; None when it was no regular file."""
        _, name, found, _ = candidate
        try:
            xattrs = read_xattrs(name) if self._modifiers.xattrs else ()
        except OSError as error:
            raise of_source(error, directory.path_of(name)) from None
        if self._is_plain:
            owner = (found.st_mode & 0o7777, found.st_uid, found.st_gid)
            return self._heads.renew(encoded, owner, xattrs)
        old = read_file(encoded)
        if not isinstance(old, RegularFile):
            return None
        return encode_file(self._modifiers.regular_file(found, xattrs, old.content))


def of_source(error: OSError, path: bytes) -> Exception:
    """The error with the path in the source; what has vanished has changed."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceChangedError(path)
    return OSError(error.errno, error.strerror, os.fsdecode(path))
