# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking everything that a repository holds against its digests.

Works beside writers and mounts: objects that a commit adds meanwhile are not looked at. Object
files that the index does not know are left from an interrupted commit; they are counted and do no
harm.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.checking.locate import NeedingCommit, locate
from ostreefs_store.checking.twins import find_twin_faults, find_wrong_holders
from ostreefs_store.codec import (
    commit_digest,
    decode_commit,
    decode_tree,
    read_file,
)
from ostreefs_store.errors import CorruptionError, IndexCorruptError
from ostreefs_store.index import DATABASES, Index
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import ObjectFiles, object_name
from ostreefs_store.parallel import map_unordered
from ostreefs_store.pins import iter_pins
from ostreefs_store.verify import (
    WRONG_RECORD,
    Fault,
    State,
    find_file_problem,
    find_tree_problem,
    inspect,
    inspect_stat,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_JOB_FILES = 256
_NOT_OPENED = 2

Progress = Callable[[int, int], None]
"""Called now and then with the objects done and their total."""

_Job = list[tuple[Digest, bytes, bool]]
"""(digest, canonical bytes, is it a twin) of file objects."""


class Problem(NamedTuple):
    """An object that is damaged or missing, or a ref or pin that leads nowhere.

    `paths` has every path of a file or tree in the commits, as (commit id, path) with one commit
    that has it there. `inode` and `links` are those of a damaged object file, else 0.
    """

    kind: str
    name: str
    detail: str
    state: State
    inode: int = 0
    links: int = 0
    paths: tuple[tuple[str, bytes], ...] = ()

    @property
    def digest(self) -> Digest:
        """What names the object; not for refs and pins."""
        return Digest(bytes.fromhex(self.name))


class Report(NamedTuple):
    """What was checked, and what was found.

    `broken` are the commits that need an object among the problems.
    """

    commits: int
    trees: int
    files: int
    unknown_files: int
    unread: int
    """Object files that we may not read; they are not among the problems."""
    problems: list[Problem]
    broken: list[NeedingCommit]


def check_repository(
    repository: Repository, progress: Progress | None = None, *, quick: bool = False
) -> Report:
    """Check every ref, commit, tree, file object and object file.

    With `quick` no object file is read: its stat is compared with what was recorded. A difference
    that proves nothing makes the object a problem of state SUSPECT.
    """
    with repository.in_use(), repository.index.snapshot() as snapshot:
        problems = list(_check_graph(snapshot))
        faults = _check_files(repository.objects, snapshot, progress, quick=quick)
        problems += (
            Problem("file", digest.hex(), **fault._asdict()) for digest, fault in faults.items()
        )
        unread = [problem for problem in problems if problem.state is State.UNREAD]
        problems = [problem for problem in problems if problem.state is not State.UNREAD]
        located = locate(snapshot, _lost(problems))
        return Report(
            commits=snapshot.count("commits"),
            trees=snapshot.count("trees"),
            files=snapshot.count("files"),
            unknown_files=_count_unknown(repository.objects, snapshot),
            unread=len(unread),
            problems=[_with_paths(problem, located.paths) for problem in problems],
            broken=located.commits,
        )


def check_index(path: Path) -> None:
    """Read all of an index that is not open yet, in a child.

    LMDB trusts its pages: of some that are damaged a reader dies. Raises `IndexCorruptError`. What
    keeps the index from being opened is left to whoever opens it, who can tell more.
    """
    pid = os.fork()
    if pid == 0:
        status = _NOT_OPENED
        try:
            faulthandler.disable()  # a death is an answer here
            index = Index.open(path, writable=False)
            status = 1
            with index.snapshot() as snapshot:
                for database in DATABASES:
                    for _ in snapshot.items_from(database.name):
                        pass
            status = 0
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in {0, _NOT_OPENED}:
        how = f"by signal {-code}" if code < 0 else "in an error"
        raise IndexCorruptError(str(path), f"reading all of it ends {how}")


def find_broken(repository: Repository, problems: Iterable[Problem]) -> list[NeedingCommit]:
    """The commits that need an object among these problems."""
    with repository.index.snapshot() as snapshot:
        return locate(snapshot, _lost(problems)).commits


def _lost(problems: Iterable[Problem]) -> set[bytes]:
    return {problem.digest for problem in problems if problem.kind in {"file", "tree"}}


def _with_paths(problem: Problem, paths: dict[bytes, list[tuple[str, bytes]]]) -> Problem:
    if problem.kind not in {"file", "tree"}:
        return problem
    return problem._replace(paths=tuple(paths[problem.digest]))


# ---- object files ----


def _check_files(
    objects: ObjectFiles, snapshot: Snapshot, progress: Progress | None, *, quick: bool
) -> dict[Digest, Fault]:
    """Every file object that has something wrong, in the order of their digests."""
    faults: dict[Digest, Fault] = {}
    total, done = snapshot.count("files"), 0
    knows_inodes = snapshot.count("inodes") > 0
    checker = _FileChecker(objects, quick=quick)
    for count, found, inodes in map_unordered(checker.check, _jobs(snapshot)):
        faults.update(found)
        if knows_inodes:
            faults.update(_find_strange_inodes(snapshot, inodes))
        done += count
        if progress is not None:
            progress(done, total)
    faults.update(find_twin_faults(objects, snapshot, faults))
    return dict(sorted(faults.items()))


def _jobs(snapshot: Snapshot) -> Iterator[_Job]:
    objects = snapshot.iter_objects("files")
    while batch := list(islice(objects, _JOB_FILES)):
        twins = snapshot.find_holders([digest for digest, _ in batch])
        yield [(digest, encoded, digest in twins) for digest, encoded in batch]


_Answer = tuple[int, list[tuple[Digest, Fault]], list[tuple[Digest, int]]]
"""Objects looked at, what is wrong with some, and what inodes the others have (if `quick`)."""


class _FileChecker:
    """The part that workers do: look at object files, or read them."""

    def __init__(self, objects: ObjectFiles, *, quick: bool) -> None:
        self._objects = objects
        self._quick = quick

    def check(self, job: _Job) -> _Answer:
        faults: list[tuple[Digest, Fault]] = []
        inodes: list[tuple[Digest, int]] = []
        for digest, encoded, is_twin in job:
            found = self._check(digest, encoded, is_twin=is_twin)
            if isinstance(found, Fault):
                faults.append((digest, found))
            elif found:
                inodes.append((digest, found))
        return len(job), faults, inodes

    def _check(self, digest: Digest, encoded: bytes, *, is_twin: bool) -> Fault | int | None:
        """A fault; the number of a whole inode if known; None when there is nothing to say."""
        wrong = find_file_problem(digest, encoded)
        if wrong is not None:
            return Fault(State.RECORD, wrong)
        file = read_file(encoded)
        if is_twin or not isinstance(file, RegularFile) or not file.size:
            return None
        look = inspect_stat if self._quick else inspect
        return look(self._objects, digest, file)


def _find_strange_inodes(
    snapshot: Snapshot, inodes: Iterable[tuple[Digest, int]]
) -> Iterator[tuple[Digest, Fault]]:
    for digest, inode in inodes:
        if snapshot.find_by_inode(inode) != digest:
            detail = f"its inode {inode} is not the one that was stored"
            yield digest, Fault(State.SUSPECT, detail, inode)


# ---- records ----


def _check_graph(snapshot: Snapshot) -> Iterator[Problem]:
    """Refs, commits and trees: their digests, and that what they name is there."""
    missing: set[tuple[str, Digest]] = set()
    yield from _check_commits(snapshot, missing)
    for digest, encoded in snapshot.iter_objects("trees"):
        wrong = find_tree_problem(digest, encoded)
        if wrong is not None:
            yield Problem("tree", digest.hex(), wrong, State.RECORD)
        with suppress(CorruptionError):
            missing |= _missing_from(snapshot, encoded)
    for kind, digest in sorted(missing):
        yield Problem(kind, digest.hex(), "its record is missing in the index", State.RECORD)
    for content, digest in find_wrong_holders(snapshot):
        detail = f"the index has it as a holder of content {content.hex()}, which it is not"
        yield Problem("content", digest.hex(), detail, State.RECORD)


def _check_names(snapshot: Snapshot) -> Iterator[Problem]:
    """Refs, aliases and pins of what is not there."""
    for ref, commit in snapshot.iter_refs():
        if snapshot.find_commit(commit) is None:
            detail = f"its commit {commit.hex()} is missing"
            yield Problem("ref", ref, detail, State.MISSING)
    for alias, target in snapshot.iter_aliases():
        if snapshot.find_ref(alias) is None:
            detail = f"it is an alias of '{target}', which is missing"
            yield Problem("ref", alias, detail, State.MISSING)
    for name, commit in iter_pins(snapshot):
        if snapshot.find_commit(commit) is None:
            detail = f"its commit {commit.hex()} is missing"
            yield Problem("pin", name, detail, State.MISSING)


def _check_commits(snapshot: Snapshot, missing: set[tuple[str, Digest]]) -> Iterator[Problem]:
    """Refs, pins and commits; root trees that are missing are added."""
    yield from _check_names(snapshot)
    for digest, encoded in snapshot.iter_objects("commits"):
        try:
            root = decode_commit(encoded).root
        except CorruptionError as error:
            yield Problem("commit", digest.hex(), str(error), State.RECORD)
            continue
        if commit_digest(encoded) != digest:
            yield Problem("commit", digest.hex(), WRONG_RECORD, State.RECORD)
        if not snapshot.has_tree(root):
            missing.add(("tree", root))


def _missing_from(snapshot: Snapshot, encoded: bytes) -> set[tuple[str, Digest]]:
    """What a tree names and is not there, as (kind, digest)."""
    entries = decode_tree(encoded).entries
    files = snapshot.find_files([entry.digest for entry in entries if not entry.is_tree])
    return {
        ("tree" if entry.is_tree else "file", entry.digest)
        for entry in entries
        if not (snapshot.has_tree(entry.digest) if entry.is_tree else entry.digest in files)
    }


# ---- what nobody knows ----


def _count_unknown(objects: ObjectFiles, snapshot: Snapshot) -> int:
    unknown = 0
    for name in os.listdir(objects.path):
        try:
            digests = [_digest_of(name, rest) for rest in os.listdir(objects.path / name)]
        except NotADirectoryError:
            unknown += 1
            continue
        known = snapshot.find_files([digest for digest in digests if digest is not None])
        unknown += sum(digest not in known for digest in digests)
    return unknown


def _digest_of(folder: str, name: str) -> Digest | None:
    try:
        digest = Digest(bytes.fromhex(folder + name))
    except ValueError:
        return None
    return digest if object_name(digest) == f"{folder}/{name}" else None
