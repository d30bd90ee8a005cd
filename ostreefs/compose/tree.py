# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looking into a tree in the making: where paths lead, and what files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.batch import BatchSource
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.model import RegularFile
from ostreefs_store.traverse import Place, follow, look_up, read_file_object, read_tree_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


class MadeTree:
    """A tree of which some objects are in a batch, and the others in the index."""

    def __init__(
        self, repository: Repository, snapshot: Snapshot, batch: Batch, root: Digest
    ) -> None:
        self.root = root
        self._repository = repository
        self._snapshot = snapshot
        self._batch = batch
        self._objects = BatchSource(snapshot, batch)

    def find(self, path: bytes) -> Place:
        """Where a path leads; of a link at its end to no directory, it is the link itself.

        Raises `PathNotFoundError` where something on the way is no directory.
        """
        try:
            place = follow(self._objects, self.root, path)
            if place.entry is not None and place.entry[0]:
                return place
        except PathNotFoundError:
            pass  # a link at the end may lead nowhere; what is before it is looked at below
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        place = follow(self._objects, self.root, above)
        if place.entry is None:
            return Place((*place.names, name), None)
        if not place.entry[0]:
            shown = "/" + b"/".join(place.names).decode(errors="replace")
            raise PathNotFoundError(path, f"{shown} is not a directory")
        return Place((*place.names, name), look_up(self._objects, place.entry[1], name))

    def read(self, path: bytes, size: int = -1) -> bytes | None:
        """The content of a regular file, or its beginning; None when there is no such."""
        file = self.find_file(path)
        if file is None:
            return None
        digest, item = file
        if not item.size:
            return b""
        holder = self._batch.twins.get(digest) or self._snapshot.find_holder(digest)
        with open(self._repository.objects.open_checked(holder, item), "rb") as opened:
            return opened.read(size)

    def find_file(self, path: bytes) -> tuple[Digest, RegularFile] | None:
        """The regular file that a path leads to, through links."""
        try:
            entry = follow(self._objects, self.root, path).entry
        except PathNotFoundError:
            return None
        if entry is None or entry[0]:
            return None
        item = read_file_object(self._objects, entry[1])
        return (entry[1], item) if isinstance(item, RegularFile) else None

    def names_in(self, path: bytes) -> Iterator[bytes]:
        """The names in a directory; none when there is no such."""
        try:
            entry = follow(self._objects, self.root, path).entry
        except PathNotFoundError:
            return
        if entry is not None and entry[0]:
            yield from (name for name, _, _ in read_tree_entries(self._objects, entry[1])[1])
