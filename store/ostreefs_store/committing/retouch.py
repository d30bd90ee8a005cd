# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changing the metadata of what is in a tree already: owners, modes. No content is moved.

The new objects are twins of the old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs_store.errors import OverridePathsError
from ostreefs_store.model import Digest, Symlink, Tree, TreeEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.modifiers import Modifiers


class ModeOverride(NamedTuple):
    """What a line of a statoverride file asks for: bits to set, or to be added."""

    bits: int
    is_added: bool

    def apply(self, mode: int) -> int:
        """The new permission bits."""
        return mode | self.bits if self.is_added else self.bits


def parse_overrides(text: bytes) -> dict[bytes, ModeOverride]:
    """Parse ostree's form: a line ``+BITS PATH`` or ``=BITS PATH`` each, BITS being decimal.

    Without a sign the bits are added. Empty lines and those that begin with ``#`` mean nothing.
    Raises `ValueError` with the number of the line that is none of these.
    """
    found: dict[bytes, ModeOverride] = {}
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        bits, _, path = line.partition(b" ")
        digits = bits[1:] if bits[:1] in {b"+", b"="} else bits
        if not path.startswith(b"/") or not digits.isdigit() or int(digits) > 0o7777:
            raise ValueError(number)
        found[path.strip(b"/")] = ModeOverride(int(digits), is_added=bits[:1] != b"=")
    return found


def override_modes(
    snapshot: Snapshot, batch: Batch, root: Digest, overrides: dict[bytes, ModeOverride]
) -> Digest:
    """The tree with other permission bits at these paths (no slash before; empty for the root).

    Raises `OverridePathsError` for paths that are not there, or are symbolic links.
    """
    retouch = _Retouch(snapshot, batch)
    missing: list[bytes] = []
    digest = retouch.at_paths(root, b"", overrides, missing)
    if missing:
        raise OverridePathsError(sorted(missing))
    return digest


def modify_tree(snapshot: Snapshot, batch: Batch, root: Digest, modifiers: Modifiers) -> Digest:
    """The tree with modifiers applied to everything in it."""
    retouch = _Retouch(snapshot, batch)
    return retouch.everything(root, modifiers)


class _Retouch:
    def __init__(self, snapshot: Snapshot, batch: Batch) -> None:
        self._snapshot = snapshot
        self._batch = batch

    def at_paths(
        self,
        digest: Digest,
        path: bytes,
        overrides: dict[bytes, ModeOverride],
        missing: list[bytes],
    ) -> Digest:
        """Override below one directory; the depth is that of the paths that were asked for."""
        tree = self._batch.read_tree(self._snapshot, digest)
        own = overrides.get(b"")
        below: dict[bytes, dict[bytes, ModeOverride]] = {}
        for wanted, override in overrides.items():
            name, _, rest = wanted.partition(b"/")
            if name:
                below.setdefault(name, {})[rest] = override
        entries = []
        for entry in tree.entries:
            inner = below.pop(entry.name, None)
            if inner is None:
                entries.append(entry)
                continue
            full = b"%s/%s" % (path, entry.name)
            if entry.is_tree:
                new = self.at_paths(entry.digest, full, inner, missing)
            else:
                missing += [b"%s/%s" % (full, rest) for rest in inner if rest]
                new = self._override_file(entry.digest, full, inner.get(b""), missing)
            entries.append(TreeEntry(entry.name, entry.is_tree, new))
        missing += [
            b"/".join(filter(None, (path, name, rest)))
            for name, inner in below.items()
            for rest in inner
        ]
        mode = tree.mode if own is None else own.apply(tree.mode)
        changed = Tree(mode, tree.uid, tree.gid, tree.xattrs, tuple(entries))
        return self._batch.add_tree(self._snapshot, changed)

    def _override_file(
        self, digest: Digest, path: bytes, override: ModeOverride | None, missing: list[bytes]
    ) -> Digest:
        if override is None:
            return digest
        file = self._batch.read_file(self._snapshot, digest)
        if isinstance(file, Symlink):
            missing.append(path)
            return digest
        changed = msgspec.structs.replace(file, mode=override.apply(file.mode))
        return self._batch.add_twin(self._snapshot, changed, digest)

    def everything(self, root: Digest, modifiers: Modifiers) -> Digest:
        """Apply modifiers to every object once, leaves first."""
        files: dict[Digest, Digest] = {}
        trees: dict[Digest, Digest] = {}
        for digest, tree in reversed(self._trees_below(root)):
            entries = tuple(
                TreeEntry(
                    entry.name,
                    entry.is_tree,
                    trees[entry.digest]
                    if entry.is_tree
                    else _memoised(files, entry.digest, lambda d: self._modified(d, modifiers)),
                )
                for entry in tree.entries
            )
            changed = modifiers.apply(tree)
            trees[digest] = self._batch.add_tree(
                self._snapshot,
                Tree(changed.mode, changed.uid, changed.gid, changed.xattrs, entries),
            )
        return trees[root]

    def _modified(self, digest: Digest, modifiers: Modifiers) -> Digest:
        file = self._batch.read_file(self._snapshot, digest)
        return self._batch.add_twin(self._snapshot, modifiers.apply(file), digest)

    def _trees_below(self, root: Digest) -> list[tuple[Digest, Tree]]:
        """Every tree, each before all that it holds."""
        order: dict[Digest, Tree] = {}
        pending: list[Digest] = [root]
        while pending:
            digest = pending.pop()
            tree = order.pop(digest, None) or self._batch.read_tree(self._snapshot, digest)
            order[digest] = tree  # moved behind whatever else holds it
            pending += [entry.digest for entry in tree.entries if entry.is_tree]
        return list(order.items())


def _memoised(
    memory: dict[Digest, Digest], key: Digest, compute: Callable[[Digest], Digest]
) -> Digest:
    if key not in memory:
        memory[key] = compute(key)
    return memory[key]
