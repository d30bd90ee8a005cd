# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount shows, without FUSE: names, numbers and objects.

A mount shows one commit (its root is the commit's root), or all of them (see `virtual`).

Numbers (inode numbers) need no table for what a commit holds except its directories:

- the root is 1;
- a file object's number follows from the object (`filenumbers`);
- a directory, and a symbolic link that is no object, has a number below 2**61 that follows from
  its parent's and its name. It is remembered for as long as the kernel knows it;
- where files are shown `apart`, so has every file. An overlay takes names of one inode for one
  file, and what is written to one of them would show in all files that were equal to it.

Nothing here waits; every call takes one short snapshot of the index.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

from blake3 import blake3

from ostreefs.fuse.filenumbers import (
    NODE_NUMBERS,
    FileNumbers,
    file_attributes,
    find_files,
    is_of_file,
)
from ostreefs.fuse.listing import Listed, Listing, Resolve
from ostreefs.fuse.nodes import (
    Attributes,
    FileNode,
    Forgotten,
    Found,
    LinkNode,
    Node,
    StaleError,
    TopNode,
    TreeNode,
)
from ostreefs.fuse.treecache import TreeCache
from ostreefs.fuse.virtual import Virtual
from ostreefs_store.codec import read_file, read_tree_head
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.model import (
    Digest,
    File,
    RegularFile,
    TreeEntry,
    TreeHead,
    Xattrs,
)
from ostreefs_store.refs import read_commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot
    from ostreefs_store.leases import Leases
    from ostreefs_store.repository import Repository

ROOT = 1
_new = tuple.__new__
_CACHED_ENTRIES = 50_000
_FORGOTTEN = 16_384
"""Directories whose file handles can be used after the kernel has dropped them: 250 bytes each."""
_DEPTH_MAX = 4096
_DOTS = {b".", b".."}


class Namespace:
    """The whole of what one mount shows."""

    def __init__(
        self,
        repository: Repository,
        commit: Digest | None,
        leases: Leases | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Show `commit`, on which the caller has a lease, or all commits when it is None.

        With `leases`, one is taken on each commit that somebody looks into, and held for as long
        as the kernel knows its root. With `apart`, equal files have numbers of their own.
        """
        self._repository = repository
        self._index = repository.index
        self._leases = leases
        self._apart = apart
        self._leased: set[int] = {ROOT}
        self._trees = TreeCache(_CACHED_ENTRIES)
        self._files = FileNumbers()
        self._owner = (repository.path.stat().st_uid, repository.path.stat().st_gid)
        root: Node
        if commit is None:
            root = TopNode(None, b"", ROOT)
        else:
            with self._index.snapshot() as snapshot:
                root = TreeNode(None, b"", ROOT, read_commit(snapshot, commit).root, commit)
        root.lookups = 1
        self._nodes: dict[int, Node] = {ROOT: root}
        self._parents: dict[tuple[int, bytes], int] = {}
        self._generation = 0
        self._given: WeakValueDictionary[int, Node] = WeakValueDictionary()
        """Nodes of which the kernel may yet be told: no other one gets their numbers."""
        self._forgotten = Forgotten(_FORGOTTEN)
        self._virtual = Virtual(repository.index, self)

    @property
    def commit(self) -> Digest | None:
        """The commit that is shown, None for all of them."""
        root = self._nodes[ROOT]
        return root.commit if isinstance(root, TreeNode) else None

    @property
    def generation(self) -> int:
        """How often another commit was shown."""
        return self._generation

    @property
    def tree_cache_uses(self) -> tuple[int, int]:
        """How often a directory was there decoded, and how often it had to be decoded."""
        return self._trees.hits, self._trees.misses

    def switch(self, commit: Digest) -> list[bytes]:
        """Show another commit, on which the caller has taken a lease, from now on.

        The lease on the one that was shown is given back when the kernel knows none of its own
        directories any more: it may be somebody's working directory.

        Returns the names in the root that lead elsewhere now, for the kernel to forget. What it
        knows under a number stays what it was; directories that are the same in both commits keep
        their numbers.
        """
        old = self._nodes[ROOT]
        assert isinstance(old, TreeNode)
        with self._index.snapshot() as snapshot:
            root = read_commit(snapshot, commit).root
            before = self._trees.get(snapshot, old.digest)
            after = self._trees.get(snapshot, root)
        new = TreeNode(None, b"", ROOT, root, commit)
        self._generation += 1
        new.key = -self._generation
        new.lookups = old.lookups
        for name in before.keys() & after.keys():
            if before[name] == after[name] and (old.key, name) in self._parents:
                number = self._parents.pop((old.key, name))
                self._parents[new.key, name] = number
                self._nodes[number].parent = new
        old.retired = True
        self._nodes[ROOT] = new
        if self._leases is not None and old.commit is not None:
            # All that is below it leads to it: it goes with the last directory or listing of it.
            finalize(old, self._leases.drop, old.commit).atexit = False
        return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))

    def passing_names(self) -> list[tuple[int, bytes]]:
        """What the kernel may know below roots that are shown no more: directories, and names."""
        passing = [
            node
            for node in self._nodes.values()
            if isinstance(node, TreeNode) and _is_passing(node)
        ]
        with self._index.snapshot() as snapshot:
            return [
                (n.number, name) for n in passing for name in self._trees.get(snapshot, n.digest)
            ]

    def __len__(self) -> int:
        """How many directories and links the kernel knows at the moment."""
        return len(self._nodes)

    def lookup(self, parent: int, name: bytes) -> Found | None:
        """The entry of a directory with a name. Raises `StaleError`, `NotADirectoryError`.

        ``.`` is there in everything: so the kernel asks for a number that it has forgotten.
        """
        if name in _DOTS:
            return self._lookup_dots(parent, name)
        node = self._directory(parent)
        with self._index.snapshot() as snapshot:
            return self._find_child(snapshot, node, name)

    def _lookup_dots(self, number: int, name: bytes) -> Found:
        if is_of_file(number):
            if name == b"..":
                raise NotADirectoryError(number)
            return Found(name, self.attributes(number), None)
        with self._index.snapshot() as snapshot:
            if name == b"..":
                node = self._node(number)
                node = node.parent or node
                node = self._nodes.get(node.number, node)
            else:
                node = self._nodes.get(number) or self._recall(snapshot, number)
            return Found(name, self._node_attributes(snapshot, node), node)

    def _find_child(self, snapshot: Snapshot, node: Node, name: bytes) -> Found | None:
        if isinstance(node, TreeNode):
            entry = self._trees.get(snapshot, node.digest).get(name)
            if entry is None:
                return None
            return self._resolve_tree_entries(snapshot, node, [entry])[0]
        return self._lookup_virtual(snapshot, node, name)

    def _recall(self, snapshot: Snapshot, number: int) -> Node:
        """The directory or link that had a number when it was forgotten. Raises `StaleError`."""
        names: list[bytes] = []
        above = number
        while above not in self._nodes:
            if len(names) > _DEPTH_MAX:
                raise StaleError(number)
            above, name = self._forgotten.find(above)
            names.append(name)
        node = self._nodes[above]
        for name in reversed(names):
            found = self._find_child(snapshot, node, name)
            if found is None or found.node is None:
                raise StaleError(number)
            node = found.node
        if node.number != number:
            raise StaleError(number)
        return node

    def is_fixed(self, number: int) -> bool:
        """Whether what a directory holds changes only with a `switch`, if ever."""
        return isinstance(self._nodes.get(number), TreeNode)

    def is_fixed_for_good(self, number: int) -> bool:
        """Whether what a directory holds never changes: of what a commit holds, not the root."""
        return number != ROOT and self.is_fixed(number)

    def attributes(self, number: int) -> Attributes:
        """What stat(2) shows. Raises `StaleError`."""
        if is_of_file(number):
            return file_attributes(number, self.file(number)[1])
        with self._index.snapshot() as snapshot:
            return self._node_attributes(snapshot, self._node(number))

    def file(self, number: int) -> tuple[Digest, File]:
        """The file object with a number. Raises `StaleError`."""
        with self._index.snapshot() as snapshot:
            return self._file(snapshot, number)

    def content(self, number: int) -> tuple[Digest, File]:
        """The object whose file holds the content of a file object, and the latter itself.

        Raises `StaleError`.
        """
        with self._index.snapshot() as snapshot:
            digest, file = self._file(snapshot, number)
            return snapshot.find_holder(digest), file

    def _file(self, snapshot: Snapshot, number: int) -> tuple[Digest, File]:
        node = self._nodes.get(number)
        if not isinstance(node, FileNode):
            return self._files.find(snapshot, number)
        encoded = snapshot.find_file(node.digest)
        if encoded is None:
            raise StaleError(number)
        return node.digest, read_file(encoded)

    def link_target(self, number: int) -> bytes | None:
        """Where a link of the namespace itself leads; None when the number is no such link."""
        node = self._nodes.get(number)
        return node.target if isinstance(node, LinkNode) else None

    def xattrs(self, number: int) -> Xattrs:
        """The true extended attributes. Raises `StaleError`."""
        node = None if is_of_file(number) else self._node(number)
        if node is None or isinstance(node, FileNode):
            return self.file(number)[1].xattrs
        if not isinstance(node, TreeNode):
            return ()
        with self._index.snapshot() as snapshot:
            return _read_head(snapshot, node).xattrs

    def identity(self, number: int) -> dict[bytes, bytes]:
        """The attributes that the mount makes up: object, content and commit in hex."""
        found: dict[bytes, bytes] = {}
        is_object = is_of_file(number)
        node: Node | None = self._nodes[ROOT] if is_object else self._node(number)
        if is_object or isinstance(node, FileNode):
            digest, file = self.file(number)
            found[b"user.ostreefs.object"] = digest.hex().encode()
            if isinstance(file, RegularFile):
                found[b"user.ostreefs.content"] = file.content.hex().encode()
        elif isinstance(node, TreeNode):
            found[b"user.ostreefs.object"] = node.digest.hex().encode()
        while node is not None:
            if isinstance(node, TreeNode) and node.commit is not None:
                found[b"user.ostreefs.commit"] = node.commit.hex().encode()
                break
            node = node.parent
        return found

    def list_directory(self, number: int, *, dotted: bool = False) -> Listing:
        """Open a directory for reading. Raises `StaleError`, `NotADirectoryError`.

        When `dotted`, ``.`` and ``..`` come first.
        """
        node = self._directory(number)
        resolve = self.resolver(node)
        if isinstance(node, TreeNode):
            return Listing(node, self._entries(node.digest), resolve, dotted=dotted)
        return Listing(node, self._virtual.names(node), resolve, dotted=dotted)

    def _entries(self, digest: Digest) -> Iterator[TreeEntry]:
        """What a tree holds, looked for when the first is wanted: the kernel may know it all."""
        with self._index.snapshot() as snapshot:
            tree = self._trees.get(snapshot, digest)
        yield from tree.values()

    def resolver(self, node: Node) -> Resolve:
        """What turns the names of a `Listing` of this directory into entries."""

        def resolve(window: list[Listed]) -> list[Found | None]:
            with self._index.snapshot() as snapshot:
                if isinstance(node, TreeNode):
                    entries = [entry for entry in window if isinstance(entry, TreeEntry)]
                    return [*self._resolve_tree_entries(snapshot, node, entries)]
                names = [item[0] for item in window if isinstance(item, tuple)]
                return [self._lookup_virtual(snapshot, node, name) for name in names]

        return resolve

    def acknowledge(self, node: Node) -> None:
        """Count that the kernel has been told of a node once more."""
        known = self._nodes.get(node.number)
        if known is None:
            self._nodes[node.number] = known = node
            self._given.pop(node.number, None)
            known.lookups = 0
            if node.parent is not None:
                self._parents[node.parent.key, node.name] = node.number
        known.lookups += 1

    def forget(self, number: int, count: int) -> None:
        """The kernel drops `count` of what it was told; forgotten nodes are dropped here, too."""
        node = self._nodes.get(number)
        if node is None:
            return
        node.lookups -= count
        if node.lookups <= 0 and node.parent is not None:
            del self._nodes[number]
            self._forgotten.add(node)
            if number in self._leased:
                self._give_back(node)
            key = node.parent.key, node.name
            if self._parents.get(key) == number:  # not when another one has the name by now
                del self._parents[key]

    def _node(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            raise StaleError(number)
        return node

    def _directory(self, number: int) -> Node:
        if is_of_file(number):
            raise NotADirectoryError(number)
        node = self._node(number)
        if isinstance(node, LinkNode | FileNode):
            raise NotADirectoryError(number)
        if isinstance(node, TreeNode) and node.commit is not None and number not in self._leased:
            self._lease(node, node.commit)
        return node

    def _lease(self, node: TreeNode, commit: Digest) -> None:
        """See that a commit stays which somebody looks into; it may be gone by now."""
        if self._leases is None:
            return
        is_held = self._leases.hold(commit)
        with self._index.snapshot() as snapshot:
            if not is_held or snapshot.find_commit(commit) is None:
                self._leases.drop(commit)
                raise StaleError(node.number)
        self._leased.add(node.number)

    def _give_back(self, node: Node) -> None:
        self._leased.discard(node.number)
        if self._leases is not None and isinstance(node, TreeNode) and node.commit is not None:
            self._leases.drop(node.commit)

    # ---- entries of a commit's directories

    def _resolve_tree_entries(
        self, snapshot: Snapshot, node: TreeNode, entries: list[TreeEntry]
    ) -> list[Found]:
        number_of = self._files.giver(snapshot)
        files = find_files(snapshot, [entry.digest for entry in entries if not entry.is_tree])
        found: list[Found] = []
        for entry in entries:
            name, digest = entry.name, entry.digest
            if entry.is_tree:
                child = self.known_child(node, name)
                if child is None:
                    child = TreeNode(node, name, self.new_number(node, name), digest)
                    self._given[child.number] = child
                found.append(Found(name, self._node_attributes(snapshot, child), child))
            elif digest in files and self._apart:
                found.append(self._find_apart(node, entry, files[digest]))
            elif digest in files:
                attributes = file_attributes(number_of(digest), files[digest])
                found.append(_new(Found, (name, attributes, None)))
            else:
                raise ObjectMissingError("file", digest)
        return found

    def _find_apart(self, parent: TreeNode, entry: TreeEntry, file: File) -> Found:
        child = self.known_child(parent, entry.name)
        if child is None:
            number = self.new_number(parent, entry.name)
            self._given[number] = child = FileNode(parent, entry.name, number, entry.digest)
        return Found(entry.name, file_attributes(child.number, file), child)

    # ---- nodes

    def known_child(self, parent: Node, name: bytes) -> Node | None:
        """The node of an entry that the kernel knows."""
        number = self._parents.get((parent.key, name))
        return None if number is None else self._nodes[number]

    def new_number(self, parent: Node, name: bytes) -> int:
        """The number that an entry has whenever it is known, unless another one holds it."""
        key = parent.number.to_bytes(8, "big") + name
        number = int.from_bytes(blake3(key).digest()[:8], "big") & NODE_NUMBERS
        while number <= ROOT or number in self._nodes or self._is_promised(number, parent, name):
            number = (number + 1) & NODE_NUMBERS
        return number

    def _is_promised(self, number: int, parent: Node, name: bytes) -> bool:
        """Whether another entry was given a number of which the kernel has not been told yet."""
        node = self._given.get(number)
        if node is None or node.parent is None:
            return node is not None
        return node.parent.key != parent.key or node.name != name

    def _node_attributes(self, snapshot: Snapshot, node: Node) -> Attributes:
        if isinstance(node, FileNode):
            return file_attributes(node.number, self._file(snapshot, node.number)[1])
        if isinstance(node, TreeNode):
            head = _read_head(snapshot, node)
            return Attributes(
                node.number, stat.S_IFDIR | head.mode, head.uid, head.gid, 0, 0, 0, fixed=True
            )
        uid, gid = self._owner
        if isinstance(node, LinkNode):
            size = len(node.target)
            return Attributes(node.number, stat.S_IFLNK | 0o777, uid, gid, size, 0, 0, fixed=False)
        return Attributes(node.number, stat.S_IFDIR | 0o555, uid, gid, 0, 0, 0, fixed=False)

    # ---- the namespace above the commits

    def _lookup_virtual(self, snapshot: Snapshot, node: Node, name: bytes) -> Found | None:
        child = self._virtual.lookup(snapshot, node, name)
        if child is None:
            return None
        if child.number not in self._nodes:
            self._given[child.number] = child
        return Found(name, self._node_attributes(snapshot, child), child)


def _is_passing(node: Node) -> bool:
    """Whether a directory belongs to a root that is shown no more."""
    while node.parent is not None:
        node = node.parent
    return isinstance(node, TreeNode) and node.retired


def _read_head(snapshot: Snapshot, node: TreeNode) -> TreeHead:
    """A directory's own metadata. Raises `StaleError` for the root of a commit that was pruned."""
    encoded = snapshot.find_tree(node.digest)
    if encoded is not None:
        return read_tree_head(encoded)
    if node.commit is not None and snapshot.find_commit(node.commit) is None:
        raise StaleError(node.number)
    raise ObjectMissingError("tree", node.digest)
