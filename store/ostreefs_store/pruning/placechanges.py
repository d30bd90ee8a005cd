# SPDX-License-Identifier: LGPL-2.1-or-later
"""How often each file object stands in a tree, against another tree. Reads the index alone.

Directories that are equal in both are not looked into. A directory that stands in many places is
looked at once and counted as often, so that the cost follows from the number of different
directories, however many places they make.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs_store.errors import FormatError, ObjectMissingError

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot

Entry = tuple[bytes, bool, bytes]
"""Name, whether it is a directory, digest: as in the canonical bytes of a tree."""

Pair = tuple[bytes | None, bytes | None]
"""A directory as it was and as it is; None where it was not or is no more."""


_RUN = 128
"""Entries that are compared at once."""


class TooMuchError(Exception):
    """The directories that differ have more entries than somebody wanted to look at."""


class _Entries(msgspec.Struct, array_like=True, gc=False):
    mode: int
    uid: int
    gid: int
    xattrs: msgspec.Raw
    entries: list[Entry]


_decode = msgspec.msgpack.Decoder(_Entries).decode


class _Change(NamedTuple):
    """What differs directly in a pair of directories."""

    files: Counter[bytes]
    below: list[Pair]
    entries: int
    """Of both together."""


def read_entries(snapshot: Snapshot, digest: bytes | None) -> list[Entry]:
    """The entries of a tree, none where there is no tree. Raises `CorruptionError`."""
    if digest is None:
        return []
    encoded = snapshot.find_tree(digest)
    if encoded is None:
        raise ObjectMissingError("tree", digest)
    try:
        return _decode(encoded).entries
    except msgspec.MsgspecError as error:
        raise FormatError("tree", f"{digest.hex()}: {error}") from None


def count_changes(
    snapshot: Snapshot, old: bytes | None, new: bytes, *, limit: int | None = None
) -> dict[bytes, int]:
    """By how many places each file object is in more of in `new`, or fewer where negative.

    Raises `TooMuchError` when directories that differ have more than `limit` entries, and
    `CorruptionError`.
    """
    entries = 0
    changes: dict[Pair, _Change] = {}
    finished: list[Pair] = []
    stack: list[tuple[Pair, bool]] = [((old, new), False)]
    while stack:
        pair, is_done = stack.pop()
        if is_done:
            finished.append(pair)
        elif pair not in changes and pair[0] != pair[1]:
            change = changes[pair] = _compare(snapshot, pair)
            entries += change.entries
            if limit is not None and entries > limit:
                raise TooMuchError
            stack.append((pair, True))
            stack += [(below, False) for below in change.below]
    return _add_up(changes, finished)


def _compare(snapshot: Snapshot, pair: Pair) -> _Change:
    before, after = (read_entries(snapshot, digest) for digest in pair)
    gone, come = _find_differing(before, after)
    files = Counter([digest for _, is_tree, digest in come if not is_tree])
    files.subtract([digest for _, is_tree, digest in gone if not is_tree])
    was = {name: digest for name, is_tree, digest in gone if is_tree}
    below: list[Pair] = [
        (was.pop(name, None), digest) for name, is_tree, digest in come if is_tree
    ]
    below += [(digest, None) for digest in was.values()]
    return _Change(files, below, len(before) + len(after))


def _find_differing(before: list[Entry], after: list[Entry]) -> tuple[set[Entry], set[Entry]]:
    """The entries that are in one of two directories alone.

    Runs that stand in both at the same place are passed over without a look at each entry.
    """
    if len(before) != len(after):
        one, other = set(before), set(after)
    else:
        one, other = set(), set()
        for at in range(0, len(before), _RUN):
            if before[at : at + _RUN] != after[at : at + _RUN]:
                one.update(before[at : at + _RUN])
                other.update(after[at : at + _RUN])
    return one - other, other - one


def _add_up(changes: dict[Pair, _Change], finished: list[Pair]) -> dict[bytes, int]:
    """Count every pair as often as it stands somewhere; those above come after those below."""
    times: Counter[Pair] = Counter(finished[-1:])
    total: dict[bytes, int] = {}
    for pair in reversed(finished):
        factor = times[pair]
        for digest, count in changes[pair].files.items():
            total[digest] = total.get(digest, 0) + factor * count
        for below in changes[pair].below:
            times[below] += factor
    return {digest: count for digest, count in total.items() if count}
