# SPDX-License-Identifier: LGPL-2.1-or-later
"""Refs, and the revisions that people type.

A revision is a full commit id, a unique prefix of one, or a ref; followed by any number of ``^``
(the first parent) and ``~N`` (the N-th ancestor along first parents), as in git.
"""

from __future__ import annotations

import re
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import (
    AmbiguousRevisionError,
    ObjectMissingError,
    RefConflictError,
    RevisionNotFoundError,
)
from ostreefs_store.model import DIGEST_SIZE, Commit, Digest
from ostreefs_store.names import check_ref, is_hex

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot, Transaction

_SUFFIX = re.compile(r"(\^|~[0-9]*)", re.ASCII)
PREFIX_MIN = 4
_STEPS_DIGITS = 10
_SHOWN = 3


def read_commit(snapshot: Snapshot, commit: Digest) -> Commit:
    """Decode a commit. Raises `ObjectMissingError` when the repository does not hold it."""
    encoded = snapshot.find_commit(commit)
    if encoded is None:
        raise ObjectMissingError("commit", commit)
    return decode_commit(encoded)


def resolve(snapshot: Snapshot, revision: str) -> Digest:
    """The commit that a revision names.

    Raises `RevisionNotFoundError` or `AmbiguousRevisionError`.
    """
    base, steps = _parse_revision(revision)
    commit = _resolve_base(snapshot, base, revision)
    for taken in range(steps):
        parents = read_commit(snapshot, commit).parents
        if not parents:
            raise RevisionNotFoundError(
                revision, f"its history ends after {taken} of {steps} steps"
            )
        commit = parents[0]
    return commit


def _parse_revision(revision: str) -> tuple[str, int]:
    """Split ``REF~3^`` into ``("REF", 4)``."""
    match = re.fullmatch(r"([^~^]*)((?:\^|~[0-9]*)*)", revision)
    if match is None:
        raise RevisionNotFoundError(revision, "after ^ or ~N only more of them may follow")
    suffixes = _SUFFIX.findall(match[2])
    if any(len(suffix) > _STEPS_DIGITS for suffix in suffixes):
        raise RevisionNotFoundError(revision, "no history is that long")
    steps = sum(int(suffix[1:] or 1) if suffix != "^" else 1 for suffix in suffixes)
    return match[1], steps


def _resolve_base(snapshot: Snapshot, base: str, revision: str) -> Digest:
    found = snapshot.find_ref(base)
    if found is not None:
        return found
    if not is_hex(base) or len(base) > 2 * DIGEST_SIZE:
        raise RevisionNotFoundError(revision)
    candidates = commits_with_prefix(snapshot, base, limit=_SHOWN + 1)
    if not candidates:
        raise RevisionNotFoundError(revision)
    if len(candidates) > 1:
        raise AmbiguousRevisionError(base, [commit.hex()[:16] for commit in candidates[:_SHOWN]])
    if len(base) < PREFIX_MIN:
        raise RevisionNotFoundError(revision, f"a prefix needs at least {PREFIX_MIN} digits")
    return candidates[0]


def commits_with_prefix(snapshot: Snapshot, prefix: str, *, limit: int) -> list[Digest]:
    """At most `limit` commits whose ids start with these digits of lower-case hex."""
    whole = prefix + "0" * (len(prefix) % 2)
    ids = (commit for commit, _ in snapshot.commits_from(bytes.fromhex(whole)))
    return list(islice(takewhile(lambda commit: commit.hex().startswith(prefix), ids), limit))


def check_free(snapshot: Snapshot, ref: str) -> None:
    """Raise unless `ref` is a valid name that can stand beside the refs that are there."""
    check_ref(ref)
    parts = ref.split("/")
    for length in range(1, len(parts)):
        above = "/".join(parts[:length])
        if snapshot.find_ref(above) is not None:
            raise RefConflictError(ref, above)
    for other, _ in snapshot.iter_refs(ref):
        if other != ref:
            raise RefConflictError(ref, other)


def set_ref(transaction: Transaction, ref: str, commit: Digest) -> None:
    """Create a ref or move it. Raises `InvalidNameError`, `RefConflictError`."""
    check_free(transaction, ref)
    transaction.set_ref(ref, commit)


def delete_refs(transaction: Transaction, ref: str) -> list[str]:
    """Delete a ref, or all under a folder of refs; the names. Raises `RevisionNotFoundError`."""
    doomed = [name for name, _ in transaction.iter_refs(ref)] if ref else []
    if not doomed:
        raise RevisionNotFoundError(ref, "no such ref")
    for name in doomed:
        transaction.delete_ref(name)
    return doomed
