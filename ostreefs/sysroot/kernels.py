# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernels: which one a commit has, and its copy where the boot loader can read it.

A commit brings its kernel and initramfs in one of two places::

    usr/lib/modules/VERSION/{vmlinuz,initramfs.img}     as ostree has them
    boot/{vmlinuz,initrd.img}-VERSION                   as Debian's packages do

They are copied to ``boot/ostreefs/HEX/{vmlinuz,initramfs.img}`` where HEX follows from their
content alone. So deployments with the same kernel share one copy, and a copy is never written to:
it is made beside under another name, checked, synced and renamed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from ostreefs_store import durable
from ostreefs_store.content import copy_file, hash_file
from ostreefs_store.errors import NoKernelError, ObjectCorruptError, PathNotFoundError, printable
from ostreefs_store.model import Digest, RegularFile, Tree
from ostreefs_store.traverse import find_node, iter_children

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository
    from ostreefs_store.traverse import Node

FOLDER = "ostreefs"
KERNEL = "vmlinuz"
INITRAMFS = "initramfs.img"
_INITRAMFS_NAMES = (b"initramfs.img", b"initramfs", b"initrd.img", b"initrd")


class Part(NamedTuple):
    """A file object of a kernel or an initramfs."""

    digest: Digest
    file: RegularFile


class Kernel(NamedTuple):
    """A kernel of a commit, perhaps with an initramfs."""

    version: str
    kernel: Part
    initramfs: Part | None

    @property
    def parts(self) -> dict[str, Part]:
        """What is copied, by the name that it gets."""
        found = {KERNEL: self.kernel}
        return found | ({INITRAMFS: self.initramfs} if self.initramfs is not None else {})

    @property
    def folder(self) -> str:
        """The name of the folder of its copy: 16 hexadecimal digits."""
        contents = [part.file.content for part in self.parts.values()]
        return blake3(b"".join(contents)).hexdigest()[:16]

    @property
    def size(self) -> int:
        """The bytes of its copy."""
        return sum(part.file.size for part in self.parts.values())


def find_kernel(snapshot: Snapshot, root: Digest, version: str | None = None) -> Kernel | None:
    """The kernel of a tree, None for a tree without one.

    `version` says which, if the commit does. Raises `NoKernelError` when there are several.
    """
    found = {kernel.version: kernel for kernel in _iter_kernels(snapshot, root)}
    if version in found:
        return found[version]
    if len(found) > 1:
        raise NoKernelError(f"it has the kernels {', '.join(sorted(found))}, and no say which")
    return next(iter(found.values()), None)


def _iter_kernels(snapshot: Snapshot, root: Digest) -> Iterator[Kernel]:
    """Kernels as Debian has them, then those as ostree has them, which are preferred."""
    for name, part in (in_boot := _files(snapshot, root, b"/boot")).items():
        if name.startswith(b"vmlinuz-"):
            version = name.removeprefix(b"vmlinuz-")
            names = (b"initrd.img-" + version, b"initramfs-" + version + b".img")
            yield Kernel(printable(version), part, _first(in_boot, names))
    for node in _children(snapshot, root, b"/usr/lib/modules"):
        if isinstance(node.item, Tree):
            files = _files(snapshot, root, node.path)
            if b"vmlinuz" in files:
                version = os.path.basename(node.path)
                initramfs = _first(files, _INITRAMFS_NAMES)
                yield Kernel(printable(version), files[b"vmlinuz"], initramfs)


def _children(snapshot: Snapshot, root: Digest, path: bytes) -> Iterator[Node]:
    try:
        node = find_node(snapshot, root, path)
    except PathNotFoundError:
        return
    if isinstance(node.item, Tree):
        yield from iter_children(snapshot, node)


def _files(snapshot: Snapshot, root: Digest, path: bytes) -> dict[bytes, Part]:
    """The regular files of a directory, by name."""
    return {
        os.path.basename(node.path): Part(node.digest, node.item)
        for node in _children(snapshot, root, path)
        if isinstance(node.item, RegularFile)
    }


def _first(files: dict[bytes, Part], names: tuple[bytes, ...]) -> Part | None:
    return next((files[name] for name in names if name in files), None)


# ---- copies ----


def find_copy(sysroot: Sysroot, folder: str) -> Path | None:
    """The copy of a kernel, if there is one; it is whole then."""
    path = sysroot.boot / FOLDER / folder
    return path if folder and path.is_dir() else None


def ensure_copy(sysroot: Sysroot, repository: Repository, kernel: Kernel) -> None:
    """Copy a kernel where the boot loader can read it, durably, unless it is there.

    Dying leaves a folder that begins with ``.tmp-``, or the whole copy. Raises
    `ObjectCorruptError` for one that is not what the commit says.
    """
    if find_copy(sysroot, kernel.folder) is not None:
        return
    folder = sysroot.boot / FOLDER
    durable.ensure_directory(folder)
    durable.sync_directory(sysroot.boot)
    temporary = folder / durable.temporary_name(".tmp-")
    temporary.mkdir()
    durable.trace("kernel:begun")
    try:
        for name, part in kernel.parts.items():
            _copy(repository, part, temporary / name)
        durable.sync_directory(temporary)
        durable.rename_new(temporary, folder / kernel.folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    durable.sync_directory(folder)


def _copy(repository: Repository, part: Part, target: Path) -> None:
    source = repository.open_content(part.digest, part.file)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    copy = os.open(target, flags, 0o644)
    try:
        copy_file(source, copy, part.file.size)
        durable.sync_file(copy)
        if hash_file(copy, part.file.size) != part.file.content:
            raise ObjectCorruptError("file", part.digest, "content differs")
    finally:
        os.close(source)
        os.close(copy)


def find_damaged(sysroot: Sysroot, kernel: Kernel) -> list[str]:
    """The files of a copy that are missing, or are not what the commit says."""
    folder = sysroot.boot / FOLDER / kernel.folder
    return [name for name, part in kernel.parts.items() if not _is_whole(folder / name, part)]


def _is_whole(path: Path, part: Part) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        is_sized = os.fstat(fd).st_size == part.file.size
        return is_sized and hash_file(fd, part.file.size) == part.file.content
    finally:
        os.close(fd)


def replace_parts(
    sysroot: Sysroot, repository: Repository, kernel: Kernel, names: Iterable[str]
) -> None:
    """Copy files of a kernel anew, each in one step. Raises as `ensure_copy`."""
    folder = sysroot.boot / FOLDER / kernel.folder
    for name in names:
        durable.ensure_directory(folder.parent)
        durable.ensure_directory(folder)
        temporary = folder / durable.temporary_name(".tmp-")
        try:
            _copy(repository, kernel.parts[name], temporary)
            durable.trace("kernel:copied")
            temporary.rename(folder / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for path in (folder, folder.parent):
            durable.sync_directory(path)


def remove_copies(sysroot: Sysroot, used: Collection[str]) -> list[str]:
    """Delete the copies that are not used, and what crashes left; the names of what went."""
    folder = sysroot.boot / FOLDER
    removed: list[str] = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            if path.name not in used:
                durable.trace("kernel:removing")
                shutil.rmtree(path)
                removed.append(path.name)
            else:  # where somebody died over a repair
                for unfinished in path.glob(".tmp-*"):
                    unfinished.unlink()
    if removed:
        durable.sync_directory(folder)
    return removed
