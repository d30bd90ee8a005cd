# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between two trees. Equal digests are equal trees, and are never descended into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ostreefs_store.model import Digest, Tree, TreeEntry
from ostreefs_store.traverse import Node, find_node, iter_children, iter_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot

ChangeKind = Literal["A", "D", "M"]


class Change(NamedTuple):
    """A path that was added (no `old`), deleted (no `new`) or modified."""

    kind: ChangeKind
    path: bytes
    old: Node | None
    new: Node | None


def diff_trees(snapshot: Snapshot, old: Digest, new: Digest) -> Iterator[Change]:
    """Every path that differs, in the order of paths; directories before what they hold.

    A directory is modified when its own metadata differ. The cost is that of what differs.
    """
    if old != new:
        old_root, new_root = find_node(snapshot, old, b"/"), find_node(snapshot, new, b"/")
        yield from _diff_nodes(snapshot, old_root, new_root)


def _diff_nodes(snapshot: Snapshot, old: Node, new: Node) -> Iterator[Change]:
    both_trees = isinstance(old.item, Tree) and isinstance(new.item, Tree)
    if not both_trees:
        if isinstance(old.item, Tree) or isinstance(new.item, Tree):
            yield from _whole(snapshot, "D", old)
            yield from _whole(snapshot, "A", new)
        else:
            yield Change("M", new.path, old, new)
        return
    if _own_metadata(old) != _own_metadata(new):
        yield Change("M", new.path, old, new)
    for before, after in _pair_children(snapshot, old, new):
        if before is None:
            assert after is not None
            yield from _whole(snapshot, "A", after)
        elif after is None:
            yield from _whole(snapshot, "D", before)
        elif before.digest != after.digest:
            yield from _diff_nodes(snapshot, before, after)


def _whole(snapshot: Snapshot, kind: ChangeKind, top: Node) -> Iterator[Change]:
    for node in iter_nodes(snapshot, top):
        yield Change(kind, node.path, node if kind == "D" else None, node if kind == "A" else None)


def _own_metadata(node: Node) -> tuple[object, ...]:
    item = node.item
    return item.mode, item.uid, item.gid, item.xattrs


def _pair_children(
    snapshot: Snapshot, old: Node, new: Node
) -> Iterator[tuple[Node | None, Node | None]]:
    """Children by name that are not the same object on both sides."""
    assert isinstance(old.item, Tree)
    assert isinstance(new.item, Tree)
    same = set(old.item.entries) & set(new.item.entries)
    before = {node.path: node for node in iter_children(snapshot, _without(old, same))}
    after = {node.path: node for node in iter_children(snapshot, _without(new, same))}
    for path in sorted(before.keys() | after.keys()):
        yield before.get(path), after.get(path)


def _without(node: Node, same: set[TreeEntry]) -> Node:
    tree = node.item
    assert isinstance(tree, Tree)
    kept = tuple(entry for entry in tree.entries if entry not in same)
    return node._replace(item=Tree(tree.mode, tree.uid, tree.gid, tree.xattrs, kept))
