# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths as somebody inside sees them: no link leads out, and other things are mounted there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ostreefs.sandbox.errors import SandboxError

_LINKS_MAX = 40
"""As the kernel has it, see path_resolution(7)."""


class View:
    """A tree, and what is to be put over it, looked at from outside.

    Paths inside are absolute text with one ``/`` between names.
    """

    def __init__(self, root: Path) -> None:
        self._mounts: dict[str, Path | None] = {"/": root}

    def put(self, target: str, source: Path | None) -> None:
        """Something will be mounted at a path without links; None for what is empty or unknown."""
        self._mounts[target] = source

    def find_host(self, path: str) -> Path | None:
        """What is at a path without links, as we may open it; None where that is new."""
        for target in sorted(self._mounts, key=len, reverse=True):
            if _is_within(path, target):
                source = self._mounts[target]
                rest = path[len(target) :].lstrip("/")
                return None if source is None else source / rest
        raise AssertionError(path)  # the root is always there

    def is_covered(self, path: str) -> bool:
        """Whether a path lies in something that is put over the tree."""
        return any(target != "/" and _is_within(path, target) for target in self._mounts)

    def is_new(self, path: str) -> bool:
        """Whether something new begins at a path without links."""
        return self._mounts.get(path, Path()) is None

    def find_status(self, path: str) -> os.stat_result | None:
        """What is at a path without links; None for nothing."""
        host = self.find_host(path)
        if host is None:
            return None
        try:
            return host.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None

    def resolve(self, path: str) -> str:
        """The same place without links; what is missing stays as it is named.

        Raises `SandboxError` for links in a circle.
        """
        todo = [name for name in reversed(path.split("/")) if name]
        found: list[str] = []
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                found = found[:-1]
                continue
            if name == ".":
                continue
            status = self.find_status("/" + "/".join([*found, name]))
            if status is None or not stat.S_ISLNK(status.st_mode):
                found.append(name)
                continue
            links += 1
            if links > _LINKS_MAX:
                raise SandboxError(f"{path}: too many symbolic links")
            target = self._read_link("/" + "/".join([*found, name]))
            if target.startswith("/"):
                found = []
            todo.extend(part for part in reversed(target.split("/")) if part)
        return "/" + "/".join(found)

    def _read_link(self, path: str) -> str:
        host = self.find_host(path)
        return "" if host is None else os.fsdecode(os.readlink(host))

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """The beginning of a regular file; None where there is none that we may read."""
        place = self.resolve(path)
        status = self.find_status(place)
        host = self.find_host(place)
        if host is None or status is None or not stat.S_ISREG(status.st_mode):
            return None
        try:
            with open(host, "rb") as file:
                return file.read(limit)
        except PermissionError:
            return None


def _is_within(path: str, target: str) -> bool:
    return f"{path}/".startswith(f"{target.rstrip('/')}/")
