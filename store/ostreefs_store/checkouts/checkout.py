# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking out a commit as ordinary files: hard links to the objects where that can be.

A checkout to a new place is made under a hidden name beside it, ``.NAME.checkout-…``, and renamed
when it is complete: whatever happens, the destination is absent or whole. Nothing is synced; who
needs that (a deployment does) syncs afterwards. In a union the files of an existing directory are
added to one by one, each of them whole.

The parent process makes the directories and hands the files of each to worker processes; modes of
directories are set last, so that read-only ones can be filled.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store import durable
from ostreefs_store.beneath import remove_beneath
from ostreefs_store.checkouts.checkoutplan import is_opaque, plan_files
from ostreefs_store.checkouts.directories import DirectoryMaker
from ostreefs_store.checkouts.filemaker import CheckoutOptions, FileMaker
from ostreefs_store.errors import PrivilegeError
from ostreefs_store.model import Digest, Tree
from ostreefs_store.parallel import map_unordered
from ostreefs_store.traverse import find_node

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs_store.index import ObjectFile, Snapshot
    from ostreefs_store.repository import Repository

Progress = Callable[[int], None]
"""Called now and then with the number of files that were made so far."""


class CheckoutResult(NamedTuple):
    """What was made, and which device nodes could not be made by an ordinary user."""

    files: int
    skipped_devices: list[bytes]


def checkout(
    repository: Repository,
    root: Digest,
    destination: Path,
    options: CheckoutOptions,
    progress: Progress | None = None,
) -> CheckoutResult:
    """Check out a tree.

    Raises `FileExistsError` for a destination that is there (unless a union is asked for),
    `CheckoutConflictError`, `PrivilegeError`, `PathNotFoundError`.
    """
    filler = _Filler(repository, options, progress)
    if b"" in options.skip:
        return CheckoutResult(0, [])
    with repository.in_use():
        if options.union != "none" and destination.is_dir():
            return filler.fill(root, destination, new=False)
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination))
        temporary = _make_hidden(destination)
        durable.trace("checkout:begun")
        try:
            result = filler.fill(root, temporary, new=True)
            durable.rename_new(temporary, destination)
        except BaseException:
            import shutil  # noqa: PLC0415 -- only for what goes wrong

            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return result


def _make_hidden(destination: Path) -> Path:
    """Make the folder beside a destination that becomes it in the end."""
    name = os.fsdecode(os.fsencode(destination.name)[:200])
    hidden = destination.absolute().with_name(durable.temporary_name(f".{name}.checkout-"))
    try:
        hidden.mkdir(0o700)
    except OSError as error:  # its name would tell nobody anything
        raise OSError(error.errno, error.strerror, str(destination)) from None
    return hidden


class _Filler:
    """Fills a directory: plan and workers together."""

    def __init__(
        self, repository: Repository, options: CheckoutOptions, progress: Progress | None
    ) -> None:
        self._repository = repository
        self._options = options
        self._links = _links_possible(repository, options)
        self._progress = progress
        self._object_files: list[ObjectFile] = []
        """What twins got, to be linked to; not in the index yet."""

    def fill(self, root: Digest, destination: Path, *, new: bool) -> CheckoutResult:
        """Make everything under a tree; a `new` destination gets its metadata, too."""
        with self._repository.index.snapshot() as snapshot:
            top = _find_top(snapshot, root, self._options.subpath)
            result = self._fill(snapshot, top, destination, new=new)
        if self._object_files:
            self._publish()
        return result

    def _fill(
        self, snapshot: Snapshot, top: Tree, destination: Path, *, new: bool
    ) -> CheckoutResult:
        root_fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        previous = os.umask(0)
        try:
            if self._options.whiteouts and is_opaque(top) and not new:
                for name in os.listdir(root_fd):
                    remove_beneath(root_fd, os.fsencode(name))
                new = True
            directories = DirectoryMaker(
                root_fd,
                user=self._options.user,
                merge=self._options.union != "none",
                replace=self._options.replaces_directories,
                new_root=new,
            )
            maker = FileMaker(self._repository, root_fd, self._options, links=self._links)
            files = 0
            skipped: list[bytes] = []
            for count, devices, stored in map_unordered(
                maker.make_batch, plan_files(snapshot, top, directories, self._options)
            ):
                files += count
                skipped += devices
                self._object_files += stored
                if self._progress is not None:
                    self._progress(files)
            directories.finish(top)
        finally:
            os.umask(previous)
            os.close(root_fd)
        return CheckoutResult(files, skipped)

    def _publish(self) -> None:
        """Let the index know the object files that twins got; dying before loses nothing."""
        durable.sync_filesystem(self._repository.objects.fd)
        with self._repository.index.transaction() as transaction:
            transaction.put_object_files(self._object_files)


def _links_possible(repository: Repository, options: CheckoutOptions) -> bool:
    """Whether the objects' inodes are what this checkout must show."""
    mode = repository.config.mode
    fits = options.user == (mode == "bare-user") and not options.force_copy
    if options.require_hardlinks and not fits:
        needed = "needs -U" if mode == "bare-user" else "cannot be combined with -U"
        raise PrivilegeError(f"a hardlink checkout of a {mode} repository {needed} (and not -C)")
    return fits


def _find_top(snapshot: Snapshot, root: Digest, subpath: bytes) -> Tree:
    """The directory to check out; for a file, its directory with nothing else in it."""
    node = find_node(snapshot, root, subpath)
    if isinstance(node.item, Tree):
        return node.item
    above = find_node(snapshot, root, os.path.dirname(node.path)).item
    assert isinstance(above, Tree)
    name = os.path.basename(node.path)
    kept = tuple(entry for entry in above.entries if entry.name == name)
    return Tree(above.mode, above.uid, above.gid, above.xattrs, kept)
