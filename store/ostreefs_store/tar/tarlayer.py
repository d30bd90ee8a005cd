# SPDX-License-Identifier: LGPL-2.1-or-later
"""The members of a tar archive, one after another, become a layer. Pure.

It comes out as ``tar -x`` would leave an empty directory: directories above a member need no
member of their own, the last of several members with one name wins, and a directory that comes
again keeps what is in it. What depends on the order there, or writes through a link, is refused: a
member below one that is not a directory, and a name that is a directory first and something else
later, or the other way round.

With whiteouts, as in the layers of container images
(https://github.com/opencontainers/image-spec/blob/main/layer.md), ``.wh.NAME`` removes what is
below this layer at NAME, and ``.wh..wh..opq`` all that is below in its directory. They say nothing
of their own layer, wherever in it they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import ArchiveError, printable
from ostreefs_store.layer import (
    OPAQUE_NAME,
    WHITEOUT,
    WHITEOUT_META_PREFIX,
    WHITEOUT_PREFIX,
    Layer,
)

if TYPE_CHECKING:
    from ostreefs_store.layer import Item
    from ostreefs_store.model import Digest, TreeHead
    from ostreefs_store.tar.tarmember import Components


class LayerBuilder:
    """Puts members in their places. Every method raises `ArchiveError` for one that has none."""

    def __init__(self, *, whiteouts: bool) -> None:
        self.root = Layer()
        self._whiteouts = whiteouts

    def add_directory(self, path: Components, head: TreeHead) -> None:
        """Add a directory, or say what one has that is here already."""
        if not path:
            self.root.head = head
            return
        self._enter(self._above(path), path[-1], path, len(path)).head = head

    def add_file(self, path: Components, digest: Digest) -> None:
        """Add a file object."""
        self.prepare_file(path).entries[path[-1]] = digest

    def prepare_file(self, path: Components) -> Layer:
        """The directory of a file that is to be added: there is a place for it."""
        above = self._above(path)
        if isinstance(above.entries.get(path[-1]), Layer):
            raise _misplaced(path, "the archive has a directory of that name, too")
        return above

    def add_link(self, path: Components, target: Components) -> None:
        """Add another name for a file that has been added under the name `target`."""
        item: Item | None = self.root
        for name in target:
            item = item.entries.get(name) if isinstance(item, Layer) else None
        if item is None or item is WHITEOUT:
            raise _misplaced(path, f"it is a link to {_show(target)}, which has not come before")
        if not isinstance(item, bytes):
            raise _misplaced(path, f"it is a link to {_show(target)}, which is a directory")
        self.add_file(path, item)

    def add_whiteout(self, path: Components) -> bool:
        """Whether a member that is not a directory is a whiteout; it takes effect if it is."""
        if not (self._whiteouts and path and path[-1].startswith(WHITEOUT_PREFIX)):
            return False
        above = self._above(path)
        if path[-1] == OPAQUE_NAME:
            above.opaque = True
        elif not path[-1].startswith(WHITEOUT_META_PREFIX):
            name = path[-1].removeprefix(WHITEOUT_PREFIX)
            if name in {b"", b".", b".."}:
                raise _misplaced(path, "it is a whiteout of nothing")
            here = above.entries.setdefault(name, WHITEOUT)
            if isinstance(here, Layer):
                here.opaque = True
        return True

    def _above(self, path: Components) -> Layer:
        """The directory that a member belongs into, with all that are missing on the way."""
        layer = self.root
        for depth, name in enumerate(path[:-1], 1):
            layer = self._enter(layer, name, path, depth)
        return layer

    @staticmethod
    def _enter(layer: Layer, name: bytes, path: Components, depth: int) -> Layer:
        """The directory `name`, which is the one at this depth of a member's path."""
        here = layer.entries.get(name)
        if here is None or here is WHITEOUT:
            here = layer.entries[name] = Layer(opaque=here is WHITEOUT)
        if not isinstance(here, Layer):
            what = _show(path[:depth])
            raise _misplaced(path, f"the archive has {what} as something else than a directory")
        return here


def _misplaced(path: Components, detail: str) -> ArchiveError:
    return ArchiveError(detail, member=b"/".join(path))


def _show(path: Components) -> str:
    return printable(b"/".join(path)) or "the top of the tree"
