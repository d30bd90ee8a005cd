# SPDX-License-Identifier: LGPL-2.1-or-later
"""Removing damaged objects, so that whatever needs one fails, and a commit brings it back.

While a damaged file is in its place, a commit that looks at it from outside takes it for whole,
and a checkout hands it out. Once it is gone it is *missing*: readers say so, and whoever commits a
tree that has it stores it anew. No mark is kept of the commits that need it: that follows from
what is missing, and is no longer so when it is back.

First the index forgets what would make a commit rely on the object (that it holds its content,
what was found in directories), then its file goes. Whoever dies in between leaves the damaged
file, which the next check finds again.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from ostreefs_store import durable
from ostreefs_store.checking.twins import find_wrong_holders
from ostreefs_store.codec import decode_file
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import object_name
from ostreefs_store.verify import State, find_file_problem, find_tree_problem, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ostreefs_store.checking.fsck import Problem
    from ostreefs_store.index import Transaction
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


def delete_damaged(repository: Repository, problems: Iterable[Problem]) -> list[Problem]:
    """Delete the object files whose content is not whole, and records that are not their digest's.

    The caller has the repository alone. What of an object is whole stays: one that lacks nothing
    but its mode, owner or xattrs can be repaired. Gives the problems whose objects were deleted.
    """
    deleted: list[Problem] = []
    files: list[Digest] = []
    with repository.index.transaction() as transaction:
        for problem in problems:
            if problem.kind == "file" and _forget_file(repository, transaction, problem.digest):
                files.append(problem.digest)
                deleted.append(problem)
            elif problem.kind in {"file", "tree"} and _forget_record(transaction, problem):
                deleted.append(problem)
        for content, holder in list(find_wrong_holders(transaction)):
            transaction.delete("content", content, holder)
        # Also for what was missing already: the next commit shall look for it in its source.
        transaction.clear("statcache")
    for digest in files:
        durable.unlink_at(repository.objects.fd, object_name(digest))
    return deleted


def _forget_file(repository: Repository, transaction: Transaction, digest: Digest) -> bool:
    """Let nothing rely on an object's own file any more, if its content is damaged."""
    encoded = transaction.find_file(digest)
    if encoded is None or transaction.find_holder(digest) != digest:
        return False
    try:
        file = decode_file(encoded)
    except CorruptionError:
        return False
    if not isinstance(file, RegularFile):
        return False
    fault = inspect(repository.objects, digest, file)
    found = repository.objects.find_stat(digest)
    if fault is None or fault.state is not State.CONTENT or found is None:
        return False
    if stat.S_ISDIR(found.st_mode):  # somebody put it there; no reader takes it for an object
        return False
    transaction.delete("content", file.content, digest)
    return True


def _forget_record(transaction: Transaction, problem: Problem) -> bool:
    """Delete a record that is not its digest's; that of a holder stays as long as it is needed."""
    digest = problem.digest
    if problem.kind == "tree":
        tree = transaction.find_tree(digest)
        wrong = tree is not None and find_tree_problem(digest, tree) is not None
        return wrong and transaction.delete("trees", digest)
    encoded = transaction.find_file(digest)
    if encoded is None or find_file_problem(digest, encoded) is None:
        return False
    if any(holder == digest for _, holder in transaction.items_from("twins")):
        return False
    transaction.delete("twins", digest)
    return transaction.delete("files", digest)
