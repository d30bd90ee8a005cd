# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deleting what nobody keeps: commits, the objects that go with them, and what crashes left.

A prune is alone: it waits for commits, checkouts and fsck, and they for it. The order is the
guarantee:

1. `keeping` finds the commits that stay; those that somebody shows at the moment (`leases`) stay
   too. `marking` finds the objects that go with the others. What is left over of crashes is
   unlinked: on a full disk that makes room for 2.
2. One index transaction forgets them, and all that caches know of them: a later commit of the
   same tree reads and stores its files anew. From here on they do not exist.
3. The object files of the forgotten objects are unlinked.

Dying before the end of 2 has changed nothing; dying in 3 leaves files that nobody knows: left
over for the next prune, or for the next commit that needs them. When no commit is to go, there is
nothing to find in 1 nor to do in 2: objects come into the index only with a commit that reaches
them. (File objects that are shadowed where a commit lays trees over one another are an exception,
since the stat cache knows them; they go with the next commit that goes.)
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store import durable
from ostreefs_store.dates import forget_commits
from ostreefs_store.errors import CommitInUseError
from ostreefs_store.leases import claim, find_leased
from ostreefs_store.model import DIGEST_SIZE, Digest
from ostreefs_store.objects import object_name
from ostreefs_store.pruning.keeping import GRAFTS, History, Rules, find_kept
from ostreefs_store.pruning.marking import Objects, find_dead
from ostreefs_store.refs import read_commit
from ostreefs_store.statcache import mentions_any

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot, Transaction
    from ostreefs_store.objects import ObjectFiles
    from ostreefs_store.repository import Repository

Progress = Callable[[int, int], None]
"""Called now and then with what is done and the total, in trees or in object files."""

_HOW_TO_FIND_MOUNTS = "unmount it first; 'findmnt -t fuse.ostreefs' lists the mounts"
_NAME_DIGITS = 2 * DIGEST_SIZE - 2
_NO_OBJECTS = Objects(set(), set())


class Report(NamedTuple):
    """What was deleted, or would have been. `freed` are bytes of inodes that nobody else has."""

    total: int
    """Objects that there were."""
    commits: list[Digest]
    trees: int
    files: int
    left_over: int
    """Object files of no object."""
    freed: int
    leased: list[Digest]
    """Commits that would have gone, were they not shown somewhere at the moment."""

    @property
    def deleted(self) -> int:
        """All objects that went, and files of none."""
        return len(self.commits) + self.trees + self.files + self.left_over


class _Plan(NamedTuple):
    """What goes."""

    total: int
    doomed: set[Digest]
    leased: set[Digest]
    grafts: dict[Digest, list[Digest]]
    kept: set[Digest]
    dead: Objects
    left_over: list[Digest]
    """Names of object files of no object."""
    files: list[Digest]
    """Names of object files of objects that go."""


def prune(
    repository: Repository,
    rules: Rules,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _, __: None,
    on_wait: Callable[[], None] | None = None,
) -> Report:
    """Delete all that `rules` do not keep; see the module for what is promised.

    Raises `RevisionNotFoundError`, `CommitInUseError`, and for a kept commit that is not whole
    `CorruptionError`; nothing is deleted then.
    """
    left_over = freed = 0
    with repository.alone(on_wait=on_wait):
        durable.trace("prune:alone")
        while True:
            with repository.index.snapshot() as snapshot:
                plan = _make_plan(repository, snapshot, rules, progress)
            left_over += len(plan.left_over)
            if dry_run:
                freed = _measure(repository.objects, [*plan.left_over, *plan.files])
                break
            freed += _delete(repository.objects, plan.left_over, progress)
            if not plan.doomed or _forget_claimed(repository, plan):
                durable.trace("prune:forgotten")
                freed += _delete(repository.objects, plan.files, progress)
                break
    return Report(
        total=plan.total,
        commits=sorted(plan.doomed),
        trees=len(plan.dead.trees),
        files=len(plan.dead.files),
        left_over=left_over,
        freed=freed,
        leased=sorted(plan.leased),
    )


def _make_plan(
    repository: Repository, snapshot: Snapshot, rules: Rules, progress: Progress
) -> _Plan:
    total = sum(snapshot.count(kind) for kind in ("commits", "trees", "files"))
    kept: set[Digest] = set()
    doomed: set[Digest] = set()
    leased: set[Digest] = set()
    grafts: dict[Digest, list[Digest]] = {}
    dead = _NO_OBJECTS
    if rules.starts_from_refs or rules.delete:
        history = History(snapshot)
        kept = find_kept(snapshot, history, rules, repository.config)
        doomed = set(history.commits) - kept
        leased = find_leased(repository.path, doomed) if doomed else leased
        for commit in leased.intersection(rules.delete):
            raise CommitInUseError(commit, "mounted", hint=_HOW_TO_FIND_MOUNTS)
        kept |= leased
        doomed -= leased
        if doomed:
            grafts = history.find_grafts(kept)
            trees = snapshot.count("trees")
            roots = {history.commits[commit].root for commit in kept}
            dead = find_dead(snapshot, roots, lambda done: progress(done, trees))
    left_over: list[Digest] = []
    files: list[Digest] = []
    for digest in _find_garbage(repository.objects, snapshot, dead.files):
        (files if digest in dead.files else left_over).append(digest)
    return _Plan(total, doomed, leased, grafts, kept, dead, left_over, files)


def _forget_claimed(repository: Repository, plan: _Plan) -> bool:
    """Forget what goes in one transaction; False when somebody has begun to show a part of it."""
    with claim(repository.path, plan.doomed, plan.kept) as is_claimed:
        if is_claimed:
            durable.trace("prune:claimed")
            with repository.index.transaction() as transaction:
                _forget(transaction, plan)
        return is_claimed


def _forget(transaction: Transaction, plan: _Plan) -> None:
    dead = plan.dead
    forget_commits(transaction, [(c, read_commit(transaction, c).timestamp) for c in plan.doomed])
    transaction.delete_all("commits", plan.doomed)
    transaction.delete_all("usage", plan.doomed)
    transaction.delete_all(GRAFTS, transaction.keys(GRAFTS))
    for commit, ancestors in plan.grafts.items():
        if ancestors:
            transaction.put(GRAFTS, commit, b"".join(ancestors))
    transaction.delete_all("trees", dead.trees)
    for database in ("files", "twins", "collisions"):
        transaction.delete_all(database, dead.files)
    for database in ("content", "inodes"):
        items = transaction.items_from(database)
        for key, digest in [item for item in items if item[1] in dead.files]:
            transaction.delete(database, key, digest)
    records = transaction.items_from("statcache")
    stale = [key for key, value in records if mentions_any(value, dead.trees, dead.files)]
    transaction.delete_all("statcache", stale)


def _find_garbage(
    objects: ObjectFiles, snapshot: Snapshot, dead: Iterable[bytes]
) -> Iterator[Digest]:
    """Object files of no object, once the dead are forgotten; a twin has no file of its own."""
    gone = {*dead, *snapshot.keys("twins")}
    known = [digest for digest in snapshot.keys("files") if digest not in gone]
    start = 0
    for first in range(256):
        end = bisect_left(known, bytes([first + 1])) if first < 255 else len(known)
        folder = f"{first:02x}"
        names = set(os.listdir(objects.path / folder))
        names.difference_update([digest.hex()[2:] for digest in known[start:end]])
        start = end
        for name in sorted(names):
            if len(name) == _NAME_DIGITS and not set(name) - set("0123456789abcdef"):
                yield Digest(bytes.fromhex(folder + name))


def _delete(objects: ObjectFiles, garbage: Sequence[Digest], progress: Progress) -> int:
    """Unlink object files; the bytes that are free then."""
    freed = _measure(objects, garbage)
    for number, digest in enumerate(garbage):
        with suppress(IsADirectoryError):  # somebody put it there; no object is one
            durable.unlink_at(objects.fd, object_name(digest))
        progress(number, len(garbage))
    return freed


def _measure(objects: ObjectFiles, garbage: Iterable[Digest]) -> int:
    """The bytes that are free once these files are gone: none of what a checkout shares."""
    links: dict[int, int] = {}
    freed = 0
    for digest in garbage:
        found = objects.find_stat(digest)
        if found is not None:
            links[found.st_ino] = links.get(found.st_ino, 0) + 1
            if links[found.st_ino] == found.st_nlink:
                freed += found.st_size
    return freed
