# SPDX-License-Identifier: LGPL-2.1-or-later
"""A directory that is to be laid over another tree: what a tar stream or an overlay's upper says.

Pure. A layer names objects by their digests and knows nothing of where they are. It speaks only of
what it changes: what it does not name, and does not hide, stays as it is below. `flatten` makes a
tree of a layer that lies on nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import encode_tree, tree_digest
from ostreefs_store.model import Digest, Tree, TreeEntry, TreeHead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_HEAD = TreeHead(0o755, 0, 0, ())
"""What a directory has whose metadata no layer gives."""


WHITEOUT_PREFIX = b".wh."
"""In the layers of container images a file of this name and NAME deletes NAME."""

WHITEOUT_META_PREFIX = b".wh..wh."
"""Files of such names delete nothing: they are notes of AUFS to itself, but for the next one."""

OPAQUE_NAME = b".wh..wh..opq"
"""Deletes everything else that was in its directory."""


class Whiteout(enum.Enum):
    """`WHITEOUT` in the place of an entry: the name is gone, whatever was below."""

    WHITEOUT = enum.auto()


WHITEOUT = Whiteout.WHITEOUT


class WholeTree(NamedTuple):
    """A tree object that stands for a layer in which all of it is spelled out.

    Laid over a directory it gives that its own metadata, and adds to or replaces the entries; an
    `opaque` one simply takes the directory's place.
    """

    digest: Digest
    opaque: bool = False


@dataclass(slots=True)
class Layer:
    """A directory of a layer.

    `head` is its own metadata; None for one that is only implied by what is in it, and keeps what
    is below, or else has `DEFAULT_HEAD`. An `opaque` one hides everything that is below it; its
    own entries show all the same. `entries` says what is at a name: another directory, a file
    object by its digest, a whole tree, or nothing any more. A file hides a directory below, and
    a directory a file.
    """

    head: TreeHead | None = None
    opaque: bool = False
    entries: dict[bytes, Item] = field(default_factory=dict)


Item = Layer | Digest | WholeTree | Whiteout
"""What a layer says of a name; a bare `Digest` is that of a file object."""


def nest(item: Item, path: Sequence[bytes]) -> Layer | WholeTree:
    """A layer that has an item at a path, and says nothing else; an empty path is for trees."""
    for name in reversed(path):
        item = Layer(entries={name: item})
    assert isinstance(item, Layer | WholeTree)
    return item


def flatten(layer: Layer) -> tuple[Digest, dict[Digest, bytes]]:
    """The tree that a layer makes on its own: its digest, and the tree objects that are needed.

    Those that `WholeTree` names are not among them. Whiteouts leave no trace.
    """
    trees: dict[Digest, bytes] = {}
    done: dict[int, Digest] = {}
    for directory in _leaves_first(layer):
        head = directory.head or DEFAULT_HEAD
        encoded = encode_tree(Tree(*_fields(head), tuple(_entries(directory, done))))
        digest = tree_digest(encoded)
        trees[digest] = encoded
        done[id(directory)] = digest
    return done[id(layer)], trees


def _leaves_first(layer: Layer) -> Iterator[Layer]:
    """Every directory of a layer, each after all that are in it. No tree is too deep for it."""
    found = [layer]
    for directory in found:  # grows on the way
        found += [item for item in directory.entries.values() if isinstance(item, Layer)]
    return reversed(found)


def _entries(directory: Layer, done: dict[int, Digest]) -> Iterator[TreeEntry]:
    for name, item in sorted(directory.entries.items()):
        match item:
            case Layer():
                yield TreeEntry(name, True, done[id(item)])
            case WholeTree():
                yield TreeEntry(name, True, item.digest)
            case Whiteout():
                pass
            case _:
                yield TreeEntry(name, False, item)


def _fields(head: TreeHead) -> tuple[int, int, int, tuple[tuple[bytes, bytes], ...]]:
    return head.mode, head.uid, head.gid, head.xattrs
