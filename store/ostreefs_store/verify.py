# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether one object file is what its digest says: by its stat alone, or read wholly.

A stat can prove damage (a wrong size) but not its absence: who writes to a file moves its time,
and who restores it from elsewhere gives it another inode. Both make an object *suspect* for the
quick check; only reading tells.
"""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import decode_file, decode_tree, file_digest, tree_digest
from ostreefs_store.content import hash_file
from ostreefs_store.errors import CorruptionError
from ostreefs_store.metadata import carries

if TYPE_CHECKING:
    from ostreefs_store.model import Digest, RegularFile
    from ostreefs_store.objects import ObjectFiles


class State(StrEnum):
    """What can be wrong with an object."""

    MISSING = "missing"
    CONTENT = "content"
    """Its bytes are not those of the digest, or cannot be read, or it is no regular file."""
    METADATA = "metadata"
    """Its bytes are whole as far as was looked; mode, owner or xattrs are wrong."""
    SUSPECT = "suspect"
    """It may have been changed: its stat is not what it was when the object was stored."""
    UNREAD = "unread"
    """We may not read it, and nothing that can be seen from outside is wrong."""
    RECORD = "record"
    """Its record in the index is missing, malformed or of another digest."""


class Fault(NamedTuple):
    """What is wrong with an object file; inode number and link count where there is an inode."""

    state: State
    detail: str
    inode: int = 0
    links: int = 0


WRONG_RECORD = "its record in the index does not match its digest"


def find_file_problem(digest: Digest, encoded: bytes) -> str | None:
    """What is wrong with the record of a file object, if anything."""
    try:
        decode_file(encoded)
    except CorruptionError as error:
        return str(error)
    return None if file_digest(encoded) == digest else WRONG_RECORD


def find_tree_problem(digest: Digest, encoded: bytes) -> str | None:
    """What is wrong with the record of a tree, if anything."""
    try:
        decode_tree(encoded)
    except CorruptionError as error:
        return str(error)
    return None if tree_digest(encoded) == digest else WRONG_RECORD


def inspect_stat(objects: ObjectFiles, digest: Digest, file: RegularFile) -> Fault | int:
    """Look at an object file from outside: a fault, or the number of its inode.

    Raises `OSError` for a folder that cannot be searched.
    """
    found = _find_stat(objects, digest)
    if isinstance(found, Fault):
        return found
    fault = _compare_stat(objects, file, found)
    if fault is not None:
        return fault
    if found.st_mtime_ns != 0:
        detail = f"its time is {_format_time(found.st_mtime)}, not 0: it may have been written to"
        return Fault(State.SUSPECT, detail, found.st_ino, found.st_nlink)
    return found.st_ino


def inspect(objects: ObjectFiles, digest: Digest, file: RegularFile) -> Fault | None:
    """Read an object file wholly; what is wrong with it, the worst first."""
    found = _find_stat(objects, digest)
    if isinstance(found, Fault):
        return found
    seen = _compare_stat(objects, file, found)
    if seen is not None and seen.state is not State.METADATA:
        return seen
    try:
        fd = objects.open(digest)
    except (OSError, CorruptionError) as error:
        return _not_opened(error, found, seen)
    try:
        return _inspect_open(objects, fd, file)
    except OSError as error:
        return Fault(State.CONTENT, _unreadable(error), found.st_ino, found.st_nlink)
    finally:
        os.close(fd)


def _not_opened(
    error: OSError | CorruptionError, found: os.stat_result, seen: Fault | None
) -> Fault:
    """A mode that keeps us out, and is not what was recorded, is damage; else it is our lack."""
    if seen is not None:
        return seen
    state = State.UNREAD if isinstance(error, PermissionError) else State.CONTENT
    detail = _unreadable(error) if isinstance(error, OSError) else str(error)
    return Fault(state, detail, found.st_ino, found.st_nlink)


def _inspect_open(objects: ObjectFiles, fd: int, file: RegularFile) -> Fault | None:
    found = os.fstat(fd)
    seen = _compare_stat(objects, file, found)
    if seen is not None and seen.state is not State.METADATA:
        return seen
    if hash_file(fd, file.size) != file.content:
        return Fault(State.CONTENT, "content differs", found.st_ino, found.st_nlink)
    if seen is None and objects.mode == "bare" and not carries(fd, file.xattrs):
        detail = "extended attributes differ"
        return Fault(State.METADATA, detail, found.st_ino, found.st_nlink)
    return seen


def _find_stat(objects: ObjectFiles, digest: Digest) -> os.stat_result | Fault:
    try:
        found = objects.find_stat(digest)
    except NotADirectoryError:
        return Fault(State.MISSING, "its object file is missing: its folder is not a directory")
    except OSError as error:
        state = State.UNREAD if isinstance(error, PermissionError) else State.CONTENT
        return Fault(state, _unreadable(error))
    return found or Fault(State.MISSING, "its object file is missing")


def _compare_stat(objects: ObjectFiles, file: RegularFile, found: os.stat_result) -> Fault | None:
    """The damage that a stat shows."""
    view = objects.inode_view(file)
    state, detail = State.METADATA, ""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        state, detail = State.CONTENT, "not a regular file"
    elif found.st_size != view.size:
        state, detail = State.CONTENT, f"{found.st_size} bytes instead of {view.size}"
    elif mode != view.mode:
        detail = f"mode {mode:04o} instead of {view.mode:04o}"
    elif objects.mode == "bare" and (found.st_uid, found.st_gid) != (view.uid, view.gid):
        detail = f"owner {found.st_uid}:{found.st_gid} instead of {view.uid}:{view.gid}"
    return Fault(state, detail, found.st_ino, found.st_nlink) if detail else None


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"


def _format_time(seconds: float) -> str:
    import time  # noqa: PLC0415 -- only for what is suspect

    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
