# SPDX-License-Identifier: LGPL-2.1-or-later
"""Refs, and the revisions that people type.

A revision is a full commit id, a unique prefix of one, a ref, or ``REF@{…}``, which the reflog
answers; followed by any number of ``^`` (the first parent) and ``~N`` (the N-th ancestor along
first parents), as in git.

An alias is another name for a ref. It is read as that ref is, and is never moved itself.
"""

from __future__ import annotations

import re
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Literal

from ostreefs_store.codec import decode_commit
from ostreefs_store.errors import (
    AmbiguousRevisionError,
    InvalidNameError,
    ObjectMissingError,
    RefConflictError,
    RefExistsError,
    RefHasAliasError,
    RefIsAliasError,
    RefMovedError,
    RevisionNotFoundError,
)
from ostreefs_store.globs import is_pattern, matching
from ostreefs_store.model import DIGEST_SIZE, Commit, Digest
from ostreefs_store.names import check_ref, is_hex
from ostreefs_store.reflog import record, resolve_past

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ostreefs_store.index import Snapshot, Transaction

_REVISION = re.compile(r"([^~^@]*)(?:@\{([^{}]*)\})?((?:\^|~[0-9]*)*)", re.ASCII)
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
    base, when, steps = _parse_revision(revision)
    if when is None:
        commit = _resolve_base(snapshot, base, revision)
    else:
        commit = resolve_past(snapshot, base, when, revision)
    for taken in range(steps):
        parent = find_parent(snapshot, commit, read_commit(snapshot, commit))
        if parent is None:
            raise RevisionNotFoundError(
                revision, f"its history ends after {taken} of {steps} steps"
            )
        commit = parent
    return commit


def find_parent(snapshot: Snapshot, digest: Digest, commit: Commit) -> Digest | None:
    """The first parent; where that was pruned, the nearest ancestor that was kept."""
    if not commit.parents or snapshot.find_commit(commit.parents[0]) is not None:
        return commit.parents[0] if commit.parents else None
    graft = Digest((snapshot.find("grafts", digest) or b"")[:DIGEST_SIZE])
    return graft if graft and snapshot.find_commit(graft) is not None else None


def _parse_revision(revision: str) -> tuple[str, str | None, int]:
    """Split ``REF@{1}~3^`` into ``("REF", "1", 4)``."""
    match = _REVISION.fullmatch(revision)
    if match is None:
        raise RevisionNotFoundError(
            revision, "only @{…}, ^ and ~N may follow a name, in this order"
        )
    base, when, suffixes = match.groups()
    found = _SUFFIX.findall(suffixes)
    if any(len(suffix) > _STEPS_DIGITS for suffix in found):
        raise RevisionNotFoundError(revision, "no history is that long")
    steps = sum(int(suffix[1:] or 1) if suffix != "^" else 1 for suffix in found)
    return base, when, steps


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
    """Raise unless `ref` is a valid name that can stand beside the refs that are there.

    Raises `InvalidNameError`, `RefConflictError`, `RefIsAliasError`.
    """
    check_ref(ref)
    target = snapshot.find_alias(ref)
    if target is not None:
        raise RefIsAliasError(ref, target)
    _check_beside(snapshot, ref)


def _check_beside(snapshot: Snapshot, ref: str) -> None:
    parts = ref.split("/")
    for length in range(1, len(parts)):
        above = "/".join(parts[:length])
        if snapshot.find_ref(above) is not None:
            raise RefConflictError(ref, above)
    for other, _ in snapshot.iter_refs(ref):
        if other != ref:
            raise RefConflictError(ref, other)


def set_ref(
    transaction: Transaction,
    ref: str,
    commit: Digest,
    *,
    expected: Digest | Literal["any"] | None = "any",
    reason: str = "",
) -> None:
    """Create a ref or move it, and write the reflog.

    `expected` is what the ref must name until now, None that it must not be there. Raises
    `InvalidNameError`, `RefConflictError`, `RefIsAliasError`, and `RefMovedError` for a ref that
    is not as expected, unless it names `commit` already.
    """
    check_free(transaction, ref)
    found = transaction.find_ref(ref)
    if expected != "any" and found not in {expected, commit}:
        raise RefMovedError(ref, expected, found, commit)
    transaction.set_ref(ref, commit)
    _record(transaction, ref, found, commit, reason)


def _record(
    transaction: Transaction, ref: str, old: Digest | None, new: Digest | None, reason: str
) -> None:
    """Write the reflog of a ref, and of the aliases that follow it."""
    for name in (ref, *aliases_of(transaction, ref)):
        record(transaction, name, old, new, reason)


def aliases_of(snapshot: Snapshot, ref: str) -> list[str]:
    """The aliases of a ref."""
    return [alias for alias, target in snapshot.iter_aliases() if target == ref]


def set_alias(
    transaction: Transaction, alias: str, target: str, *, replace: bool = False, reason: str = ""
) -> Digest:
    """Make a name follow a ref; the commit. An alias of another ref is made to follow this one.

    With `replace` a ref of that name gives way, too. Raises `RevisionNotFoundError` without such a
    target, `RefIsAliasError` or `RefHasAliasError` for what would be a chain or a loop,
    `RefExistsError` when a ref has the name.
    """
    check_ref(alias)
    further = transaction.find_alias(target)
    if further is not None:
        raise RefIsAliasError(target, further)
    commit = transaction.find_ref(target)
    if commit is None:
        raise RevisionNotFoundError(target, "an alias needs a ref to follow")
    old = transaction.find_ref(alias)
    if old is not None and transaction.find_alias(alias) is None:
        _give_way(transaction, alias, target, replace=replace)
    _check_beside(transaction, alias)
    transaction.put("aliases", alias.encode(), target.encode())
    record(transaction, alias, old, commit, reason)
    return commit


def _give_way(transaction: Transaction, ref: str, target: str, *, replace: bool) -> None:
    """Remove a ref in whose place an alias is to stand."""
    if not replace:
        raise RefExistsError(ref)
    if ref == target:
        raise InvalidNameError("alias", ref, "it would stand for itself")
    for follower in aliases_of(transaction, ref):
        raise RefHasAliasError(ref, follower)
    transaction.delete_ref(ref)


def find_doomed(snapshot: Snapshot, wanted: str) -> dict[str, Digest | None]:
    """What ``refs --delete`` means: a ref, all under a folder, or all that match a pattern.

    With the commits that they name; None for an alias of nothing, which nobody should see. Raises
    `RevisionNotFoundError` when that is nothing at all.
    """
    doomed: dict[str, Digest | None] = {}
    if is_pattern(wanted):
        doomed |= dict.fromkeys(matching(wanted, snapshot.iter_aliases()))
        doomed |= matching(wanted, snapshot.iter_refs())
    elif wanted:
        doomed |= dict.fromkeys(alias for alias, _ in snapshot.iter_aliases(wanted))
        doomed |= dict(snapshot.iter_refs(wanted))
    if not doomed:
        raise RevisionNotFoundError(wanted, "no such ref")
    return dict(sorted(doomed.items()))


def delete_refs(transaction: Transaction, wanted: str, *, reason: str = "") -> list[str]:
    """Delete what `find_doomed` finds; the names."""
    doomed = find_doomed(transaction, wanted)
    delete_these(transaction, doomed, reason=reason)
    return list(doomed)


def delete_these(
    transaction: Transaction, doomed: Mapping[str, Digest | None], *, reason: str
) -> None:
    """Delete refs and aliases. Raises `RefHasAliasError` where an alias would be left alone."""
    for alias, target in transaction.iter_aliases():
        if target in doomed and alias not in doomed:
            raise RefHasAliasError(target, alias)
    for name, commit in doomed.items():
        if not transaction.delete("aliases", name.encode()):
            transaction.delete_ref(name)
        record(transaction, name, commit, None, reason)
