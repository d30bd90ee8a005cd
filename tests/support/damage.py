# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damaging object files, and finding them."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ostreefs_store.checking.fsck import check_repository
from ostreefs_store.checking.mend import mend
from ostreefs_store.checking.repair import Outcome
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import object_name
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Let its owner write to a file while the block runs, whatever its mode."""
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o600)
    yield
    path.chmod(mode)


def flip(path: Path) -> None:
    """Change one bit; the size stays."""
    with writable(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def truncate(path: Path, size: int) -> None:
    """Cut a file short."""
    with writable(path):
        os.truncate(path, size)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    make(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda p: truncate(p, 5),
    "emptied": lambda p: truncate(p, 0),
    "flipped": flip,
    "missing": lambda p: p.unlink(),
    "mode": lambda p: p.chmod(0o640),
    "no mode at all": lambda p: p.chmod(0),
    "directory": lambda p: replace(p, Path.mkdir),
    "fifo": lambda p: replace(p, os.mkfifo),
    "symlink": lambda p: replace(p, lambda q: q.symlink_to("/etc/passwd")),
    "folder missing": lambda p: p.parent.rename(p.parents[2] / "gone"),
}
"""What can happen to an object file of at least 6 bytes and mode 0644."""


def object_at(repository: Repository, path: str, revision: str = "main") -> tuple[Digest, Path]:
    """The object that a commit has at a path, and the file that holds its content."""
    with repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, resolve(snapshot, revision)).root
        node = find_node(snapshot, root, os.fsencode(path))
        assert isinstance(node.item, RegularFile)
        holder = snapshot.find_holder(node.digest)
    return node.digest, repository.path / "objects" / object_name(holder)


def repair(repository: Repository, *sources: Path, quick: bool = False) -> list[Outcome]:
    """Check and repair as the command does."""
    with repository.in_use(writing=True):
        problems = check_repository(repository, quick=quick).problems
        return mend(repository, problems, [os.fsencode(source) for source in sources])
