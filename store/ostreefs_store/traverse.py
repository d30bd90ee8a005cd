# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding one's way in commits: paths, listings, histories. Reads the index alone."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ostreefs_store.codec import Entry, decode_file, decode_tree, read_entries
from ostreefs_store.errors import ObjectMissingError, PathNotFoundError
from ostreefs_store.model import Commit, Digest, File, Symlink, Tree, TreeHead
from ostreefs_store.refs import find_parent, read_commit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs_store.index import Snapshot


_LINKS_MAX = 40
"""As in Linux (path_resolution(7))."""


class ObjectSource(Protocol):
    """Where trees and files are found: a snapshot of the index, or what is as good."""

    def find_tree(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a tree object."""

    def find_file(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a file object."""

    def find_files(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the file objects that exist, by digest."""


class Node(NamedTuple):
    """A path in a commit, with the object it names; absolute, ``/`` for the root."""

    path: bytes
    digest: Digest
    item: Tree | File


def read_tree_object(snapshot: Snapshot, digest: Digest) -> Tree:
    """Decode and check a tree. Raises `ObjectMissingError`, `FormatError`."""
    encoded = snapshot.find_tree(digest)
    if encoded is None:
        raise ObjectMissingError("tree", digest)
    return decode_tree(encoded)


def read_file_object(objects: ObjectSource, digest: Digest) -> File:
    """Decode and check a file object. Raises `ObjectMissingError`, `FormatError`."""
    encoded = objects.find_file(digest)
    if encoded is None:
        raise ObjectMissingError("file", digest)
    return decode_file(encoded)


def find_node(snapshot: Snapshot, root: Digest, path: bytes) -> Node:
    """What a path names; ``.`` and empty components are skipped, symbolic links not followed.

    Raises `PathNotFoundError`.
    """
    node = Node(b"/", root, read_tree_object(snapshot, root))
    for name in split_path(path):
        if not isinstance(node.item, Tree):
            kind = "a symbolic link" if isinstance(node.item, Symlink) else "not a directory"
            raise PathNotFoundError(path, f"{node.path.decode(errors='replace')} is {kind}")
        for entry in node.item.entries:
            if entry.name == name:
                break
        else:
            raise PathNotFoundError(path)
        read = read_tree_object if entry.is_tree else read_file_object
        node = Node(_join(node.path, name), entry.digest, read(snapshot, entry.digest))
    return node


def split_path(path: bytes) -> tuple[bytes, ...]:
    """The names in a path; ``.`` and empty components are skipped."""
    return tuple(name for name in path.split(b"/") if name not in {b"", b"."})


def find_entry(objects: ObjectSource, root: Digest, path: bytes) -> tuple[bool, Digest] | None:
    """Whether what a path names is a tree, and its digest; None when there is nothing."""
    found: tuple[bool, Digest] | None = True, root
    for name in split_path(path):
        if found is None or not found[0]:
            return None
        found = look_up(objects, found[1], name)
    return found


class Place(NamedTuple):
    """Where a path leads: names without links, and what is there, as `find_entry` tells."""

    names: tuple[bytes, ...]
    entry: tuple[bool, Digest] | None


def follow(objects: ObjectSource, root: Digest, path: bytes) -> Place:
    """Where a path leads, symbolic links followed as in a chroot; the last name need not exist.

    Nor need those before it: what is not there has no links. Raises `PathNotFoundError` where
    something on the way is no directory, or links lead nowhere else but to themselves.
    """
    pending = list(reversed(path.split(b"/")))
    names: list[bytes] = []
    trees = [root]  # of the names that exist, the root's before them
    found: tuple[bool, Digest] | None = True, root
    followed = 0
    while pending:
        name = pending.pop()
        if name in {b"", b"."}:
            continue
        if name == b"..":
            del names[-1:]
            del trees[len(names) + 1 :]
            found = (True, trees[-1]) if len(trees) == len(names) + 1 else None
            continue
        if found is not None and not found[0]:
            raise PathNotFoundError(path, f"/{_shown(names)} is not a directory")
        found = None if found is None else look_up(objects, found[1], name)
        if found is not None and not found[0]:
            item = read_file_object(objects, found[1])
            if isinstance(item, Symlink):
                followed += 1
                if followed > _LINKS_MAX:
                    raise PathNotFoundError(path, "too many symbolic links")
                if item.target.startswith(b"/"):
                    names, trees = [], [root]
                pending += reversed(item.target.split(b"/"))
                found = True, trees[-1]
                continue
        names.append(name)
        if found is not None and found[0]:
            trees.append(found[1])
    return Place(tuple(names), found)


def _shown(names: Sequence[bytes]) -> str:
    return b"/".join(names).decode(errors="replace")


def look_up(objects: ObjectSource, tree: Digest, name: bytes) -> tuple[bool, Digest] | None:
    """Whether an entry of a directory is a tree, and its digest; None when there is no such."""
    entries = read_tree_entries(objects, tree)[1]
    position = bisect_left(entries, (name,))
    if position == len(entries) or entries[position][0] != name:
        return None
    return entries[position][1:]


def read_tree_entries(objects: ObjectSource, digest: Digest) -> tuple[TreeHead, list[Entry]]:
    """A tree as `read_entries` gives it. Raises `ObjectMissingError`."""
    encoded = objects.find_tree(digest)
    if encoded is None:
        raise ObjectMissingError("tree", digest)
    return read_entries(encoded)


def iter_children(snapshot: Snapshot, node: Node) -> Iterator[Node]:
    """The entries of a directory, in the order of their names."""
    assert isinstance(node.item, Tree)
    entries = node.item.entries
    files = snapshot.find_files([entry.digest for entry in entries if not entry.is_tree])
    for entry in entries:
        path = _join(node.path, entry.name)
        if entry.is_tree:
            yield Node(path, entry.digest, read_tree_object(snapshot, entry.digest))
            continue
        encoded = files.get(entry.digest)
        if encoded is None:
            raise ObjectMissingError("file", entry.digest)
        yield Node(path, entry.digest, decode_file(encoded))


def iter_nodes(snapshot: Snapshot, node: Node) -> Iterator[Node]:
    """A node and everything below it, parents first."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if isinstance(current.item, Tree):
            stack.extend(reversed(list(iter_children(snapshot, current))))


def iter_history(snapshot: Snapshot, commit: Digest) -> Iterator[tuple[Digest, Commit]]:
    """A commit and its ancestors along first parents, without those that were pruned."""
    following: Digest | None = commit
    while following is not None:
        found = read_commit(snapshot, following)
        yield following, found
        following = find_parent(snapshot, following, found)


def _join(path: bytes, name: bytes) -> bytes:
    return path + name if path == b"/" else path + b"/" + name
