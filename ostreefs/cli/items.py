# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files and directories of commits, for JSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Fifo,
    RegularFile,
    Symlink,
    Tree,
    TreeHead,
)

if TYPE_CHECKING:
    from ostreefs_store.model import Digest, File

KINDS: dict[type, tuple[str, str]] = {
    Tree: ("d", "directory"),
    TreeHead: ("d", "directory"),
    RegularFile: ("-", "file"),
    Symlink: ("l", "symlink"),
    Fifo: ("p", "fifo"),
    CharDevice: ("c", "char"),
    BlockDevice: ("b", "block"),
}
"""Type -> (the letter that ls shows, a word)."""


def describe(digest: Digest, item: Tree | TreeHead | File) -> dict[str, object]:
    """An item as a JSON document."""
    document: dict[str, object] = {
        "kind": KINDS[type(item)][1],
        "mode": f"{item.mode:04o}",
        "uid": item.uid,
        "gid": item.gid,
        "digest": digest.hex(),
        "xattrs": {os.fsdecode(name): value.hex() for name, value in item.xattrs},
    }
    match item:
        case RegularFile():
            document |= {"size": item.size, "content": item.content.hex()}
        case Symlink():
            document |= {"target": item.target}
        case CharDevice() | BlockDevice():
            document |= {"major": item.major, "minor": item.minor}
        case _:
            pass
    return document
