# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking everything that a repository holds against its digests.

Works beside writers: objects that a commit adds meanwhile are not looked at. Object files that the
index does not know are left from an interrupted commit; they are counted and do no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import (
    commit_digest,
    decode_commit,
    decode_file,
    decode_tree,
    file_digest,
    tree_digest,
)
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import ObjectFiles, object_name
from ostreefs_store.parallel import map_unordered
from ostreefs_store.traverse import read_tree_object

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_JOB_FILES = 256

Progress = Callable[[int, int], None]
"""Called now and then with the objects done and their total."""

_Job = list[tuple[Digest, bytes]]


class Problem(NamedTuple):
    """An object that is damaged or missing, or a ref that leads nowhere.

    `paths` has one path for a damaged file in each commit that holds it, as (commit id, path).
    """

    kind: str
    name: str
    detail: str
    paths: tuple[tuple[str, bytes], ...] = ()


class Report(NamedTuple):
    """What was checked, and what was found."""

    commits: int
    trees: int
    files: int
    unknown_files: int
    problems: list[Problem]


def check_repository(repository: Repository, progress: Progress | None = None) -> Report:
    """Check every ref, commit, tree, file object and object file."""
    with repository.in_use(), repository.index.snapshot() as snapshot:
        problems = list(_check_graph(snapshot))
        damaged: list[Problem] = []
        total, done = snapshot.count("files"), 0
        checker = _FileChecker(repository.objects)
        for count, found in map_unordered(checker.check, _jobs(snapshot)):
            damaged += found
            done += count
            if progress is not None:
                progress(done, total)
        problems += _locate(snapshot, damaged)
        return Report(
            commits=snapshot.count("commits"),
            trees=snapshot.count("trees"),
            files=total,
            unknown_files=_count_unknown(repository.objects, snapshot),
            problems=problems,
        )


def _jobs(snapshot: Snapshot) -> Iterator[_Job]:
    objects = snapshot.iter_objects("files")
    while job := list(islice(objects, _JOB_FILES)):
        yield job


class _FileChecker:
    """The part that workers do: read object files."""

    def __init__(self, objects: ObjectFiles) -> None:
        self._objects = objects

    def check(self, job: _Job) -> tuple[int, list[Problem]]:
        found = []
        for digest, encoded in job:
            detail = self._find_problem(digest, encoded)
            if detail is not None:
                found.append(Problem("file", digest.hex(), detail))
        return len(job), found

    def _find_problem(self, digest: Digest, encoded: bytes) -> str | None:
        try:
            file = decode_file(encoded)
            if file_digest(encoded) != digest:
                return "its record in the index does not match its digest"
            if isinstance(file, RegularFile) and file.size:
                return self._objects.find_problem(digest, file)
        except CorruptionError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None


def _check_graph(snapshot: Snapshot) -> Iterator[Problem]:
    """Refs, commits and trees: their digests, and that what they name is there."""
    for ref, commit in snapshot.iter_refs():
        if snapshot.find_commit(commit) is None:
            yield Problem("ref", ref, f"its commit {commit.hex()} is missing")
    for digest, encoded in snapshot.iter_objects("commits"):
        try:
            found = decode_commit(encoded)
        except CorruptionError as error:
            yield Problem("commit", digest.hex(), str(error))
            continue
        if commit_digest(encoded) != digest:
            yield Problem("commit", digest.hex(), "does not match its digest")
        if not snapshot.has_tree(found.root):
            yield Problem("commit", digest.hex(), f"its root tree {found.root.hex()} is missing")
    for digest, encoded in snapshot.iter_objects("trees"):
        yield from _check_tree(snapshot, digest, encoded)


def _check_tree(snapshot: Snapshot, digest: Digest, encoded: bytes) -> Iterator[Problem]:
    try:
        tree = decode_tree(encoded)
    except CorruptionError as error:
        yield Problem("tree", digest.hex(), str(error))
        return
    if tree_digest(encoded) != digest:
        yield Problem("tree", digest.hex(), "does not match its digest")
    files = snapshot.find_files([entry.digest for entry in tree.entries if not entry.is_tree])
    for entry in tree.entries:
        present = snapshot.has_tree(entry.digest) if entry.is_tree else entry.digest in files
        if not present:
            kind = "tree" if entry.is_tree else "file object"
            yield Problem("tree", digest.hex(), f"its {kind} {entry.digest.hex()} is missing")


def _locate(snapshot: Snapshot, damaged: list[Problem]) -> Iterator[Problem]:
    """Damaged files with the paths that lead to them. Walks the commits, so only when needed."""
    paths: dict[bytes, list[tuple[str, bytes]]] = {bytes.fromhex(p.name): [] for p in damaged}
    commits = snapshot.iter_objects("commits") if damaged else ()
    for digest, encoded in commits:
        try:
            found = _find_paths(snapshot, decode_commit(encoded).root, paths.keys())
        except CorruptionError:
            continue  # reported already
        for name, path in found.items():
            paths[name].append((digest.hex(), path))
    for problem in damaged:
        yield problem._replace(paths=tuple(paths[bytes.fromhex(problem.name)]))


def _find_paths(snapshot: Snapshot, root: Digest, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """One path for each of the wanted file objects that a tree holds."""
    found: dict[bytes, bytes] = {}
    stack = [(b"", root)]
    seen = {root}
    while stack:
        above, digest = stack.pop()
        for entry in read_tree_object(snapshot, digest).entries:
            path = above + b"/" + entry.name
            if entry.is_tree and entry.digest not in seen:
                seen.add(entry.digest)
                stack.append((path, entry.digest))
            elif not entry.is_tree and entry.digest in wanted:
                found.setdefault(entry.digest, path)
    return found


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
