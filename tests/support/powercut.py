# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power cuts without a machine: what was not synced when the process dies is taken back.

In the child that runs an operation, the calls of `os` that change directories or make files are
recorded. fsync(2) of a directory makes the names in it durable, fsync of a file its content, and
syncfs(2) everything. At the cut all that is not durable is undone, the last first: names go, or
lead to what they led to before; content that was not synced is gone. That is more than most
filesystems lose, and as much as POSIX allows.

What worker processes do, and what C libraries do (LMDB), is not recorded and stays.
"""

import os
import shutil
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from ostreefs_store import durable

Loss = Literal["everything", "content"]
"""What is lost of what was not synced: names and content, or content alone."""

_CUT = 3
"""Exit status of a child that was cut off."""

_Key = tuple[int, int]


@dataclass
class _Change:
    """A change of a directory, and how to take it back."""

    folders: set[_Key]
    undo: Callable[[], object]


@dataclass
class PowerCut:
    """Records what one process does. To be installed in a child that ends soon."""

    loss: Loss
    prefix: bytes
    """What the names of our own files begin with, on the same filesystem."""
    changes: list[_Change] = field(default_factory=list)
    contents: dict[_Key, int] = field(default_factory=dict)
    """Files with content that is not durable, each with a descriptor of our own."""
    calls: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def install(self) -> None:
        """Watch from now on."""
        for name in ("rename", "link", "symlink", "mkdir", "unlink", "open", "fsync"):
            self.calls[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        self.calls["syncfs"] = durable.sync_filesystem
        durable.sync_filesystem = self._syncfs

    def cut(self) -> None:
        """Take back all that is not durable."""
        for name, call in self.calls.items():
            if name != "syncfs":
                setattr(os, name, call)
        for fd in self.contents.values():
            os.ftruncate(fd, 0)
        if self.loss == "everything":
            for change in reversed(self.changes):
                with suppress(FileNotFoundError, OSError):
                    change.undo()

    # ---- what is durable ----

    def _fsync(self, fd: int) -> None:
        self.calls["fsync"](fd)
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino)
        if stat.S_ISDIR(found.st_mode):
            for change in self.changes:
                change.folders.discard(key)
            self.changes = [change for change in self.changes if change.folders]
        elif key in self.contents:
            os.close(self.contents.pop(key))

    def _syncfs(self, fd: int) -> None:
        self.calls["syncfs"](fd)
        self.changes.clear()
        for kept in self.contents.values():
            os.close(kept)
        self.contents.clear()

    # ---- what is not ----

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = _absolute(path, dir_fd)
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(place)
        fd: int = self.calls["open"](path, flags, mode, dir_fd=dir_fd)
        if is_new:
            self._note([place], lambda: os.unlink(place))
            if flags & (os.O_WRONLY | os.O_RDWR):
                found = os.fstat(fd)
                self.contents[found.st_dev, found.st_ino] = os.dup(fd)
        return fd

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        place = _absolute(path, dir_fd)
        self.calls["mkdir"](path, mode, dir_fd=dir_fd)
        self._note([place], lambda: shutil.rmtree(place))

    def _symlink(self, target: Any, path: Any, *args: Any, dir_fd: int | None = None) -> None:
        place = _absolute(path, dir_fd)
        self.calls["symlink"](target, path, *args, dir_fd=dir_fd)
        self._note([place], lambda: os.unlink(place))

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        place = _absolute(target, options.get("dst_dir_fd"))
        self.calls["link"](source, target, **options)
        self._note([place], lambda: os.unlink(place))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        place = _absolute(path, dir_fd)
        backup = self._back_up(place)
        self.calls["unlink"](path, dir_fd=dir_fd)
        if backup is not None:
            self._note([place], lambda: os.rename(backup, place))

    def _rename(self, source: Any, target: Any, **options: Any) -> None:
        old = _absolute(source, options.get("src_dir_fd"))
        new = _absolute(target, options.get("dst_dir_fd"))
        backup = self._back_up(new)

        def undo() -> None:
            os.rename(new, old)
            if backup is not None:
                os.rename(backup, new)

        self.calls["rename"](source, target, **options)
        self._note([old, new], undo)

    def _note(self, places: list[bytes], undo: Callable[[], object]) -> None:
        folders = {_key(os.path.dirname(place)) for place in places}
        self.changes.append(_Change(folders, undo))

    def _back_up(self, place: bytes) -> bytes | None:
        """Keep what a name leads to, under another name on the same filesystem."""
        if not os.path.lexists(place) or (os.path.isdir(place) and not os.path.islink(place)):
            return None
        backup = self.prefix + os.urandom(8).hex().encode()
        self.calls["link"](place, backup, follow_symlinks=False)
        return backup


def _key(path: bytes) -> _Key:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _absolute(path: Any, dir_fd: int | None) -> bytes:
    """A path that leads there whatever becomes of the names above: through its open folder."""
    name = os.fsencode(path)
    if dir_fd is not None and not name.startswith(b"/"):
        name = b"/proc/self/fd/%d/%s" % (dir_fd, name)
    above, name = os.path.split(os.path.abspath(name))
    return b"/proc/self/fd/%d/%s" % (_real_open(above, os.O_PATH | os.O_DIRECTORY), name)


_real_open = os.open


def every_power_cut(operation: Callable[[], object], loss: Loss, prefix: bytes) -> Iterator[int]:
    """Cut an operation at each trace point in turn; yield after each. As `every_death`.

    `prefix` is what the names of our own files begin with, on the same filesystem.
    """
    points = 0
    while _is_cut(operation, points, PowerCut(loss, prefix)):
        yield points
        points += 1
    assert points, "the operation has no trace point"


def _is_cut(operation: Callable[[], object], points: int, cut: PowerCut) -> bool:
    pid = os.fork()
    if pid == 0:
        _run_to_the_cut(operation, points, cut)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {0, _CUT}, f"the operation failed (status {status}); see stderr"
    return status == _CUT


def _run_to_the_cut(operation: Callable[[], object], points: int, cut: PowerCut) -> None:
    status, left, own = 1, points, os.getpid()

    def hook(_: str) -> None:
        nonlocal left
        if os.getpid() != own:
            return
        if left == 0:
            cut.cut()
            os._exit(_CUT)
        left -= 1

    try:
        cut.install()
        durable.set_trace_hook(hook)
        operation()
        status = 0
    except BaseException:  # noqa: BLE001 -- told, then the child ends in any case
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)
