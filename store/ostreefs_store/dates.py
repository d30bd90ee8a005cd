# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits by their time, in the index.

::

    dates   timestamp + 2**63 (8 bytes, big-endian) and commit id -> empty

A time is that which the commit itself bears, in UTC; a day is counted from 1970-01-01. Commits are
noted in the transaction that adds them, and forgotten in the one that prunes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import FormatError
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ostreefs_store.index import Index, Snapshot, Transaction

DATES = "dates"
DAY = 86400
_ZERO = 2**63
_TIME_BYTES = 8

FIRST_DAY, LAST_DAY = -719162, 2932896
"""0001-01-01 and 9999-12-31: what a date can be written for."""


def note_commit(transaction: Transaction, commit: Digest, timestamp: int) -> None:
    """Remember when a commit was made."""
    transaction.put(DATES, _key(timestamp) + commit, b"")


def forget_commits(transaction: Transaction, commits: Iterable[tuple[Digest, int]]) -> None:
    """Forget commits, given with their timestamps."""
    transaction.delete_all(DATES, [_key(time) + commit for commit, time in commits])


def iter_days(snapshot: Snapshot, first: int = FIRST_DAY) -> Iterator[int]:
    """The days on which commits were made, from `first` on, in order.

    A day costs one look-up, however many commits it has.
    """
    while first <= LAST_DAY:
        found = next(snapshot.items_from(DATES, _key(first * DAY)), None)
        if found is None:
            return
        day = _timestamp(found[0]) // DAY
        if day > LAST_DAY:
            return
        yield day
        first = day + 1


def iter_day(
    snapshot: Snapshot, day: int, after: tuple[int, Digest] | None = None
) -> Iterator[tuple[int, Digest]]:
    """The commits of a day (timestamp, id) in order, those that come after one of them."""
    start = _key(day * DAY) if after is None else _key(after[0]) + after[1] + b"\0"
    for key, _ in snapshot.items_from(DATES, start):
        timestamp = _timestamp(key)
        if timestamp // DAY != day:
            return
        yield timestamp, Digest(bytes(key[_TIME_BYTES:]))


def complete(index: Index) -> None:
    """Note the commits of a repository that an older program has written to."""
    with index.snapshot() as snapshot:
        if snapshot.count(DATES) >= snapshot.count("commits"):
            return
    with index.transaction() as transaction:
        for digest, encoded in list(transaction.iter_objects("commits")):
            try:
                note_commit(transaction, digest, decode_commit(encoded).timestamp)
            except FormatError:  # for fsck to find
                continue


def _key(timestamp: int) -> bytes:
    return (timestamp + _ZERO).to_bytes(_TIME_BYTES, "big")


def _timestamp(key: bytes) -> int:
    return int.from_bytes(key[:_TIME_BYTES], "big") - _ZERO
