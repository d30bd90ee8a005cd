# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees: describe and warm a real one, generate the made-up ones, always the same."""

from __future__ import annotations

import os
import random
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SEED = 20140101
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """How big a tree is; ``size`` is the bytes of its regular files."""

    files: int
    directories: int
    others: int
    size: int


def read_tree(tree: Path) -> TreeFacts:
    """Count a tree and read all of it once, so that it is in the page cache."""
    files = directories = others = size = 0
    for directory, names, plain in os.walk(tree):
        directories += 1
        for name in (*names, *plain):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                files += 1
                size += _read(path)
            elif not stat.S_ISDIR(status.st_mode):
                others += 1
    return TreeFacts(files, directories, others, size)


def make_tree(root: Path, *, directories: int, files_each: int) -> None:
    """``directories`` directories with ``files_each`` small files, every content different."""
    root.mkdir()
    for at in range(directories):
        directory = root / f"d{at:04}"
        directory.mkdir()
        for number in range(files_each):
            (directory / f"f{number:05}").write_bytes(b"%d/%d\n" % (at, number))


def make_runnable(root: Path) -> None:
    """Put a program and mount points into a tree, as a system has them.

    Raises:
        BenchmarkError: There is no static busybox here.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchmarkError("needs busybox, of the package busybox-static")
    for name in ("dev", "etc", "home", "proc", "run", "sys", "tmp", "usr/bin", "var/lib/misc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, root / "usr/bin/busybox")
    (root / "usr/bin/true").symlink_to("busybox")
    (root / "bin").symlink_to("usr/bin")


def change_files(root: Path, count: int) -> None:
    """Write something else into ``count`` files of such a tree, spread over all of it."""
    files = sorted(root.rglob("f*"))
    for at in range(count):
        path = files[at * len(files) // count]
        path.write_bytes(path.read_bytes() + b"changed\n")


def make_large_file(path: Path, size: int) -> None:
    """``size`` bytes that do not compress, the same in every run."""
    source = random.Random(_SEED)
    path.parent.mkdir()
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK):
            file.write(source.randbytes(min(_CHUNK, size - start)))


def _read(path: str) -> int:
    size = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
    return size


def list_files(tree: Path) -> list[str]:
    """The regular files of a tree, by their paths in it, directory by directory."""
    return [
        os.path.relpath(os.path.join(directory, name), tree)
        for directory, _, plain in sorted(os.walk(tree))
        for name in sorted(plain)
        if stat.S_ISREG(os.lstat(os.path.join(directory, name)).st_mode)
    ]


def write_changed(tree: Path, files: Sequence[str], target: Path, addition: str) -> None:
    """Write some files of a tree, with a text added at the end, into ``target``.

    Those that are there already are not taken from the tree again: they grow. Directories and
    files have the modes that they have in the tree.
    """
    for name in files:
        path = target / name
        if not path.exists():
            _copy_above(tree, target, path.parent)
            shutil.copyfile(tree / name, path)
            shutil.copymode(tree / name, path)
        with path.open("a", encoding="ascii") as file:
            file.write(addition)


def _copy_above(tree: Path, target: Path, directory: Path) -> None:
    if directory.is_dir():
        return
    if directory != target:
        _copy_above(tree, target, directory.parent)
    directory.mkdir()
    shutil.copymode(tree / directory.relative_to(target), directory)
