# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees that follow from a seed and a number: what a commit must hold is known without it.

From one number to the next some files change, some change their mode alone, some come and some go.
"""

import os
import random
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

LABEL = b"BUILD"
"""The file in the root that holds the number."""

_FOLDERS = 24
_FILES = 220
_PERIODS = (1, 3, 10, 1000)
"""After how many numbers the content of a file changes."""


class Seen(NamedTuple):
    """One path as it must be, or as it was found."""

    kind: int
    mode: int
    data: bytes


def walk(top: int) -> dict[bytes, Seen]:
    """Read everything below a directory, by descriptors alone; b"." is the directory."""
    found: dict[bytes, Seen] = {}
    pending = [(os.dup(top), b"")]
    try:
        while pending:
            fd, path = pending.pop()
            try:
                found[path.rstrip(b"/") or b"."] = _see(fd, None)
                for name in os.listdir(f"/proc/self/fd/{fd}".encode()):
                    seen = _see(fd, name)
                    if seen.kind == stat.S_IFDIR:
                        child = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                        pending.append((child, path + name + b"/"))
                    else:
                        found[path + name] = seen
            finally:
                os.close(fd)
    finally:
        for fd, _ in pending:
            os.close(fd)
    return found


def _see(fd: int, name: bytes | None) -> Seen:
    facts = os.fstat(fd) if name is None else os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind, mode = stat.S_IFMT(facts.st_mode), stat.S_IMODE(facts.st_mode)
    data = b""
    if name is not None and kind == stat.S_IFLNK:
        data = os.readlink(name, dir_fd=fd)
    elif name is not None and kind == stat.S_IFREG:
        file = os.open(name, os.O_RDONLY, dir_fd=fd)
        with open(file, "rb") as opened:
            data = opened.read()
        if len(data) != facts.st_size:
            data = b"of another size than stat says: " + data
    return Seen(kind, mode, data)


def _brief(seen: Seen | None) -> str:
    if seen is None:
        return "nothing"
    return f"{seen.kind | seen.mode:o}, {len(seen.data)} bytes, {seen.data[:60]!r}"


def _draw(*words: object) -> random.Random:
    return random.Random("/".join(map(str, words)))


class Build:
    """One tree: its paths with modes, contents and targets."""

    def __init__(self, seed: int, number: int) -> None:
        self.number = number
        self.files: dict[bytes, tuple[int, bytes]] = {LABEL: (0o644, b"%d\n" % number)}
        self.links: dict[bytes, bytes] = {}
        for index in range(_FILES):
            self._add(seed, number, index)

    def _add(self, seed: int, number: int, index: int) -> None:
        draw = _draw(seed, index)
        folder, shift = draw.randrange(_FOLDERS), draw.randrange(1000)
        path = b"d%d/s%d/f%d-\xff" % (folder // 4, folder, index)
        if draw.random() < 0.1:
            path = b"f%d" % index
        if draw.random() < 0.3 and (number + shift) % 5 == 0:
            return
        variant = (number + shift) // draw.choice(_PERIODS)
        mode = 0o755 if (number + shift) % 4 == 0 else 0o644
        if draw.random() < 0.1:
            self.links[path] = b"../%d" % variant
        else:
            self.files[path] = (mode, content(seed, path, variant))

    def difference(self, top: int) -> str | None:
        """Compare all that is below a directory, by its descriptor; None when it is the same."""
        wanted: dict[bytes, Seen] = {}
        for path, (mode, data) in self.files.items():
            wanted[path] = Seen(stat.S_IFREG, mode, data)
        for path, target in self.links.items():
            wanted[path] = Seen(stat.S_IFLNK, 0o777, target)
        for path in [*wanted]:
            wanted |= dict.fromkeys(_above(path), Seen(stat.S_IFDIR, 0o755, b""))
        seen = walk(top)
        wrong = sorted(path for path in {*wanted, *seen} if wanted.get(path) != seen.get(path))
        if not wrong:
            return None
        path = wrong[0]
        return (
            f"{len(wrong)} paths differ from build {self.number}, the first is {path!r}:"
            f" {_brief(seen.get(path))} instead of {_brief(wanted.get(path))}"
        )

    def write(self, source: Path) -> None:
        """Make a directory hold this and nothing else; what is right already stays as it is."""
        wanted = {*self.files, *self.links}
        folders = {source / os.fsdecode(folder) for path in wanted for folder in _above(path)}
        for path in sorted(source.rglob("*"), reverse=True):
            name = os.fsencode(path.relative_to(source))
            if path.is_dir() and not path.is_symlink():
                if path not in folders:
                    shutil.rmtree(path)
            elif name not in wanted:
                path.unlink()
        for folder in sorted(folders):
            folder.mkdir(mode=0o755, exist_ok=True)
        for name, (mode, data) in self.files.items():
            path = source / os.fsdecode(name)
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
            path.chmod(mode)
        for name, target in self.links.items():
            path = source / os.fsdecode(name)
            path.unlink(missing_ok=True)
            path.symlink_to(os.fsdecode(target))


def _above(path: bytes) -> list[bytes]:
    folders = [b"."]
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        folders.append(path)
    return folders


def content(seed: int, path: bytes, variant: int) -> bytes:
    """A file's bytes, which say themselves what they must be."""
    draw = _draw(seed, path.hex(), variant)
    size = draw.choice((0, 0, 10, 700, 4096, 5000, 20_000, 70_000))
    if draw.random() < 0.01:
        size = 3_000_000
    head = path + b"\n%d\n" % variant
    return head + blake3(b"%d\n" % seed + head).digest(length=size)


def is_genuine(seed: int, path: bytes, data: bytes) -> bool:
    """Whether a file holds what some build has at this path, whole."""
    head, _, rest = data.partition(b"\n")
    variant, _, _ = rest.partition(b"\n")
    return head == path and variant.isdigit() and data == content(seed, path, int(variant))
