# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which objects no commit reaches that is kept.

All that the index knows is suspected. Then every tree that the kept commits reach is decoded once,
and takes itself and what it names off the list. Most of the time is spent in msgspec and in set
operations, 200 ns for each entry of a tree; names are skipped over without being made.

A tree that is missing stops the prune: what it names would be taken for garbage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs_store.errors import FormatError, ObjectMissingError

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

Progress = Callable[[int], None]
"""Called now and then with the trees that were looked at."""

_STEP = 1024


class _Entry(msgspec.Struct, array_like=True, gc=False):
    name: msgspec.Raw
    is_tree: bool
    digest: bytes


class _Tree(msgspec.Struct, array_like=True, gc=False):
    mode: int
    uid: int
    gid: int
    xattrs: msgspec.Raw
    entries: list[_Entry]


_decode = msgspec.msgpack.Decoder(_Tree).decode


class Objects(NamedTuple):
    """Tree and file objects, by their digests."""

    trees: set[bytes]
    files: set[bytes]


def find_dead(
    snapshot: Snapshot, kept: Iterable[Digest], progress: Progress = lambda _: None
) -> Objects:
    """All trees and files that the kept root trees do not reach, but for what holds content.

    An object file that a living object is read through stays, with its object. Raises
    `ObjectMissingError` and `FormatError` for a tree that a kept root reaches.
    """
    dead = Objects(set(snapshot.keys("trees")), set(snapshot.keys("files")))
    stack: list[bytes] = list(kept)
    seen: set[bytes] = set()
    while stack:
        digest = stack.pop()
        if digest in seen:
            continue
        seen.add(digest)
        if len(seen) % _STEP == 0:
            progress(len(seen))
        entries = _read_entries(snapshot, digest)
        dead.files.difference_update([entry.digest for entry in entries if not entry.is_tree])
        stack += [entry.digest for entry in entries if entry.is_tree]
    dead.trees.difference_update(seen)
    for twin, holder in snapshot.items_from("twins"):
        if twin not in dead.files:
            dead.files.discard(holder)
    return dead


def _read_entries(snapshot: Snapshot, digest: bytes) -> list[_Entry]:
    encoded = snapshot.find_tree(digest)
    if encoded is None:
        raise ObjectMissingError("tree", digest)
    try:
        return _decode(encoded).entries
    except msgspec.MsgspecError as error:
        raise FormatError("tree", f"{digest.hex()}: {error}") from None
