# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moving the bytes of files: hashing, copying, holes, reflinks. Knows nothing of repositories.

Holes stay holes: what lseek(2) reports as one is hashed as zeros and never written.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from blake3 import blake3

from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20
"""Bytes that are read, hashed and written at a time."""

_FICLONE = 0x40049409
_NO_REFLINK = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM}
_NO_COPY_RANGE = {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM}
_zeros = bytes(CHUNK)


def segments(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges (start, end) of a file that hold data, in order; the rest is holes.

    A filesystem that knows no holes gives one range. Moves the file offset.
    """
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            yield offset, size
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, min(end, size)
        offset = end


def hash_file(fd: int, size: int, target: int | None = None) -> Digest:
    """The content digest of the `size` bytes of `fd`, which are copied into `target` on the way.

    The digest is that of the bytes that were written. `target` is empty before and has `size`
    bytes and the same holes afterwards. A file shorter than `size` is hashed as if it ended with
    zeros: the caller compares its stat before and after.
    """
    if target is None and size <= CHUNK:
        data = os.pread(fd, size, 0)
        return Digest(blake3(data.ljust(size, b"\0")).digest())
    hasher = blake3()
    buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
    position = 0
    for start, end in segments(fd, size):
        hash_zeros(hasher, start - position)
        position = start
        while position < end:
            count = os.preadv(fd, [buffer[: end - position]], position)
            if count == 0:
                break
            hasher.update(buffer[:count])
            if target is not None:
                write_at(target, buffer[:count], position)
            position += count
    hash_zeros(hasher, size - position)
    if target is not None:
        os.ftruncate(target, size)
    return Digest(hasher.digest())


def hash_zeros(hasher: blake3, count: int) -> None:
    """Hash a hole of `count` bytes."""
    while count > 0:
        hasher.update(_zeros if count >= CHUNK else _zeros[:count])
        count -= CHUNK


def write_at(fd: int, data: memoryview, offset: int) -> None:
    """Write all of `data`."""
    while data:
        written = os.pwrite(fd, data, offset)
        data = data[written:]
        offset += written


def reflink(source: int, target: int) -> bool:
    """Let two files share their blocks where the filesystem can (ioctl_ficlone(2))."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def copy_file(source: int, target: int, size: int) -> None:
    """Copy `size` bytes into an empty file: by reflink, else in the kernel, holes kept."""
    if size == 0 or reflink(source, target):
        return
    for start, end in list(segments(source, size)):
        _copy_range(source, target, start, end)
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            count = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            data = os.pread(source, min(CHUNK, end - start), start)
            write_at(target, memoryview(data), start)
            count = len(data)
        if count == 0:
            return
        start += count
