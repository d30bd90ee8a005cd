# SPDX-License-Identifier: LGPL-2.1-or-later
"""File handles, as a server of NFS keeps them: the same file is found after all was forgotten."""

import ctypes
import errno
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ostreefs_output
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import Mounted, mounted
from tests.support.trees import write

pytestmark = [pytest.mark.mount, pytest.mark.root]

_libc = ctypes.CDLL(None, use_errno=True)
_HEAD = struct.Struct("Ii")
_BYTES_MAX = 128


Handle = ctypes.Array[ctypes.c_char]
"""A struct file_handle: length, type, and bytes that only the kernel understands."""


def handle_of(path: Path) -> Handle:
    handle = ctypes.create_string_buffer(_HEAD.pack(_BYTES_MAX, 0), _HEAD.size + _BYTES_MAX)
    mount_id = ctypes.c_int()
    if _libc.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(mount_id), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return handle


def open_handle(mount: Path, handle: Handle, flags: int = os.O_RDONLY) -> int:
    top = os.open(mount, os.O_RDONLY)
    fd: int = _libc.open_by_handle_at(top, handle, flags)
    error = ctypes.get_errno()
    os.close(top)
    if fd < 0:
        raise OSError(error, os.strerror(error))
    return fd


def forget_all(mount: Mounted) -> None:
    """Let the kernel drop every name and inode of the mount that nobody uses."""
    subprocess.run(["mount", "-i", "-o", "remount,ro", mount.path], check=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mounted]:
    source = write(tmp_path / "source/a/b/c/file", b"one").parents[3]
    write(source / "a/b/other", b"other")
    (source / "link").symlink_to("a/b")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, source, "one")
    write(source / "a/b/c/file", b"two")
    commit_directory(repository, source, "two")
    with mounted(repository, "one", at=tmp_path / "mnt") as mount:
        yield mount


@pytest.mark.parametrize("forgotten", [False, True])
def test_files_are_found_again(mount: Mounted, forgotten: bool) -> None:
    for name, content in (("a/b/c/file", b"one"), ("a/b/other", b"other")):
        path = mount.path / name
        handle, number = handle_of(path), path.stat().st_ino
        if forgotten:
            forget_all(mount)
        fd = open_handle(mount.path, handle)
        assert os.fstat(fd).st_ino == number
        assert os.read(fd, 10) == content
        os.close(fd)


@pytest.mark.parametrize("forgotten", [False, True])
def test_directories_are_found_again(mount: Mounted, forgotten: bool) -> None:
    path = mount.path / "a/b/c"
    handle, number = handle_of(path), path.stat().st_ino
    if forgotten:
        forget_all(mount)
    fd = open_handle(mount.path, handle)
    assert os.fstat(fd).st_ino == number
    assert os.listdir(fd) == ["file"]
    assert os.readlink(f"/proc/self/fd/{fd}") == str(path)
    above = os.open("../..", os.O_RDONLY, dir_fd=fd)
    assert os.listdir(above) == ["b"]
    assert path.stat().st_ino == number
    os.close(above)
    os.close(fd)


def test_the_root_is_found(mount: Mounted) -> None:
    fd = open_handle(mount.path, handle_of(mount.path))
    assert sorted(os.listdir(fd)) == ["a", "link"]
    os.close(fd)


def test_symbolic_links_are_found_again(mount: Mounted) -> None:
    handle = handle_of(mount.path / "link")
    forget_all(mount)
    fd = open_handle(mount.path, handle, os.O_PATH | os.O_NOFOLLOW)
    assert os.readlink("", dir_fd=fd) == "a/b"
    os.close(fd)


def test_handles_lead_to_what_they_led_to(mount: Mounted) -> None:
    """Also when another commit is shown: a file is an object, whatever its name is by now."""
    path = mount.path / "a/b/c/file"
    handle = handle_of(path)
    ostreefs_output("switch", mount.path, "two")
    forget_all(mount)
    fd = open_handle(mount.path, handle)
    assert (os.read(fd, 10), path.read_bytes()) == (b"one", b"two")
    os.close(fd)


def test_handles_of_nothing(mount: Mounted) -> None:
    handle = handle_of(mount.path / "a/b/other")
    for index in range(8):
        changed = bytearray(handle.raw)
        changed[_HEAD.size + index] ^= 0x5A
        wrong = ctypes.create_string_buffer(bytes(changed), len(changed))
        with pytest.raises(OSError, match="Stale file handle") as caught:
            open_handle(mount.path, wrong)
        assert caught.value.errno == errno.ESTALE
    assert (mount.path / "a/b/other").read_bytes() == b"other"
