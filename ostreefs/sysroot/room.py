# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much room a deployment takes, and whether there is so much.

The tree takes a block for each of its directories, since its files are links to objects; where
they are copied (`links` is false), their content as well. What is added for names is small, and is
rounded up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.errors import RoomError
from ostreefs.sysroot.kernels import find_copy
from ostreefs_store.codec import read_file
from ostreefs_store.model import RegularFile
from ostreefs_store.traverse import read_tree_entries

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs.sysroot.kernels import Kernel
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

_BLOCK = 4096
_SLACK = 1 << 20


class Room(NamedTuple):
    """Bytes that a deployment takes, and those that are free for it."""

    tree: int
    tree_free: int
    boot: int
    boot_free: int
    is_shared: bool
    """Whether both are on one filesystem."""


def measure(sysroot: Sysroot, tree: int, kernel: Kernel | None) -> Room:
    """What there is room for, and what a tree of this size and a kernel need."""
    boot = 0
    if kernel is not None and find_copy(sysroot, kernel.folder) is None:
        boot = kernel.size + 4 * _BLOCK
    free = (_free(sysroot.ostree), _free(sysroot.boot))
    is_shared = sysroot.ostree.stat().st_dev == sysroot.boot.stat().st_dev
    return Room(tree + _SLACK, free[0], boot, free[1], is_shared)


def check(sysroot: Sysroot, room: Room) -> None:
    """Raise `RoomError` when there is less than a deployment takes."""
    if room.boot > room.boot_free:
        raise RoomError(sysroot.boot, room.boot, room.boot_free)
    needed = room.tree + (room.boot if room.is_shared else 0)
    if needed > room.tree_free:
        raise RoomError(sysroot.ostree, needed, room.tree_free)


def measure_tree(snapshot: Snapshot, root: Digest, *, links: bool) -> int:
    """The bytes that a checkout takes. Each tree is read once, wherever it occurs."""
    known: dict[bytes, int] = {}
    pending: list[bytes] = [root]
    while pending:
        tree = pending[-1]
        _, entries = read_tree_entries(snapshot, tree)  # type: ignore[arg-type]  # a digest
        below = [digest for _, is_tree, digest in entries if is_tree]
        unknown = [digest for digest in below if digest not in known]
        if unknown:
            pending += unknown
            continue
        files = [digest for _, is_tree, digest in entries if not is_tree]
        size = _BLOCK * (1 + len(entries) // 64)
        known[pending.pop()] = (
            size
            + sum(known[digest] for digest in below)
            + (0 if links else _copied(snapshot, files))
        )
    return known[root]


def _copied(snapshot: Snapshot, files: list[Digest]) -> int:
    found = snapshot.find_files(files)
    total = 0
    for digest in files:
        item = read_file(found[digest]) if digest in found else None
        if isinstance(item, RegularFile):
            total += -(-item.size // _BLOCK) * _BLOCK
    return total


def _free(path: Path) -> int:
    found = os.statvfs(path)
    return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
