# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tree that can be written to, for as long as a command runs in it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ostreefs.fuse.mounts import MountError, find_mount, unmount
from ostreefs.fuse.rooms import let_others_pass
from ostreefs.fuse.scratch import delete_temporary, lay_over, prepare

if TYPE_CHECKING:
    from pathlib import Path

_MARKS = {".wh..opq", ".wh..wh..opq"}
"""What fuse-overlayfs(1) puts into a directory that the tree below does not have."""


class Overlay:
    """A writable tree over another one, in a directory of its own; at first it is not mounted."""

    def __init__(
        self, tree: Path, upper: Path | None, made: dict[str, bool], *, is_for_others: bool
    ) -> None:
        """Make the directories; `upper` is kept. Raises `MountError`, `OSError`.

        `made` is what the tree gets only to be mounted on, outer ones first, and whether as
        directories.
        """
        self._made = made
        self._scratch = prepare(upper)._replace(lower=tree)
        was_there = {path for path in made if os.path.lexists(self._scratch.upper / path[1:])}
        self._removed = [path for path in reversed(made) if path not in was_there]
        self.root = self._scratch.base / "root"
        self.root.mkdir()
        if is_for_others:
            let_others_pass(self.root)
        self.lock = self._scratch.lock
        """Whoever has it open keeps the next writable mount from deleting the directories."""

    def mount(self) -> None:
        """Mount it, and make what is only to be mounted on. Raises `MountError`, `OSError`."""
        options = ("allow_other",) if os.geteuid() == 0 else ()
        lay_over(self._scratch, self.root, options)
        for path, is_directory in self._made.items():
            place = self.root / path[1:]
            if is_directory:
                place.mkdir(0o755, exist_ok=True)
            else:
                place.touch(0o644)

    def clean_up(self) -> None:
        """Take it down, and delete all but a kept upper; done twice it does no harm."""
        if find_mount(self.root) is not None:
            with suppress(MountError):
                unmount(self.root, lazy=True)
        for path in self._removed:
            with suppress(OSError):
                _remove_if_empty(self._scratch.upper / path[1:])
        if find_mount(self.root) is None:
            delete_temporary(self._scratch)


def _remove_if_empty(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        if {*os.listdir(path)} <= _MARKS:
            for mark in os.listdir(path):
                (path / mark).unlink()
        path.rmdir()
    elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
        path.unlink()
