# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that can be damaged is found, and the command says so with status 3."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs_store.codec import encode_commit, encode_file, encode_tree, file_digest
from ostreefs_store.fsck import check_repository
from ostreefs_store.index import Transaction
from ostreefs_store.model import Commit, Digest, Fifo, Tree, TreeEntry
from ostreefs_store.repository import Repository
from tests.support.project import ROOT
from tests.support.trees import ingest, new_repository, problems_of, write

CONTENT = b"the content of the victim"
NOBODY = Digest(b"\x11" * 32)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: os.truncate(p, 5), "5 bytes instead of 25"),
    "emptied": (lambda p: os.truncate(p, 0), "0 bytes instead of 25"),
    "grown": (grow, "29 bytes instead of 25"),
    "flipped": (flip, "content differs"),
    "missing": (lambda p: p.unlink(), "is missing"),
    "mode": (lambda p: p.chmod(0o640), "mode 0640 instead of 0644"),
    "directory": (lambda p: replace(p, Path.mkdir), "not a regular file"),
    "fifo": (lambda p: replace(p, os.mkfifo), "not a regular file"),
    "symlink": (lambda p: replace(p, lambda q: q.symlink_to("/etc/passwd")), "not a regular file"),
    "own content by symlink": (
        lambda p: replace(p, lambda q: q.symlink_to(write(q.with_name("copy"), CONTENT))),
        "not a regular file",
    ),
    "folder missing": (lambda p: p.parent.rename(p.parents[2] / "gone"), "is missing"),
    "folder is a file": (
        lambda p: (p.parent.rename(p.parents[2] / "gone"), p.parent.touch()),  # type: ignore[func-returns-value]  # two steps
        "",
    ),
}

BARE_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "owner": (lambda p: os.chown(p, 5, 0), "owner 5:0 instead of 0:0"),
    "group": (lambda p: os.chown(p, 0, 5), "owner 0:5 instead of 0:0"),
    "setuid": (lambda p: p.chmod(0o4644), "mode 4644 instead of 0644"),
    "xattr added": (lambda p: os.setxattr(p, "user.x", b"1"), "extended attributes differ"),
    "xattr changed": (lambda p: os.setxattr(p, "user.own", b"2"), "extended attributes differ"),
    "xattr removed": (lambda p: os.removexattr(p, "user.own"), "extended attributes differ"),
}


def make_repository(path: Path, mode: str) -> tuple[Path, Digest]:
    """Make a repository with a victim among others; its object file and file digest."""
    source = path.parent / "source"
    victim = write(source / "dir/victim", CONTENT)
    if mode == "bare" and os.geteuid() == 0:
        os.setxattr(victim, "user.own", b"1")
    for number in range(5):
        write(source / f"{number}", b"bystander %d" % number)
    with new_repository(path, mode) as repository:
        ingest(repository, source)
        assert problems_of(repository) == []
        with repository.index.snapshot() as snapshot:
            digests = [digest for digest, _ in snapshot.iter_objects("files")]
    for digest in digests:
        found = path / "objects" / digest.hex()[:2] / digest.hex()[2:]
        if found.read_bytes() == CONTENT:
            return found, digest
    raise AssertionError


def assert_reported(path: Path, digest: Digest, detail: str) -> None:
    with Repository.open(path) as repository:
        report = check_repository(repository)
    assert [(p.kind, p.name) for p in report.problems] == [("file", digest.hex())]
    assert detail in report.problems[0].detail


@pytest.mark.parametrize("mode", ["bare", "bare-user"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_object_files(tmp_path: Path, mode: str, damage: str) -> None:
    victim, digest = make_repository(tmp_path / "repo", mode)
    function, detail = DAMAGE[damage]
    function(victim)
    assert_reported(tmp_path / "repo", digest, detail)


@pytest.mark.root
@pytest.mark.parametrize("damage", BARE_DAMAGE)
def test_damaged_inodes_of_bare_repositories(tmp_path: Path, damage: str) -> None:
    victim, digest = make_repository(tmp_path / "repo", "bare")
    function, detail = BARE_DAMAGE[damage]
    function(victim)
    assert_reported(tmp_path / "repo", digest, detail)


def run_fsck(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'store'}"}
    command = [sys.executable, "-m", "ostreefs", f"--repo={path}", "fsck", *options]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment
    )


def test_status_of_the_command(tmp_path: Path) -> None:
    victim, digest = make_repository(tmp_path / "repo", "bare-user")
    done = run_fsck(tmp_path / "repo", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    flip(victim)
    done = run_fsck(tmp_path / "repo", "-q")
    assert done.returncode == 3
    assert digest.hex() in done.stdout
    assert "content differs" in done.stdout


@pytest.mark.parametrize("mode", ["bare", "bare-user"])
def test_many_damaged_files_by_workers(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    for number in range(600):
        write(source / f"{number}", b"%d" % number)
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        for path in (tmp_path / "repo/objects").rglob("*"):
            if path.is_file():
                flip(path)
        seen: list[tuple[int, int]] = []
        report = check_repository(repository, lambda done, total: seen.append((done, total)))
    assert len(report.problems) == report.files == 600
    assert seen[-1] == (600, 600)


def test_unknown_files_do_no_harm(tmp_path: Path) -> None:
    make_repository(tmp_path / "repo", "bare-user")
    for name in ("ab/" + "c" * 62, "ab/strange name", "ab/\udcff"):
        write(tmp_path / "repo/objects" / name, b"left")
    with Repository.open(tmp_path / "repo") as repository:
        report = check_repository(repository)
    assert (report.unknown_files, report.problems) == (3, [])


def test_a_stray_file_among_the_folders(tmp_path: Path) -> None:
    make_repository(tmp_path / "repo", "bare-user")
    write(tmp_path / "repo/objects/README", b"stray")
    with Repository.open(tmp_path / "repo") as repository:
        assert check_repository(repository).problems == []


# ---- the graph ----


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Repository]:
    make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        yield repository


FIFO = encode_file(Fifo(0o644, 0, 0, ()))
TREE = encode_tree(Tree(0o755, 0, 0, (), (TreeEntry(b"a", is_tree=False, digest=NOBODY),)))
DEEP = encode_tree(Tree(0o755, 0, 0, (), (TreeEntry(b"a", is_tree=True, digest=NOBODY),)))
COMMIT = encode_commit(Commit(NOBODY, (), 0, "", "", {}))
OTHER = Digest(b"\x22" * 32)

GRAPH_DAMAGE: dict[str, tuple[Callable[[Transaction], object], str, str]] = {
    "ref to nothing": (lambda t: t.set_ref("lost", NOBODY), "ref", "lost"),
    "commit without tree": (lambda t: t.put_commit(OTHER, COMMIT), "commit", OTHER.hex()),
    "garbled commit": (lambda t: t.put_commit(OTHER, b"garbage"), "commit", OTHER.hex()),
    "tree without file": (lambda t: t.put_trees([(OTHER, TREE)]), "tree", OTHER.hex()),
    "tree without tree": (lambda t: t.put_trees([(OTHER, DEEP)]), "tree", OTHER.hex()),
    "garbled tree": (lambda t: t.put_trees([(OTHER, b"garbage")]), "tree", OTHER.hex()),
    "wrong tree": (lambda t: t.put_trees([(OTHER, TREE)]), "tree", OTHER.hex()),
    "garbled file": (lambda t: t.put_files([(OTHER, b"garbage")]), "file", OTHER.hex()),
    "wrong file": (lambda t: t.put_files([(OTHER, FIFO)]), "file", OTHER.hex()),
}


@pytest.mark.parametrize("damage", GRAPH_DAMAGE)
def test_damaged_records(sound: Repository, damage: str) -> None:
    function, kind, name = GRAPH_DAMAGE[damage]
    with sound.index.transaction() as transaction:
        function(transaction)
    found = {(p.kind, p.name) for p in problems_of(sound)}
    assert found == {(kind, name)}


def test_a_record_of_its_own_digest_is_fine(sound: Repository) -> None:
    with sound.index.transaction() as transaction:
        transaction.put_files([(file_digest(FIFO), FIFO)])
    assert problems_of(sound) == []
