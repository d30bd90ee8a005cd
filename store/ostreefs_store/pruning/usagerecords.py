# SPDX-License-Identifier: LGPL-2.1-or-later
"""How each commit differs from another one, its *base*: what `usage` adds up.

::

    usage   commit id -> msgpack [1, base or nil, file digests end to end, changes]

The base is the parent where there is one. `changes` are int32 in the machine's order, as LMDB's
own numbers are: by how many places each file object is in more of, or fewer. A commit notes its
record when it is made, unless it differs in a lot. Records are a cache: one whose base is gone is
made anew.
"""

from __future__ import annotations

from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import DIGEST_SIZE, Digest
from ostreefs_store.pruning.placechanges import TooMuchError, count_changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ostreefs_store.index import Snapshot, Transaction

USAGE = "usage"
_VERSION = 1
_LIMIT = 50_000
"""Entries of directories that a commit looks at for its record: some 20 ms."""

_INT32_MAX = 2**31 - 1


class Record(msgspec.Struct, frozen=True, array_like=True):
    """How a commit differs from its base, from nothing where that is None."""

    version: int
    base: Digest | None
    files: bytes
    changes: bytes

    def digests(self) -> list[bytes]:
        """The file objects of which there are more or fewer."""
        files = self.files
        return [files[at : at + DIGEST_SIZE] for at in range(0, len(files), DIGEST_SIZE)]

    def items(self) -> Iterable[tuple[bytes, int]]:
        """File objects, and by how many places they are in more of."""
        return zip(self.digests(), array("i", self.changes), strict=True)


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Record)


def note_usage(
    transaction: Transaction, commit: Digest, root: Digest, parent: Digest, *, new: int = 0
) -> None:
    """Note how a new commit differs from its parent, unless that takes long or cannot be found.

    `new` is how many of its files are new in the repository: so many entries differ at least, and
    mostly as many of the parent's.
    """
    encoded = transaction.find_commit(parent)
    if encoded is None or 2 * new > _LIMIT:
        return
    old = decode_commit(encoded).root
    with suppress(TooMuchError, CorruptionError):
        changes = count_changes(transaction, old, root, limit=_LIMIT)
        note_records(transaction, {commit: make_record(parent, changes)})


def note_records(transaction: Transaction, records: Mapping[Digest, Record]) -> None:
    """Note records of commits that are still here."""
    for commit, record in records.items():
        if transaction.find_commit(commit) is not None:
            transaction.put(USAGE, commit, _encode(record))


def read_record(snapshot: Snapshot, commit: Digest) -> Record | None:
    """What is noted of a commit; its base may be gone."""
    encoded = snapshot.find(USAGE, commit)
    try:
        record = None if encoded is None else _decoder.decode(encoded)
    except msgspec.MsgspecError:
        return None
    return record if record is not None and record.version == _VERSION else None


def make_record(base: Digest | None, changes: Mapping[bytes, int]) -> Record:
    """A record; a number of places that no int32 holds counts as the largest that it does."""
    bounded = [max(-_INT32_MAX, min(_INT32_MAX, change)) for change in changes.values()]
    return Record(_VERSION, base, b"".join(changes), array("i", bounded).tobytes())
