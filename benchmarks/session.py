# SPDX-License-Identifier: LGPL-2.1-or-later
"""What benchmarks share in one run: the tree, the storage, and repositories made on first use."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.measure import run_quietly, say
from benchmarks.trees import change_files, make_large_file, make_runnable, make_tree

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.storage import Storage

BRANCH = "bench"
HISTORY = 1000
SHORT = 100
CHANGED = 10
LARGE_NAME = "large.bin"
GIANT_COMMITS = 10_000
GIANT_FILES = 1_000_000
_FILES_EACH = 1000


def repo_mode() -> str:
    """The mode of the repositories on both sides: with ownership for root, without otherwise."""
    return "bare" if os.geteuid() == 0 else "bare-user"


def user_flags() -> tuple[str, ...]:
    """What a checkout needs so that it is hard links from a repository of that mode."""
    return () if os.geteuid() == 0 else ("-U",)


@dataclass(frozen=True, slots=True)
class Program:
    """ostree's command line, which ours follows; every method gives a command, none runs it."""

    program: tuple[str, ...]

    def verb(self, repo: Path, verb: str, *arguments: str | Path) -> Command:
        """``PROGRAM --repo=REPO VERB ...``."""
        return (*self.program, f"--repo={repo}", verb, *arguments)

    def init(self, repo: Path) -> Command:
        """Make a repository."""
        return self.verb(repo, "init", f"--mode={repo_mode()}")

    def commit(self, repo: Path, tree: Path, *flags: str) -> Command:
        """Commit a directory to the branch."""
        return self.verb(repo, "commit", "-b", BRANCH, "-s", "x", *flags, f"--tree=dir={tree}")

    def mount(self, repo: Path, mountpoint: Path) -> Command:
        """Mount the branch in the background."""
        return self.verb(repo, "mount", BRANCH, mountpoint)


OSTREE = Program(("ostree",))


@dataclass(frozen=True, slots=True)
class Pair:
    """Repositories of both programs with the same commits."""

    ours: Path
    ostree: Path


class Prepared:
    """One tree in every shape that a benchmark starts from; each is made when first asked for."""

    def __init__(self, name: str, tree: Path, storage: Storage, ours: Program) -> None:
        self.name = name
        self.tree = tree
        self._storage = storage
        self._ours = ours

    def mountpoint(self, name: str) -> Path:
        """An empty directory to mount on, the same for the same name."""
        path = self._storage.base / f"mnt-{self.name}-{name}"
        path.mkdir(exist_ok=True)
        return path

    @cached_property
    def ours(self) -> Path:
        """Our own repository with one commit of the tree."""
        return self._repo(self._ours, "ours")

    @cached_property
    def ostree(self) -> Path:
        """The repository of ostree with one commit of the tree."""
        return self._repo(OSTREE, "ostree")

    @cached_property
    def copy(self) -> Path:
        """A copy of the tree that may be hard-linked."""
        path = self._new("copy")
        run_quietly("cp", "-a", self.tree, path)
        return path

    @cached_property
    def checkout(self) -> Path:
        """A hardlink checkout of our own repository."""
        path = self._new("checkout")
        flags = ("-H", *user_flags(), BRANCH)
        run_quietly(*self._ours.verb(self.ours, "checkout", *flags, path))
        return path

    @cached_property
    def squashfs(self) -> Path:
        """A squashfs image of the tree, made with the defaults of mksquashfs."""
        path = self._new("squashfs")
        run_quietly("mksquashfs", self.tree, path, "-no-progress", "-quiet")
        return path

    @cached_property
    def borg(self) -> Path:
        """An unencrypted borg repository with the tree as the archive ``bench``."""
        path = self._new("borg")
        run_quietly("borg", "init", "--encryption=none", path)
        run_quietly("borg", "create", f"{path}::{BRANCH}", ".", cwd=self.tree)
        return path

    @cached_property
    def history(self) -> Path:
        """Our repository with ``HISTORY`` commits of the tree, which changes each time."""
        path = self._new("history")
        run_quietly(*self._ours.init(path))
        module = (sys.executable, "-m", "benchmarks.history")
        run_quietly(*module, path, self.tree, str(HISTORY))
        return path

    def evolution(self, commits: int) -> Pair:
        """Repositories with so many commits, of which each changes 1 % of the files."""
        name = f"evolution-{commits}"
        pair = Pair(self._new(f"{name}-ours"), self._new(f"{name}-ostree"))
        run_quietly(*self._ours.init(pair.ours))
        run_quietly(*OSTREE.init(pair.ostree))
        module = (sys.executable, "-m", "benchmarks.evolution")
        run_quietly(*module, pair.ours, pair.ostree, self.tree, str(commits))
        return pair

    def changed(self, files: int) -> Pair:
        """Repositories with two commits of the tree, which differ in so many files."""
        name = f"changed-{files}"
        programs = (self._ours, f"{name}-ours"), (OSTREE, f"{name}-ostree")
        pair = Pair(*(self._repo(program, repo) for program, repo in programs))
        change_files(self.tree, files)
        run_quietly(*self._ours.commit(pair.ours, self.tree))
        run_quietly(*OSTREE.commit(pair.ostree, self.tree))
        return pair

    def _repo(self, program: Program, name: str) -> Path:
        path = self._new(name)
        run_quietly(*program.init(path))
        run_quietly(*program.commit(path, self.tree))
        return path

    def _new(self, name: str) -> Path:
        say(f"  preparing: {self.name}, {name}")
        return self._storage.new_path(f"{self.name}-{name}")


@dataclass
class Session:
    """One run of the benchmarks."""

    tree: Path
    storage: Storage
    program: tuple[str, ...]
    runs: int
    large_bytes: int
    ours: Program = field(init=False)

    def __post_init__(self) -> None:
        self.ours = Program(self.program)

    @cached_property
    def real(self) -> Prepared:
        """The real tree."""
        return self._prepared("tree", self.tree)

    @cached_property
    def working(self) -> Prepared:
        """A copy of the real tree whose metadata may be changed."""
        path = self.storage.new_path("working")
        run_quietly("cp", "-a", self.tree, path)
        return self._prepared("working", path)

    @cached_property
    def ten(self) -> Prepared:
        """Ten files."""
        return self._made("ten", directories=1, files_each=10)

    @cached_property
    def few(self) -> Prepared:
        """1,000 files in 100 directories."""
        return self._made("few", directories=100, files_each=10)

    @cached_property
    def many(self) -> Prepared:
        """100,000 files in 100 directories."""
        return self._made("many", directories=100, files_each=1000)

    @cached_property
    def small(self) -> Prepared:
        """10,000 files in 100 directories."""
        return self._made("small", directories=100, files_each=100)

    @cached_property
    def changed(self) -> Pair:
        """Two commits of ``many`` that differ in ``CHANGED`` files."""
        return self.many.changed(CHANGED)

    @cached_property
    def system(self) -> Prepared:
        """50,000 files, as a small system has, and a program that runs with them as its root."""
        path = self.storage.new_path("system")
        make_tree(path, directories=500, files_each=100)
        make_runnable(path)
        return self._prepared("system", path)

    @cached_property
    def entries(self) -> Prepared:
        """140,000 entries: 400 directories of 349 files each."""
        return self._made("entries", directories=400, files_each=349)

    @cached_property
    def changing(self) -> Prepared:
        """A second tree like ``few``, for the history."""
        return self._made("changing", directories=100, files_each=10)

    @cached_property
    def long(self) -> Pair:
        """A long history: ``HISTORY`` commits of 10,000 files."""
        return self._made("long", directories=100, files_each=100).evolution(HISTORY)

    @cached_property
    def short(self) -> Pair:
        """A short one: ``SHORT`` commits of as many files, 10 in a directory."""
        return self._made("short", directories=1000, files_each=10).evolution(SHORT)

    @cached_property
    def wide(self) -> Pair:
        """A short one of directories with 100 files each."""
        return self._made("wide", directories=100, files_each=100).evolution(SHORT)

    @cached_property
    def giant(self) -> Path:
        """Our repository with so many files and commits that never were on a disk."""
        path = self.storage.new_path("giant")
        say("  preparing: giant")
        run_quietly(*self.ours.init(path))
        numbers = (GIANT_COMMITS, GIANT_FILES // 10 // _FILES_EACH, _FILES_EACH)
        run_quietly(sys.executable, "-m", "benchmarks.giant", path, *map(str, numbers))
        return path

    def mountpoint(self, name: str) -> Path:
        """An empty directory to mount on."""
        path = self.storage.base / f"mnt-{name}"
        path.mkdir(exist_ok=True)
        return path

    @cached_property
    def large(self) -> Prepared:
        """One large file that does not compress."""
        path = self.storage.new_path("large")
        make_large_file(path / LARGE_NAME, self.large_bytes)
        return self._prepared("large", path)

    def _made(self, name: str, *, directories: int, files_each: int) -> Prepared:
        path = self.storage.new_path(name)
        make_tree(path, directories=directories, files_each=files_each)
        return self._prepared(name, path)

    def _prepared(self, name: str, tree: Path) -> Prepared:
        return Prepared(name, tree, self.storage, self.ours)
