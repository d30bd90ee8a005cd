# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes as a patch: what ``git diff`` prints, and what git-apply(1) and patch(1) take. Pure.

git knows neither owners nor xattrs nor directories: those stand in lines that begin with ``#``
before the change, where both skip them.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import content_digest
from ostreefs_store.comparing.diff import Change, State
from ostreefs_store.comparing.textdiff import SNIFFED, is_binary, unified_hunks
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Fifo,
    RegularFile,
    Symlink,
    TreeHead,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.comparing.diff import Aspect
    from ostreefs_store.model import Digest, File, Xattrs

SIZE_MAX = 32 << 20
"""Files of more bytes are not compared line by line."""

Read = Callable[[State, int], bytes]
"""Gives the content of a regular file, or so many bytes from its beginning."""

_NOTHING = b"/dev/null"
_SHORT = 16
_KINDS: dict[type, str] = {
    TreeHead: "directory",
    RegularFile: "file",
    Symlink: "symlink",
    Fifo: "fifo",
    CharDevice: "character device",
    BlockDevice: "block device",
}


class _Side(NamedTuple):
    """A file or symbolic link as git sees it."""

    name: bytes
    mode: int
    size: int
    digest: Digest
    content: Callable[[int], bytes]


def format_patch(change: Change, read: Read) -> Iterator[bytes]:
    """The lines of a change. Of a binary file no more is read than it takes to see that."""
    if change.old and change.new and type(change.old.item) is not type(change.new.item):
        yield from format_patch(Change("D", change.path, change.old, None), read)
        yield from format_patch(Change("A", change.path, None, change.new), read)
        return
    for remark in _remarks(change):
        yield b"# " + quote(change.path) + b": " + remark + b"\n"
    old = _side(b"a" + change.path, change.old, read)
    new = _side(b"b" + change.path, change.new, read)
    if old is None and new is None:
        return
    if _has_header(change):
        yield b"diff --git " + quote(b"a" + change.path) + b" " + quote(b"b" + change.path) + b"\n"
        yield from _format_modes(old, new)
        yield from _format_content(old, new)


def _has_header(change: Change) -> bool:
    return change.kind != "M" or bool({"content", "target", "mode"} & set(change.aspects))


def _side(name: bytes, state: State | None, read: Read) -> _Side | None:
    if state is None:
        return None
    match state.item:
        case RegularFile(mode=mode, size=size, content=digest):
            return _Side(name, stat.S_IFREG | mode, size, digest, lambda size: read(state, size))
        case Symlink(target=target):
            digest = content_digest(target)
            return _Side(name, stat.S_IFLNK, len(target), digest, lambda size: target[:size])
        case _:
            return None


def _format_modes(old: _Side | None, new: _Side | None) -> Iterator[bytes]:
    if old is None and new is not None:
        yield f"new file mode {new.mode:06o}\n".encode()
    elif new is None and old is not None:
        yield f"deleted file mode {old.mode:06o}\n".encode()
    elif old is not None and new is not None and old.mode != new.mode:
        yield f"old mode {old.mode:06o}\nnew mode {new.mode:06o}\n".encode()


def _format_content(old: _Side | None, new: _Side | None) -> Iterator[bytes]:
    digests = [side.digest.hex()[:_SHORT] if side else "0" * _SHORT for side in (old, new)]
    if digests[0] == digests[1]:
        return
    mode = f" {new.mode:06o}" if old and new and old.mode == new.mode else ""
    yield f"index {digests[0]}..{digests[1]}{mode}\n".encode()
    names = [quote(side.name) if side else _NOTHING for side in (old, new)]
    if max(side.size for side in (old, new) if side) > SIZE_MAX:
        yield b"Files " + names[0] + b" and " + names[1] + b" differ (too large to compare)\n"
        return
    if any(is_binary(side.content(SNIFFED)) for side in (old, new) if side):
        yield b"Binary files " + names[0] + b" and " + names[1] + b" differ\n"
        return
    before, after = (side.content(SIZE_MAX) if side else b"" for side in (old, new))
    if not before and not after:
        return
    # A name with a blank ends in a tab, as in git: patch(1) takes a date after it.
    ends = [b"\t\n" if b" " in name and name[:1] != b'"' else b"\n" for name in names]
    yield b"--- " + names[0] + ends[0]
    yield b"+++ " + names[1] + ends[1]
    yield from unified_hunks(before, after)


def _remarks(change: Change) -> Iterator[bytes]:
    """What a patch cannot say."""
    if change.old is not None and change.new is not None:
        yield from _remarks_on_modified(change.aspects, change.old.item, change.new.item)
        return
    state = change.new or change.old
    assert state is not None
    item = state.item
    if not isinstance(item, RegularFile | Symlink):
        word = "added" if change.kind == "A" else "deleted"
        yield f"{_KINDS[type(item)]} {word}, mode {item.mode:04o}".encode()
    if change.kind == "A" and (item.uid, item.gid) != (0, 0):
        yield f"owner {item.uid}:{item.gid}".encode()
    if change.kind == "A":
        yield from _remarks_on_xattrs((), item.xattrs)


def _remarks_on_modified(
    aspects: tuple[Aspect, ...], old: TreeHead | File, new: TreeHead | File
) -> Iterator[bytes]:
    if "device" in aspects:
        yield f"{_device(old)} -> {_device(new)}".encode()
    if "mode" in aspects and not isinstance(new, RegularFile):
        yield f"mode {old.mode:04o} -> {new.mode:04o}".encode()
    if "owner" in aspects:
        yield f"owner {old.uid}:{old.gid} -> {new.uid}:{new.gid}".encode()
    yield from _remarks_on_xattrs(old.xattrs, new.xattrs)


def _remarks_on_xattrs(old: Xattrs, new: Xattrs) -> Iterator[bytes]:
    for name, before, after in changed_xattrs(old, new):
        yield b"xattr " + quote(name) + f" {_show(before)} -> {_show(after)}".encode()


def changed_xattrs(old: Xattrs, new: Xattrs) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Extended attributes that differ: name, old value, new value; None where there is none."""
    before, after = dict(old), dict(new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _show(value: bytes | None) -> str:
    return "none" if value is None else f"0x{value.hex()}"


def _device(item: object) -> str:
    assert isinstance(item, CharDevice | BlockDevice)
    return f"device {item.major}:{item.minor}"


_ESCAPES = {
    b"\a"[0]: b"\\a",
    b"\b"[0]: b"\\b",
    b"\t"[0]: b"\\t",
    b"\n"[0]: b"\\n",
    b"\v"[0]: b"\\v",
    b"\f"[0]: b"\\f",
    b"\r"[0]: b"\\r",
    b'"'[0]: b'\\"',
    b"\\"[0]: b"\\\\",
}


def quote(name: bytes) -> bytes:
    """A name as git quotes it: in double quotes, escaped, when it holds what needs it."""
    if all(0x20 <= c < 0x7F and c not in _ESCAPES for c in name):
        return name
    escaped = (
        _ESCAPES.get(c) or (bytes([c]) if 0x20 <= c < 0x7F else f"\\{c:03o}".encode())
        for c in name
    )
    return b'"' + b"".join(escaped) + b'"'
