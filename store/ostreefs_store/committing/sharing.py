# SPDX-License-Identifier: LGPL-2.1-or-later
"""One inode for objects of one commit that differ only in what the index holds (``bare-user``).

Workers do not see what the others store, so two files with one content and, say, two owners get
an object file each. Where the inodes would show the same, the second becomes a twin of the first.
Its own name is not unlinked, since another commit may have found it at this moment: it is made a
link to the first one's inode, in one step, and goes with the next prune.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.codec import read_file
from ostreefs_store.model import Digest, RegularFile

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import ObjectFile
    from ostreefs_store.repository import Repository


def share_inodes(repository: Repository, batch: Batch) -> None:
    """Let objects of a batch share what they can. Dying in between has no effect on anything."""
    if repository.config.mode != "bare-user":
        return
    by_content: dict[Digest, list[ObjectFile]] = {}
    for stored in batch.object_files:
        by_content.setdefault(stored[2], []).append(stored)
    dropped: set[Digest] = set()
    for equal in by_content.values():
        if len(equal) > 1:
            dropped.update(_share(repository, batch, equal))
    if dropped:
        batch.object_files[:] = [s for s in batch.object_files if s[1] not in dropped]


def _share(repository: Repository, batch: Batch, equal: list[ObjectFile]) -> list[Digest]:
    holders: dict[int, Digest] = {}
    dropped = []
    for _, digest, _ in equal:
        file = read_file(batch.files[digest])
        assert isinstance(file, RegularFile)
        shown = repository.objects.inode_view(file).mode
        holder = holders.setdefault(shown, digest)
        if holder != digest and repository.objects.share_inode(holder, digest):
            batch.twins[digest] = holder
            dropped.append(digest)
    return dropped
