# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making damaged objects whole again from copies of their content.

The order is the guarantee. A copy is written under ``tmp``, hashed on the way, made durable, and
then renamed into the object's place; the index learns the new inode last. Whoever dies in between
leaves the damaged file or the whole one, and the next repair goes on from there. The damaged inode
is never written to: a hardlink checkout may share it, and its owner may want to look at it. Only
an inode that has no other name, and whose content is whole, gets its mode, owner and xattrs back
in place: nothing of it moves.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store import durable
from ostreefs_store.checking.salvage import Directories, Wanted
from ostreefs_store.codec import read_file
from ostreefs_store.content import hash_file
from ostreefs_store.errors import CorruptionError, PrivilegeError, printable
from ostreefs_store.metadata import rewrite_metadata
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import object_name
from ostreefs_store.verify import State, find_file_problem, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ostreefs_store.checking.fsck import Problem
    from ostreefs_store.index import ObjectFile, Snapshot
    from ostreefs_store.objects import ObjectFiles
    from ostreefs_store.repository import Repository

_LOCAL = (PrivilegeError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors that concern one object; others, such as a full disk, end the repair."""

_BATCH = 256
"""Repaired objects that one index transaction takes."""


class Outcome(NamedTuple):
    """What became of a problem; `detail` says from what it was repaired, or why not."""

    problem: Problem
    repaired: bool
    detail: str


class _Target(NamedTuple):
    """An object that has a file of its own, and what that must hold."""

    digest: Digest
    file: RegularFile


def open_directories(
    repository: Repository, paths: Sequence[bytes], problems: Iterable[Problem]
) -> Directories:
    """The directories in which to look for what `problems` are about. Raises `OSError`."""
    device = repository.path.stat().st_dev
    sizes: set[int] = set()
    inodes: set[tuple[int, int]] = set()
    with repository.index.snapshot() as snapshot:
        for problem in problems:
            target = _find_target(snapshot, problem.digest) if problem.kind == "file" else None
            if target is not None:
                sizes.add(target.file.size)
            if problem.links > 1:
                inodes.add((device, problem.inode))
    wanted = Wanted(frozenset(sizes), frozenset(inodes))
    return Directories(paths, wanted, repository=repository.path)


def repair_objects(
    repository: Repository, problems: Iterable[Problem], directories: Directories
) -> Iterator[Outcome]:
    """Repair object files, from the repository itself and from `directories`.

    The caller keeps the repository in use. Every problem has one outcome, in any order. Raises
    `OSError` when the repository cannot be written, for instance with ENOSPC: what was damaged
    still is, and nothing else.
    """
    with repository.index.snapshot() as snapshot:
        repair = _Repair(repository, snapshot, directories)
        twins: list[Problem] = []
        for problem in problems:
            if problem.kind != "file":
                yield Outcome(problem, False, "its record cannot be made again")
            elif repair.is_twin(problem):
                twins.append(problem)
            else:
                yield repair.run(problem)
        yield from (repair.run_twin(problem) for problem in twins)
        repair.publish()


class _Repair:
    """One run of `repair_objects`."""

    def __init__(
        self, repository: Repository, snapshot: Snapshot, directories: Directories
    ) -> None:
        self._repository = repository
        self._objects = repository.objects
        self._snapshot = snapshot
        self._directories = directories
        self._stored: list[ObjectFile] = []
        self._repaired: dict[Digest, str] = {}

    def run(self, problem: Problem) -> Outcome:
        """Repair an object that has a file of its own."""
        target = _find_target(self._snapshot, problem.digest)
        if target is None:
            return Outcome(problem, False, "its record in the index is damaged, too")
        try:
            how = self._repair(target, {path for _, path in problem.paths})
        except _LOCAL as error:
            return Outcome(problem, False, _reason(error))
        if how is None:
            return Outcome(problem, False, "no whole copy of its content was found")
        self._repaired[target.digest] = how
        if len(self._stored) >= _BATCH:
            self.publish()
        return Outcome(problem, True, how)

    def is_twin(self, problem: Problem) -> bool:
        """Whether an object is repaired by repairing another one, its holder.

        One whose holder is none, or of which nothing is known, gets a file of its own.
        """
        holder = self._snapshot.find_holder(problem.digest)
        is_own = holder == problem.digest or problem.state is State.RECORD
        return not is_own and _find_target(self._snapshot, holder) is not None

    def run_twin(self, problem: Problem) -> Outcome:
        """A twin is as whole as its holder."""
        how = self._repaired.get(self._snapshot.find_holder(problem.digest))
        return Outcome(problem, how is not None, how or "its holder is not repaired")

    def publish(self) -> None:
        """Make what was repaired durable, and known to the index."""
        if not self._stored:
            return
        durable.sync_filesystem(self._objects.fd)
        with self._repository.index.transaction() as transaction:
            transaction.put_object_files(self._stored)
        self._stored = []

    def _repair(self, target: _Target, paths: set[bytes]) -> str | None:
        """Make an object whole; how, or None when there is no copy."""
        how = self._repair_from_itself(target)
        if how is not None:
            return how
        for holder in self._snapshot.holders_of(target.file.content):
            if holder != target.digest and self._copy_holder(target, holder):
                return f"from object {holder.hex()}, which has the same content"
        for path, fd in self._directories.iter_copies(
            target.file.content, target.file.size, paths
        ):
            if self._copy(target, fd):
                return f"from {printable(path)}"
        return None

    # ---- from its own file ----

    def _repair_from_itself(self, target: _Target) -> str | None:
        """Give whole content its metadata back; how, or None when the content is not whole."""
        with _readable(self._repository, target.digest) as fd:
            if fd is None or not _holds(fd, target.file):
                return None
            found = inspect(self._objects, target.digest, target.file)
            if found is not None and os.fstat(fd).st_nlink > 1:
                return "with a copy of its own content" if self._copy(target, fd) else None
            if found is not None:
                self._set_metadata(fd, target.file)
            self._note(os.fstat(fd).st_ino, target)
            self._objects.keep(target.digest)
        durable.trace("repair:kept")
        return "its content was whole" if found is None else "its metadata were set again"

    def _set_metadata(self, fd: int, file: RegularFile) -> None:
        view = self._objects.inode_view(file)
        durable.trace("repair:metadata")
        if self._objects.mode == "bare":
            rewrite_metadata(fd, view)
        else:
            os.fchmod(fd, view.mode)

    # ---- from a copy ----

    def _copy_holder(self, target: _Target, holder: Digest) -> bool:
        with _readable(self._repository, holder) as fd:
            return fd is not None and self._copy(target, fd)

    def _copy(self, target: _Target, source: int) -> bool:
        """Put a copy into the object's place if it is one; whether it was."""
        if not _holds(source, target.file):
            return False
        with self._objects.staged() as (fd, path):
            durable.trace("repair:staged")
            try:
                content = hash_file(source, target.file.size, fd)
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from None
            if content != target.file.content:
                return False  # it was changed meanwhile
            durable.trace("repair:copied")
            self._make_room(target.digest)
            inode = self._objects.replace_staged(fd, path, target.digest, target.file)
        self._note(inode, target)
        return True

    def _make_room(self, digest: Digest) -> None:
        """Make the folder of an object if it is missing; remove an empty one that has its name."""
        name = object_name(digest)
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(name), 0o755, dir_fd=self._objects.fd)
        with suppress(OSError):  # the rename that follows says what is in the way
            os.rmdir(name, dir_fd=self._objects.fd)

    def _note(self, inode: int, target: _Target) -> None:
        self._stored.append((inode, target.digest, target.file.content))


def _find_target(snapshot: Snapshot, digest: Digest) -> _Target | None:
    """What an object's file must hold; None for other kinds, and where the record is damaged."""
    encoded = snapshot.find_file(digest)
    if encoded is None or find_file_problem(digest, encoded) is not None:
        return None
    file = read_file(encoded)
    return _Target(digest, file) if isinstance(file, RegularFile) else None


def _holds(fd: int, file: RegularFile) -> bool:
    """Whether an open file has the content of an object."""
    try:
        return os.fstat(fd).st_size == file.size and hash_file(fd, file.size) == file.content
    except OSError:  # a part of the disk that cannot be read
        return False


@contextmanager
def _readable(repository: Repository, digest: Digest) -> Iterator[int | None]:
    """An object file, open for reading; None where there is none.

    One whose mode keeps its owner out is opened by lending the owner the permission for a moment.
    """
    fd = _open_own(repository.objects, digest)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _open_own(objects: ObjectFiles, digest: Digest) -> int | None:
    with suppress(OSError, CorruptionError):
        try:
            return objects.open(digest)
        except PermissionError:
            return _open_with_permission(objects.fd, object_name(digest))
    return None


def _open_with_permission(dir_fd: int, name: str) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=dir_fd)
    path = f"/proc/self/fd/{handle}"
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.chmod(path, mode | stat.S_IRUSR)
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.chmod(path, mode)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return printable(os.fsencode(f"{where}{error.strerror}"))
    return str(error)
