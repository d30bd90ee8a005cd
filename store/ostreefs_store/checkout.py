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
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard

from ostreefs_store import durable
from ostreefs_store.beneath import open_beneath
from ostreefs_store.codec import read_file
from ostreefs_store.content import copy_file, hash_file
from ostreefs_store.directories import DirectoryMaker
from ostreefs_store.errors import CheckoutConflictError, ObjectMissingError, PrivilegeError
from ostreefs_store.metadata import (
    Credentials,
    create_mode,
    read_xattrs,
    rewrite_metadata,
    set_owner,
    write_xattrs,
)
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Tree,
    file_type,
)
from ostreefs_store.objects import ObjectFiles, object_name
from ostreefs_store.parallel import map_unordered
from ostreefs_store.traverse import find_node, read_tree_object

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

Union = Literal["none", "overwrite", "add", "identical"]

Progress = Callable[[int], None]
"""Called now and then with the number of files that were made so far."""

_JOB_FILES = 256
_Job = list[tuple[bytes, list[tuple[bytes, Digest, bytes]]]]
"""(path of a directory, [(name, file digest, canonical bytes), …]), …"""


class CheckoutOptions(NamedTuple):
    """How to check out; the words are ostree's.

    `user`: owner and xattrs are those of whoever checks out. `require_hardlinks`: fail rather than
    copy. `force_copy`: never link. `union`: what to do with an existing destination.
    """

    user: bool = False
    require_hardlinks: bool = False
    force_copy: bool = False
    union: Union = "none"
    subpath: bytes = b"/"


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
    with repository.in_use(), repository.index.snapshot() as snapshot:
        top = _find_top(snapshot, root, options.subpath)
        if options.union != "none" and destination.is_dir():
            return filler.fill(snapshot, top, destination, new=False)
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination))
        temporary = _make_hidden(destination)
        durable.trace("checkout:begun")
        try:
            result = filler.fill(snapshot, top, temporary, new=True)
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
        self._objects = repository.objects
        self._options = options
        self._links = _links_possible(repository, options)
        self._progress = progress

    def fill(
        self, snapshot: Snapshot, top: Tree, destination: Path, *, new: bool
    ) -> CheckoutResult:
        """Make everything under `top`; a `new` destination gets the metadata of `top`, too."""
        root_fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        previous = os.umask(0)
        try:
            directories = DirectoryMaker(
                root_fd,
                user=self._options.user,
                merge=self._options.union != "none",
                new_root=new,
            )
            maker = _FileMaker(self._objects, root_fd, self._options, links=self._links)
            files = 0
            skipped: list[bytes] = []
            for count, devices in map_unordered(
                maker.make_batch, _jobs(snapshot, top, directories)
            ):
                files += count
                skipped += devices
                if self._progress is not None:
                    self._progress(files)
            directories.finish(top)
        finally:
            os.umask(previous)
            os.close(root_fd)
        return CheckoutResult(files, skipped)


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


def _jobs(snapshot: Snapshot, top: Tree, directories: DirectoryMaker) -> Iterator[_Job]:
    """Walk the tree, make its directories, and yield the files to make in fair portions."""
    job: _Job = []
    count = 0
    stack = [(b"", top)]
    while stack:
        path, tree = stack.pop()
        children = [
            (entry.name, read_tree_object(snapshot, entry.digest))
            for entry in tree.entries
            if entry.is_tree
        ]
        if children:
            directories.make(path, children)
            stack += [(os.path.join(path, name), child) for name, child in children]
        entries = [entry for entry in tree.entries if not entry.is_tree]
        found = snapshot.find_files([entry.digest for entry in entries])
        files: list[tuple[bytes, Digest, bytes]] = []
        for entry in entries:
            encoded = found.get(entry.digest)
            if encoded is None:
                raise ObjectMissingError("file", entry.digest)
            if not files:
                job.append((path, files))
            files.append((entry.name, entry.digest, encoded))
            count += 1
            if count >= _JOB_FILES:
                yield job
                job, files, count = [], [], 0
    if job:
        yield job


class _FileMaker:
    """The workers' part: makes files in directories that exist."""

    def __init__(
        self, objects: ObjectFiles, root_fd: int, options: CheckoutOptions, *, links: bool
    ) -> None:
        self._objects = objects
        self._root_fd = root_fd
        self._options = options
        self._links = links
        self._credentials = Credentials.own()
        self._skipped: list[bytes] = []

    def make_batch(self, job: _Job) -> tuple[int, list[bytes]]:
        """Make files; the function that workers run. How many, and the devices left out."""
        self._skipped = []
        count = 0
        for path, files in job:
            with open_beneath(self._root_fd, path) as dir_fd:
                for name, digest, encoded in files:
                    self._place(dir_fd, path, name, digest, read_file(encoded))
            count += len(files)
        return count, self._skipped

    def _place(self, dir_fd: int, path: bytes, name: bytes, digest: Digest, file: File) -> None:
        full = os.path.join(path, name)
        union = self._options.union
        try:
            if union == "none":
                self._make(dir_fd, full, name, digest, file)
            else:
                self._make_whole(dir_fd, full, name, digest, file)
        except FileExistsError:
            if union == "identical":
                self._require_identical(dir_fd, full, name, file)
            elif union == "overwrite":
                self._overwrite(dir_fd, full, name, digest, file)
            elif union == "none":
                raise CheckoutConflictError(full, "it exists already") from None
        durable.trace("checkout:file")

    def _make_whole(
        self, dir_fd: int, full: bytes, name: bytes, digest: Digest, file: File
    ) -> None:
        """Make a file that has its name only once it is complete. Raises `FileExistsError`."""
        if self._may_link(file) and self._link(dir_fd, full, name, digest, file):
            return
        if _exists(dir_fd, name):  # no work for a file that stays
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with self._temporary(dir_fd, full, digest, file) as temporary:
            durable.link_new(temporary, name, source_dir=dir_fd, target_dir=dir_fd)

    def _overwrite(
        self, dir_fd: int, full: bytes, name: bytes, digest: Digest, file: File
    ) -> None:
        """Replace a file by a whole one; a directory is never replaced."""
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            raise CheckoutConflictError(full, "a directory is in its place")
        with self._temporary(dir_fd, full, digest, file) as temporary:
            durable.rename_over(dir_fd, temporary, name)

    @contextmanager
    def _temporary(self, dir_fd: int, full: bytes, digest: Digest, file: File) -> Iterator[bytes]:
        """A finished file under a name that is gone when the block ends.

        For a device node that must be left out there is none: what the block then misses is no
        error.
        """
        temporary = durable.temporary_name(".ostreefs-").encode()
        try:
            self._make(dir_fd, full, temporary, digest, file)
            with suppress(FileNotFoundError):
                yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=dir_fd)

    def _may_link(self, file: File) -> TypeGuard[RegularFile]:
        return self._links and isinstance(file, RegularFile) and file.size > 0

    def _make(self, dir_fd: int, full: bytes, name: bytes, digest: Digest, file: File) -> None:
        """Make a file of any kind under a free name. Raises `FileExistsError`."""
        if isinstance(file, RegularFile):
            if not (self._may_link(file) and self._link(dir_fd, full, name, digest, file)):
                self._copy(dir_fd, name, digest, file)
            return
        if isinstance(file, Symlink):
            os.symlink(file.target, name, dir_fd=dir_fd)
        elif isinstance(file, Fifo):
            os.mkfifo(name, self._special_mode(file), dir_fd=dir_fd)
        elif self._options.user and self._credentials.uid != 0:
            self._skipped.append(full)
            return
        else:
            device = os.makedev(file.major, file.minor)
            mode = file_type(file) | self._special_mode(file)
            os.mknod(name, mode, device, dir_fd=dir_fd)
        self._finish_special(dir_fd, name, file)

    def _link(
        self, dir_fd: int, full: bytes, name: bytes, digest: Digest, file: RegularFile
    ) -> bool:
        """Link the object here; False where its inode can have no further link.

        Raises `ObjectCorruptError` for one of another size, `ObjectMissingError`.
        """
        if not self._objects.has_right_size(digest, file):
            os.close(self._objects.open_checked(digest, file))  # raises what is wrong
        try:
            durable.link_new(
                object_name(digest), name, source_dir=self._objects.fd, target_dir=dir_fd
            )
        except FileNotFoundError:
            raise ObjectMissingError("file", digest) from None
        except OSError as error:
            if error.errno not in {errno.EMLINK, errno.EXDEV, errno.EPERM}:
                raise
            if self._options.require_hardlinks:
                detail = f"no hard link can be made: {error.strerror}"
                raise CheckoutConflictError(
                    full, detail, hint="without -H it would be copied"
                ) from None
            return False
        return True

    def _copy(self, dir_fd: int, name: bytes, digest: Digest, file: RegularFile) -> None:
        wanted = self._own(file) if self._options.user else file
        mode = create_mode(wanted, self._credentials)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, mode, dir_fd=dir_fd)
        durable.trace("checkout:copying")
        try:
            if file.size:
                source = self._objects.open_checked(digest, file)
                try:
                    copy_file(source, target, file.size)
                finally:
                    os.close(source)
            rewrite_metadata(target, wanted)
            os.utime(target, (0, 0))
        finally:
            os.close(target)

    def _special_mode(self, file: File) -> int:
        return file.mode & 0o777 if self._options.user else file.mode

    def _own(self, file: RegularFile) -> RegularFile:
        """What a user checkout shows of a file."""
        return RegularFile(
            file.mode & 0o777,
            self._credentials.uid,
            self._credentials.gid,
            (),
            file.content,
            file.size,
        )

    def _finish_special(
        self, dir_fd: int, name: bytes, file: Symlink | Fifo | CharDevice | BlockDevice
    ) -> None:
        """Owner, mode, xattrs and times of what cannot be opened."""
        if not self._options.user:
            found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            if (file.uid, file.gid) != (found.st_uid, found.st_gid):
                set_owner(dir_fd, name, file.uid, file.gid)
            if not isinstance(file, Symlink):
                os.chmod(name, file.mode, dir_fd=dir_fd)
            if file.xattrs or self._options.union != "none":  # it may have inherited some
                write_xattrs(f"/proc/self/fd/{dir_fd}/{os.fsdecode(name)}", file.xattrs)
        os.utime(name, (0, 0), dir_fd=dir_fd, follow_symlinks=False)

    def _require_identical(self, dir_fd: int, path: bytes, name: bytes, file: File) -> None:
        """Raise unless what is there is what we would have made."""
        if not self._is_identical(dir_fd, name, file):
            raise CheckoutConflictError(path, "a different file is in its place")

    def _is_identical(self, dir_fd: int, name: bytes, file: File) -> bool:
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != file_type(file):
            return False
        target = f"/proc/self/fd/{dir_fd}/{os.fsdecode(name)}"
        if not self._options.user:
            metadata = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
            if metadata != (file.mode, file.uid, file.gid) or read_xattrs(target) != file.xattrs:
                return False
        if isinstance(file, Symlink):
            return os.fsencode(os.readlink(name, dir_fd=dir_fd)) == file.target
        if isinstance(file, CharDevice | BlockDevice):
            return found.st_rdev == os.makedev(file.major, file.minor)
        return not isinstance(file, RegularFile) or self._has_content(dir_fd, name, file, found)

    @staticmethod
    def _has_content(dir_fd: int, name: bytes, file: RegularFile, found: os.stat_result) -> bool:
        if found.st_size != file.size:
            return False
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            return hash_file(fd, file.size) == file.content
        finally:
            os.close(fd)


def _exists(dir_fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
