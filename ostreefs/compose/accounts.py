# SPDX-License-Identifier: LGPL-2.1-or-later
"""The numbers of users and groups in a tree: passwd(5), group(5), and systemd's accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostreefs.compose.tree import MadeTree

_FOLDERS = (b"etc/", b"usr/lib/")


class Accounts:
    """Looks names up; those that nobody has become root's, as with rpm, and are noted."""

    def __init__(self, tree: MadeTree) -> None:
        self.unknown: set[str] = set()
        self._users = _read(tree, b"passwd")
        self._groups = _read(tree, b"group")

    def find_uid(self, name: str) -> int:
        """The number of a user."""
        return self._find(self._users, name, "user")

    def find_gid(self, name: str) -> int:
        """The number of a group."""
        return self._find(self._groups, name, "group")

    def _find(self, known: dict[str, int], name: str, kind: str) -> int:
        if name in {"", "root"}:
            return 0
        if name not in known:
            self.unknown.add(f"{kind} {name}")
        return known.get(name, 0)


def _read(tree: MadeTree, name: bytes) -> dict[str, int]:
    """Names and numbers of a file, the first folder that has a name being right."""
    found: dict[str, int] = {}
    for folder in _FOLDERS:
        text = (tree.read(folder + name) or b"").decode("utf-8", "surrogateescape")
        for line in text.splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit():
                found.setdefault(fields[0], int(fields[2]))
    return found
