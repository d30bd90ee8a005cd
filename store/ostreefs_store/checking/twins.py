# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking objects that have no object file of their own: are their holders as good?

A twin's content is that of its holder, which has been looked at when a twin's turn comes. So equal
content is read once, however many objects share it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ostreefs_store.codec import decode_file
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.verify import Fault, State, find_file_problem, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ostreefs_store.index import Snapshot
    from ostreefs_store.objects import ObjectFiles


_BATCH = 256


def find_twin_faults(
    objects: ObjectFiles, snapshot: Snapshot, faults: Mapping[Digest, Fault]
) -> Iterator[tuple[Digest, Fault]]:
    """Twins that have something wrong; `faults` are those of all objects that are no twins."""
    for key, value in snapshot.items_from("twins"):
        twin, holder = Digest(bytes(key)), Digest(bytes(value))
        file = _find_regular(snapshot, twin)
        if file is None:  # no record: reported by whoever needs it
            continue
        fault = _find_wrong_holder(snapshot, file, holder)
        if fault is None and holder in faults:
            fault = _inherit(objects, file, holder, faults[holder])
        if fault is not None:
            yield twin, fault


def find_wrong_holders(snapshot: Snapshot) -> Iterator[tuple[bytes, Digest]]:
    """Entries (content digest, file digest) of objects that do not hold this content.

    A commit would take such an object for the holder of a new twin.
    """
    entries = snapshot.items_from("content")
    while batch := [(bytes(key), Digest(bytes(value))) for key, value in islice(entries, _BATCH)]:
        digests = [digest for _, digest in batch]
        files, twins = snapshot.find_files(digests), snapshot.find_holders(digests)
        for content, digest in batch:
            # The record has these 32 bytes for nothing else than its content.
            if digest in twins or content not in files.get(digest, b""):
                encoded = files.get(digest)
                if encoded is None or find_file_problem(digest, encoded) is None:
                    yield content, digest


def _find_regular(snapshot: Snapshot, digest: Digest) -> RegularFile | None:
    encoded = snapshot.find_file(digest)
    try:
        file = None if encoded is None else decode_file(encoded)
    except CorruptionError:
        return None
    return file if isinstance(file, RegularFile) else None


def _find_wrong_holder(snapshot: Snapshot, file: RegularFile, holder: Digest) -> Fault | None:
    """A holder that is no object with a file, or one of other content."""
    name = holder.hex()
    if snapshot.find_file(holder) is None:
        return Fault(State.RECORD, f"its content is held by object {name}, which is missing")
    if snapshot.find_holder(holder) != holder:
        return Fault(State.RECORD, f"its content is held by object {name}, which has no file")
    held = _find_regular(snapshot, holder)
    if held is not None and held.content != file.content:
        return Fault(State.RECORD, f"its content is held by object {name}, which has another")
    return None


def _inherit(
    objects: ObjectFiles, file: RegularFile, holder: Digest, fault: Fault
) -> Fault | None:
    """What a holder's fault means for a twin: nothing as long as the content is whole."""
    if fault.state is State.RECORD:  # then nobody has looked at the object file yet
        found = inspect(objects, holder, file)
        if found is None:
            return None
        fault = found
    if fault.state is State.METADATA:
        return None
    return fault._replace(detail=f"its content is held by object {holder.hex()}: {fault.detail}")
