# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a repository holds already, as seen from wherever a file is read.

Workers are forked while the parent has the index open, and LMDB may not be used across a fork: a
worker opens an index of its own when it first asks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest, RegularFile
    from ostreefs_store.repository import Repository


class KnownObjects:
    """Answers from the index as it was when a commit began; the caller keeps it in use."""

    def __init__(self, repository: Repository, snapshot: Snapshot) -> None:
        self._index = repository.index
        self._objects = repository.objects
        self._snapshot = snapshot
        self._pid = os.getpid()
        self._is_empty = not snapshot.count("files")
        """Of an index without files nothing is asked, so that workers need not open it."""

    def has_file(self, digest: Digest) -> bool:
        """Whether a file object is here."""
        snapshot = self.snapshot()
        return snapshot is not None and snapshot.find_file(digest) is not None

    def find_holder(self, file: RegularFile) -> Digest | None:
        """An object whose file has the content of `file`, as far as a look from outside tells."""
        snapshot = self.snapshot()
        if snapshot is None:
            return None
        for digest in snapshot.holders_of(file.content):
            if self._objects.has_right_size(digest, file):
                return digest
        return None

    def snapshot(self) -> Snapshot | None:
        """The index as this process may read it; None for one that has no files."""
        if self._is_empty:
            return None
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._index = self._index.reopen()
            self._snapshot = self._index.snapshot()
        return self._snapshot
