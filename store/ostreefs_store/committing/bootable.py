# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes a tree bootable: its kernel, where distributions keep it for ostree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import NoKernelError, printable

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest, MetadataValue

_MODULES = (b"usr", b"lib", b"modules")
_KERNEL = b"vmlinuz"


def bootable_metadata(snapshot: Snapshot, batch: Batch, root: Digest) -> dict[str, MetadataValue]:
    """The metadata of a bootable commit, with ostree's keys.

    Raises `NoKernelError` unless the tree has exactly one kernel.
    """
    versions = _kernel_versions(snapshot, batch, root)
    if len(versions) != 1:
        found = ", ".join(printable(version) for version in versions)
        raise NoKernelError(f"it has the kernels {found}" if found else "it has no kernel")
    return {"ostree.bootable": True, "ostree.linux": printable(versions[0])}


def _kernel_versions(snapshot: Snapshot, batch: Batch, root: Digest) -> list[bytes]:
    tree = batch.read_tree(snapshot, root)
    for name in _MODULES:
        found = [entry for entry in tree.entries if entry.name == name and entry.is_tree]
        if not found:
            return []
        tree = batch.read_tree(snapshot, found[0].digest)
    return [
        entry.name
        for entry in tree.entries
        if entry.is_tree
        and any(
            below.name == _KERNEL and not below.is_tree
            for below in batch.read_tree(snapshot, entry.digest).entries
        )
    ]
