# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a run puts its repositories, and how each timed write finds a filesystem alike.

Nothing is deleted between timed runs: ext4 without a journal searches past inodes that were freed
in the last half minute, and that search then costs more than the work. Everything goes away at
the very end.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.machine import unmount_command
from benchmarks.measure import BenchmarkError, run_quietly, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

MIB = 1 << 20
_PATIENCE = 30.0
_SETTLE = 40.0
_BYTES_PER_INODE = 8192


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes and files that a run will write."""

    prepared_bytes: int
    fresh_bytes: int
    fresh_files: int
    fresh_runs: int


class Storage(Protocol):
    """Directories for one run."""

    @property
    def base(self) -> Path:
        """Where prepared repositories and images live."""

    def new_path(self, name: str) -> Path:
        """A path under ``base`` that does not exist and was not given before."""

    def fresh(self, name: str) -> AbstractContextManager[Path]:
        """An empty directory for one timed first write."""

    def settle(self) -> None:
        """Wait until what a timed run deleted by itself no longer slows the next one."""


@dataclass(slots=True)
class DirectoryStorage:
    """Plain directories on the disk of the machine, as a user has it."""

    base: Path
    _count: Iterator[int] = field(default_factory=itertools.count)

    def new_path(self, name: str) -> Path:
        """A path under ``base`` that was not given before."""
        return self.base / f"{name}-{next(self._count)}"

    @contextmanager
    def fresh(self, name: str) -> Iterator[Path]:
        """A new directory, which stays until the end of the run."""
        path = self.new_path(name)
        path.mkdir()
        yield path

    def settle(self) -> None:
        """Wait out ext4's memory of freed inodes, where it has one."""
        if _remembers_deletions(self.base):
            say(f"  waiting {_SETTLE:.0f} s: an ext4 without a journal avoids freed inodes")
            time.sleep(_SETTLE)


@dataclass(slots=True)
class LoopStorage(DirectoryStorage):
    """A loop-mounted ext4 for what is prepared, and a second one that is made anew each time."""

    image: Path = field(kw_only=True)
    mountpoint: Path = field(kw_only=True)

    @contextmanager
    def fresh(self, name: str) -> Iterator[Path]:
        """A directory on a filesystem that was made a moment ago."""
        with mounted_image(self.image, self.mountpoint) as root:
            path = root / name
            path.mkdir()
            yield path

    def settle(self) -> None:
        """Nothing to wait for: the filesystem of the next first write is a new one."""


@contextmanager
def open_storage(kind: str, parent: Path, need: Need) -> Iterator[Storage]:
    """A work directory under ``parent``; all of it is deleted at the end.

    Raises:
        BenchmarkError: Too little space, or loop filesystems wanted by someone else than root.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _check(kind, parent, need)
    work = Path(tempfile.mkdtemp(prefix="ostreefs-bench-", dir=parent))
    try:
        with ExitStack() as stack:
            yield _enter_loop(stack, work, need) if kind == "loop" else DirectoryStorage(work)
    finally:
        _remove(work)


@contextmanager
def mounted_image(image: Path, mountpoint: Path) -> Iterator[Path]:
    """Make an ext4 in an image, mount it, unmount it afterwards."""
    # nodiscard: discarding would punch holes into the image, whose blocks the next run
    # would then have to allocate again.
    options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    run_quietly("mkfs.ext4", "-q", "-F", "-i", str(_BYTES_PER_INODE), "-E", options, image)
    mountpoint.mkdir(exist_ok=True)
    run_quietly("mount", "-o", "loop", image, mountpoint)
    try:
        yield mountpoint
    finally:
        _unmount(mountpoint)


def _enter_loop(stack: ExitStack, work: Path, need: Need) -> LoopStorage:
    prepared, fresh = work / "prepared.img", work / "fresh.img"
    _fill(prepared, need.prepared_bytes)
    _fill(fresh, _fresh_image_bytes(need))
    base = stack.enter_context(mounted_image(prepared, work / "prepared"))
    return LoopStorage(base, image=fresh, mountpoint=work / "fresh")


def _fresh_image_bytes(need: Need) -> int:
    # Three times, so that no allocator works near its limits; --consume starts from a copy.
    return 3 * max(need.fresh_bytes, need.fresh_files * _BYTES_PER_INODE) + 1024 * MIB


def _fill(image: Path, size: int) -> None:
    # Written, not only allocated: the first use of an allocated block would cost more.
    blocks = f"count={-(-size // MIB)}"
    run_quietly("dd", "if=/dev/zero", f"of={image}", "bs=1M", blocks, "conv=fsync")


def _check(kind: str, parent: Path, need: Need) -> None:
    if kind == "loop" and os.geteuid() != 0:
        raise BenchmarkError("--filesystem=loop needs root")
    loop = _fresh_image_bytes(need)
    wanted = need.prepared_bytes + (loop if kind == "loop" else need.fresh_bytes * need.fresh_runs)
    free = shutil.disk_usage(parent).free
    if free < wanted:
        raise BenchmarkError(
            f"{parent} has {free / 1e9:.1f} GB free, this run writes {wanted / 1e9:.1f} GB "
            "(use another --dir, a smaller --tree or fewer --runs)"
        )


def _remembers_deletions(directory: Path) -> bool:
    """Whether a directory is on an ext4 without a journal: its allocator avoids freed inodes."""
    device = directory.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    name = block.resolve().name
    journals = Path("/proc/fs/jbd2")
    return Path("/proc/fs/ext4", name).is_dir() and not any(journals.glob(f"{name}-*"))


def _remove(work: Path) -> None:
    left = [one for one in mounts_below(work) if not _unmount(one)]
    if left:
        say(f"still mounted, so not deleted: {', '.join(map(str, left))}")
        return
    run_quietly("rm", "-rf", "--one-file-system", work)


def mounts_below(directory: Path) -> list[Path]:
    """What is mounted under a directory, the innermost first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    found = [Path(line.split(" ")[1]) for line in lines]
    return sorted((path for path in found if path.is_relative_to(directory)), reverse=True)


def _unmount(mountpoint: Path) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while mountpoint in mounts_below(mountpoint):
        try:
            run_quietly(*unmount_command(), mountpoint)
        except BenchmarkError as error:
            if time.monotonic() > deadline:
                say(str(error))
                return False
            time.sleep(0.1)
    return True
