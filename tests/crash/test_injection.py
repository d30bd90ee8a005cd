# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that is full or broken at each single write: one line, and nothing committed is lost."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ostreefs_store.repository import Repository
from tests.support.archives import gnu_tar
from tests.support.commands import ostreefs
from tests.support.damage import DAMAGE, object_at, repair
from tests.support.faults import Injected, every_fault, why_no_injection
from tests.support.trees import (
    Listing,
    check_out,
    ingest,
    list_tree,
    make_sparse,
    problems_of,
    remove_tree,
    write,
)

if TYPE_CHECKING:
    from tests.support.commands import Word

pytestmark = pytest.mark.crash

CAUSES = ("Input/output error", "No space left on device")
XATTRS = ("--xattrs", "--xattrs-include=*", "--acls")
VICTIMS = ("one", "etc/two", "etc/three")


@pytest.fixture(autouse=True)
def _injection() -> None:
    reason = why_no_injection()
    if reason:
        pytest.skip(reason)


def make_tree(root: Path) -> Path:
    """One of each kind, since each call costs a run."""
    for victim in VICTIMS:
        write(root / victim, f"content of {victim}".encode())
    write(root / "etc/twin", b"content that is here under two modes")
    write(root / "etc/empty")
    (root / "link").symlink_to("etc")
    os.mkfifo(root / "fifo")
    return root


class Scene:
    """A repository with a commit, which can be had anew, and a tree for the next one."""

    def __init__(self, place: Path) -> None:
        self.repository = place / "under/repo"
        self.out = place / "under/out"
        self.first = make_tree(place / "first")
        self.second = make_tree(place / "second")
        make_sparse(self.second / "large", (1 << 20) + 9, {0: b"large enough to be staged"})
        write(self.second / "etc/new", b"new")
        if os.geteuid() == 0:
            os.chown(self.second / "etc/new", 7, 8)
            os.setxattr(self.second / "etc/new", "user.comment", b"a comment")
        self._pristine = place / "pristine"
        mode = "bare" if os.geteuid() == 0 else "bare-user"
        Repository.init(self._pristine, mode)  # type: ignore[arg-type]  # one of its two values
        with Repository.open(self._pristine, writable=True) as repository:
            ingest(repository, self.first)
            (self.first / "etc/twin").chmod(0o600)
            self.tip, _ = ingest(repository, self.first)
            with repository.index.snapshot() as snapshot:
                assert snapshot.count("twins") == 1
        self.listing = list_tree(self.first)

    def restore(self) -> None:
        if self.repository.parent.exists():
            remove_tree(self.repository.parent)
        self.repository.parent.mkdir()
        shutil.copytree(self._pristine, self.repository, symlinks=True)


@pytest.fixture
def scene(place: Path) -> Scene:
    return Scene(place)


def assert_told(injected: Injected) -> None:
    """It failed in one line that names the cause, or succeeded although one call did not."""
    done = injected.done
    assert done.returncode in {0, 1}, injected
    lines = done.stderr.decode().splitlines()
    if done.returncode == 1:
        assert done.stdout == b"", injected
        assert lines[0].startswith("ostreefs: error: "), injected
        assert lines[0].endswith(CAUSES), injected
        lines.pop(0)
    assert all(line.startswith("ostreefs: hint: ") for line in lines), injected


def look(repository: Path, place: Path, revision: str) -> Listing:
    with Repository.open(repository) as opened:
        assert problems_of(opened) == []
        check_out(opened, place / "look", revision)
    found = list_tree(place / "look")
    remove_tree(place / "look")
    return found


@pytest.mark.parametrize("kind", ["dir", "tar"])
def test_commit(scene: Scene, place: Path, kind: str) -> None:
    """The ref is old or new, what it names is whole, and the next commit does its work."""
    source = scene.second
    if kind == "tar":
        source = place / "second.tar"
        source.write_bytes(gnu_tar(scene.second, "--sparse"))
    tree = f"--tree={kind}={source}"
    words: list[Word] = [f"--repo={scene.repository}", "commit", "-b", "main", tree]
    expected = list_tree(scene.second)
    for injected in every_fault(words, scene.repository.parent, scene.restore, every=True):
        assert_told(injected)
        is_old = look(scene.repository, place, "main") == scene.listing
        assert is_old or look(scene.repository, place, "main") == expected, injected
        assert not is_old or injected.done.returncode == 1, injected
        assert look(scene.repository, place, scene.tip.hex()) == scene.listing
        with Repository.open(scene.repository, writable=True) as repository:
            ingest(repository, scene.second)
        assert look(scene.repository, place, "main") == expected, injected
        if "write" in injected.fault.call or "sync" in injected.fault.call:
            assert injected.done.returncode == 1, injected


@pytest.mark.parametrize("option", ["-H", "-C"])
def test_checkout(scene: Scene, place: Path, option: str) -> None:
    """It is whole or not there; the repository does not suffer."""
    repository = f"--repo={scene.repository}"
    user = [] if os.geteuid() == 0 else ["-U"]
    words: list[Word] = [repository, "checkout", option, *user, "main", scene.out]
    for injected in every_fault(
        words, scene.repository.parent, scene.restore, reading=option == "-C"
    ):
        assert_told(injected)
        if injected.done.returncode == 0:
            assert list_tree(scene.out) == scene.listing, injected
        else:
            assert not scene.out.exists(), injected
        assert look(scene.repository, place, "main") == scene.listing


def test_export(scene: Scene, place: Path) -> None:
    """The archive is whole, or not there."""
    out = scene.repository.parent / "out.tar"
    words: list[Word] = [f"--repo={scene.repository}", "export", "main", "-o", out]
    for injected in every_fault(words, scene.repository.parent, scene.restore, reading=True):
        assert_told(injected)
        assert out.exists() == (injected.done.returncode == 0), injected
        assert [path.name for path in out.parent.glob(".out*")] == [], injected
        if out.exists():
            (place / "look").mkdir()
            subprocess.run(["tar", *XATTRS, "-xpf", out, "-C", place / "look"], check=True)
            assert list_tree(place / "look") == scene.listing
            remove_tree(place / "look")


HARM = ("flipped", "mode", "missing")


def test_repair(scene: Scene) -> None:
    """What was whole still is, and the next repair does its work."""
    damaged: set[str] = set()

    def prepare() -> None:
        scene.restore()
        with Repository.open(scene.repository) as repository:
            for path, name in zip(VICTIMS, HARM, strict=True):
                DAMAGE[name](object_at(repository, path)[1])
            damaged.update(problem.name for problem in problems_of(repository))

    words: list[Word] = [
        f"--repo={scene.repository}",
        "fsck",
        "-q",
        "--repair",
        "--from",
        scene.first,
    ]
    for injected in every_fault(words, scene.repository.parent, prepare):
        assert injected.done.returncode in {0, 1, 3}, injected
        if injected.done.returncode == 1:
            assert_told(injected)
        with Repository.open(scene.repository, writable=True) as repository:
            assert {problem.name for problem in problems_of(repository)} <= damaged, injected
            repair(repository, scene.first)
            assert problems_of(repository) == [], injected


def test_delete(scene: Scene) -> None:
    def prepare() -> None:
        scene.restore()
        with Repository.open(scene.repository) as repository:
            DAMAGE["flipped"](object_at(repository, VICTIMS[0])[1])

    words: list[Word] = [f"--repo={scene.repository}", "fsck", "-q", "--delete"]
    for injected in every_fault(words, scene.repository.parent, prepare, expected=3):
        assert injected.done.returncode in {1, 3}, injected
        if injected.done.returncode == 1:
            assert_told(injected)
        with Repository.open(scene.repository, writable=True) as repository:
            assert len(problems_of(repository)) == 1, injected


def test_prune(scene: Scene, place: Path) -> None:
    """What stays is whole, what goes is there or gone, and the next prune ends it."""
    words: list[Word] = [f"--repo={scene.repository}", "prune", "--refs-only", "--depth=0"]

    def prepare() -> None:
        scene.restore()
        with Repository.open(scene.repository, writable=True) as repository:
            ingest(repository, scene.second)

    expected = list_tree(scene.second)
    for injected in every_fault(words, scene.repository.parent, prepare):
        assert_told(injected)
        assert look(scene.repository, place, "main") == expected, injected
        with Repository.open(scene.repository) as repository, repository.index.snapshot() as now:
            is_there = now.find_commit(scene.tip) is not None
        if is_there:
            assert look(scene.repository, place, scene.tip.hex()) == scene.listing
        assert ostreefs(*words).returncode == 0
        assert look(scene.repository, place, "main") == expected, injected


def test_check(scene: Scene) -> None:
    """What cannot be read is damaged, and the check goes on to the end."""
    words: list[Word] = [f"--repo={scene.repository}", "fsck"]
    unreadable = 0
    for injected in every_fault(words, scene.repository.parent, scene.restore, reading=True):
        if injected.done.returncode == 3:
            assert b"cannot be read: Input/output error" in injected.done.stdout, injected
            assert b"fsck: checked " in injected.done.stdout, injected
            unreadable += 1
        else:
            assert_told(injected)
    assert unreadable
