# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making a commit of what was taken in, and moving a ref to it.

The order is the guarantee. Object files are made durable first; then one index transaction adds
the objects, the commit and the new value of the ref. A crash before the transaction ends leaves
the old ref and files that nobody knows; a crash after it leaves the new ref and everything it
needs. Only then is a consumed source deleted.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from ostreefs_store import durable, names
from ostreefs_store.codec import commit_digest, decode_commit, encode_commit
from ostreefs_store.dates import note_commit
from ostreefs_store.errors import FormatError, InvalidNameError, RefMovedError
from ostreefs_store.model import DIGEST_SIZE, Commit, Digest, MetadataValue
from ostreefs_store.pruning.usagerecords import note_usage
from ostreefs_store.refs import check_free, read_commit, set_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.batch import Batch
    from ostreefs_store.index import Transaction
    from ostreefs_store.repository import Repository


class Message(NamedTuple):
    """What a person says of a commit. `timestamp` counts seconds since 1970 in UTC."""

    subject: str
    body: str
    timestamp: int
    metadata: dict[str, MetadataValue]


class Target(NamedTuple):
    """Where a commit goes: to a branch, or with None to no ref at all.

    `parent` None means the branch's present commit, if it has one; "none" means no parent. With
    `skip_if_unchanged` a tree equal to the parent's makes no commit. `tip` is what `read_tip` gave
    when work began: a branch that names another commit by now is not moved.
    """

    branch: str | None
    parent: Digest | Literal["none"] | None = None
    skip_if_unchanged: bool = False
    tip: Digest | Literal["any"] | None = "any"


def read_tip(repository: Repository, branch: str) -> Digest | None:
    """The commit that a branch names before any work is done for it.

    Raises `InvalidNameError`, `RefConflictError`, `RefIsAliasError`.
    """
    names.check_ref(branch)
    with repository.index.snapshot() as snapshot:
        check_free(snapshot, branch)
        return snapshot.find_ref(branch)


def check_message(message: Message) -> None:
    """Raise `InvalidNameError` for a message that no commit can hold."""
    said = (message.timestamp, message.subject, message.body, message.metadata)
    trial = Commit(Digest(bytes(DIGEST_SIZE)), (), *said)
    try:
        decode_commit(encode_commit(trial))
    except (FormatError, ValueError, OverflowError) as error:
        raise InvalidNameError("commit message", message.subject, str(error)) from None


def write_commit(
    repository: Repository,
    batch: Batch,
    root: Digest,
    message: Message,
    target: Target,
) -> tuple[Digest, bool]:
    """Publish a batch, and `root` as a commit of a branch; its id, and whether it is new.

    Where the tree is the parent's and that is to be skipped, it is the parent's id. When the
    branch has moved since work began, the commit is stored all the same, but the ref stays, and
    `RefMovedError` is raised.
    """
    check_message(message)
    with repository.index.transaction() as transaction, _synced(repository, batch):
        parents = _parents(transaction, target)
        batch.put_into(transaction)
        if target.skip_if_unchanged and _has_root(transaction, parents, root):
            return parents[0], False
        commit = Commit(
            root=root,
            parents=parents,
            timestamp=message.timestamp,
            subject=message.subject,
            body=message.body,
            metadata=message.metadata,
        )
        encoded = encode_commit(commit)
        digest = commit_digest(encoded)
        transaction.put_commit(digest, encoded)
        note_commit(transaction, digest, commit.timestamp)
        for parent in parents[:1]:
            note_usage(transaction, digest, root, parent, new=len(batch.files))
        moved = _move_branch(transaction, target, digest, message)
    if moved is not None:
        raise moved
    return digest, True


def _move_branch(
    transaction: Transaction, target: Target, digest: Digest, message: Message
) -> RefMovedError | None:
    """Move the branch to the new commit; the error when it is not where work began."""
    if target.branch is None:
        return None
    reason = f"commit: {message.subject or '(no subject)'}"
    try:
        set_ref(transaction, target.branch, digest, expected=target.tip, reason=reason)
    except RefMovedError as error:
        return error
    return None


def _has_root(transaction: Transaction, parents: tuple[Digest, ...], root: Digest) -> bool:
    return bool(parents) and read_commit(transaction, parents[0]).root == root


def _parents(transaction: Transaction, target: Target) -> tuple[Digest, ...]:
    if target.parent == "none":
        return ()
    found = target.parent or target.tip
    if found == "any":
        found = None if target.branch is None else transaction.find_ref(target.branch)
    return () if found is None else (found,)


@contextmanager
def _synced(repository: Repository, batch: Batch) -> Iterator[None]:
    """Make new object files durable while the block runs; ends when they are."""
    if not batch.object_files:
        yield
        return
    failure: list[BaseException] = []

    def sync() -> None:
        try:
            durable.sync_filesystem(repository.objects.fd)
        except BaseException as error:  # noqa: BLE001 -- raised by the thread that waits
            failure.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failure:
        raise failure[0]
