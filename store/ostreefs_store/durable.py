# SPDX-License-Identifier: LGPL-2.1-or-later
"""Publishing on disk: the only module that renames, links and syncs.

Every step that makes something visible or durable passes a *trace point*. In normal use that is a
call of nothing; the crash tests install a hook that kills the process there, and then look at what
is on disk. What the functions promise is what those tests prove.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _no_hook(point: str) -> None:
    """Do nothing: nobody watches."""


_hook: Callable[[str], None] = _no_hook


def set_trace_hook(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of every trace point from now on; None to stop."""
    global _hook  # noqa: PLW0603 -- one hook a process, as with sys.settrace
    _hook = hook or _no_hook


def trace(point: str) -> None:
    """Pass a trace point: a line at which a crash must do no harm."""
    _hook(point)


def temporary_name(prefix: str) -> str:
    """A name that nothing else has."""
    return prefix + os.urandom(8).hex()


def sync_filesystem(fd: int) -> None:
    """Make everything written so far to the filesystem that holds `fd` durable (syncfs(2)).

    Raises `OSError` when writing back failed, for instance with ENOSPC or EIO.
    """
    import ctypes  # noqa: PLC0415 -- 5 ms that a commit of nothing new need not pay

    trace("syncfs:before")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"syncfs: {os.strerror(number)}")
    trace("syncfs:done")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def ensure_directory(path: Path, mode: int = 0o755) -> None:
    """Make a directory unless it is there. Durable once its parent has been synced."""
    with suppress(FileExistsError):
        path.mkdir(mode)
        trace("mkdir:made")


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Create or replace a file: after a crash it holds wholly the old or wholly the new bytes.

    A crash before the rename leaves a file with a random name that starts with ``.tmp-``.
    """
    temporary = path.with_name(temporary_name(".tmp-"))
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            trace("write_file:written")
            os.fsync(file.fileno())
        trace("write_file:synced")
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    trace("write_file:renamed")
    sync_directory(path.parent)
    trace("write_file:done")


def sync_file(fd: int) -> None:
    """Make what was written to a file durable; its name is another matter."""
    trace("sync_file:before")
    os.fsync(fd)
    trace("sync_file:done")


def swap_symlink(path: Path, target: str) -> None:
    """Make a symbolic link or let it lead elsewhere: after a crash it is the old or the new one.

    A crash before the rename leaves a link with a random name that starts with ``.tmp-``.
    """
    temporary = path.with_name(temporary_name(".tmp-"))
    os.symlink(target, temporary)
    trace("swap_symlink:made")
    try:
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    trace("swap_symlink:renamed")
    sync_directory(path.parent)
    trace("swap_symlink:done")


def link_new(
    source: str | bytes, target: str | bytes, *, target_dir: int, source_dir: int | None = None
) -> None:
    """Give an inode another name, relative to `target_dir`; symbolic links are not followed.

    Raises `FileExistsError` when the name is taken. Durable once the filesystem has been synced.
    """
    os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
    trace("link:made")


def rename_over(dir_fd: int, source: bytes, target: bytes) -> None:
    """Put a whole file in the place of another one in the same directory."""
    trace("rename_over:before")
    os.rename(source, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    trace("rename_over:done")


def link_over(dir_fd: int, source: str, temporary: str, target: str) -> None:
    """Let a name that is taken lead to the inode of another one in the same directory.

    At any moment it leads to the one inode or the other. A crash in between leaves `temporary`,
    which is relative to `dir_fd` as the others are.
    """
    os.link(source, temporary, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
    trace("link_over:linked")
    os.rename(temporary, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    trace("link_over:done")


def replace_file_at(source_dir: int, source: str, target_dir: int, target: str) -> None:
    """Put a finished file in the place of a damaged or half-written one.

    The file is durable before it gets the name: whatever happens, the name leads to the old inode
    or to the whole new one.
    """
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_dir)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    trace("replace:synced")
    os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
    trace("replace:renamed")


def rename_new(source: Path, target: Path) -> None:
    """Give a finished directory its name, never replacing anything that holds a file.

    After a crash the target is whole or absent. Raises `FileExistsError` when the target is taken
    (an empty directory counts as free, as rename(2) has it).
    """
    trace("rename_new:before")
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise FileExistsError(error.errno, os.strerror(error.errno), str(target)) from None
        raise
    trace("rename_new:done")


def unlink_at(dir_fd: int, name: str) -> None:
    """Delete a file that nothing needs; not durable until the filesystem is synced."""
    trace("unlink:before")
    os.unlink(name, dir_fd=dir_fd)
    trace("unlink:done")
