# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether a program is in a commit, as it would be found inside. Reads the index alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.model import Digest, RegularFile, Symlink
from ostreefs_store.traverse import look_up, read_file_object

if TYPE_CHECKING:
    from ostreefs_store.index import Snapshot

SEARCHED = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_LINKS_MAX = 40


def find_program(snapshot: Snapshot, root: Digest, name: str) -> bool:
    """Whether a path, or a name in the usual directories, leads to a file that can be executed.

    Raises `ObjectMissingError`, `FormatError`.
    """
    paths = [name] if "/" in name else [f"{folder}/{name}" for folder in SEARCHED]
    return any(_is_program(snapshot, root, path.encode()) for path in paths)


def _is_program(snapshot: Snapshot, root: Digest, path: bytes) -> bool:
    """Follow a path from the root; symbolic links lead about inside the commit."""
    rest = path.split(b"/")[::-1]
    above = [root]
    links = 0
    while rest:
        name = rest.pop()
        if name == b"..":
            above = above[:-1] or [root]
            continue
        if name in {b"", b"."}:
            continue
        found = look_up(snapshot, above[-1], name)
        if found is None:
            return False
        if found[0]:
            above.append(found[1])
            continue
        item = read_file_object(snapshot, found[1])
        if isinstance(item, Symlink) and links < _LINKS_MAX:
            links += 1
            if item.target.startswith(b"/"):
                above = [root]
            rest += item.target.split(b"/")[::-1]
            continue
        return not any(rest) and isinstance(item, RegularFile) and bool(item.mode & 0o111)
    return False
