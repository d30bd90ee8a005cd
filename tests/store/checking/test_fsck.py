# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that can be damaged is found, and the command says so with status 3."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs_store.checking.fsck import Problem, check_repository
from ostreefs_store.checking.locate import SAMPLE_PATHS
from ostreefs_store.codec import (
    commit_digest,
    content_digest,
    encode_commit,
    encode_file,
    encode_tree,
    file_digest,
    tree_digest,
)
from ostreefs_store.index import Transaction
from ostreefs_store.model import Commit, Digest, Fifo, RegularFile, Tree, TreeEntry
from ostreefs_store.pins import set_pin
from ostreefs_store.repository import Repository
from ostreefs_store.verify import State
from tests.support.commits import put_commit, put_file
from tests.support.crash import call_in_child
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


def object_files(repository: Path) -> list[Path]:
    return sorted(p for p in (repository / "objects").rglob("*") if p.is_file())


def assert_reported(path: Path, digest: Digest, detail: str, *, quick: bool = False) -> None:
    with Repository.open(path) as repository:
        report = check_repository(repository, quick=quick)
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
EMPTY = encode_tree(Tree(0o755, 0, 0, (), ()))
COMMIT = encode_commit(Commit(NOBODY, (), 0, "", "", {}))
OTHER = Digest(b"\x22" * 32)
THIRD = Digest(b"\x33" * 32)

GRAPH_DAMAGE: dict[str, tuple[Callable[[Transaction], object], set[tuple[str, str]]]] = {
    "ref to nothing": (lambda t: t.set_ref("lost", NOBODY), {("ref", "lost")}),
    "alias of nothing": (lambda t: t.put("aliases", b"al", b"lost"), {("ref", "al")}),
    "pin of nothing": (lambda t: set_pin(t, "old", NOBODY), {("pin", "old")}),
    "commit without tree": (
        lambda t: t.put_commit(commit_digest(COMMIT), COMMIT),
        {("tree", NOBODY.hex())},
    ),
    "garbled commit": (lambda t: t.put_commit(OTHER, b"garbage"), {("commit", OTHER.hex())}),
    "wrong commit": (
        lambda t: t.put_commit(OTHER, COMMIT),
        {("commit", OTHER.hex()), ("tree", NOBODY.hex())},
    ),
    "tree without file": (
        lambda t: t.put_trees([(tree_digest(TREE), TREE)]),
        {("file", NOBODY.hex())},
    ),
    "tree without tree": (
        lambda t: t.put_trees([(tree_digest(DEEP), DEEP)]),
        {("tree", NOBODY.hex())},
    ),
    "garbled tree": (lambda t: t.put_trees([(OTHER, b"garbage")]), {("tree", OTHER.hex())}),
    "wrong tree": (lambda t: t.put_trees([(OTHER, EMPTY)]), {("tree", OTHER.hex())}),
    "garbled file": (lambda t: t.put_files([(OTHER, b"garbage")]), {("file", OTHER.hex())}),
    "wrong file": (lambda t: t.put_files([(OTHER, FIFO)]), {("file", OTHER.hex())}),
}


@pytest.mark.parametrize("damage", GRAPH_DAMAGE)
def test_damaged_records(sound: Repository, damage: str) -> None:
    function, expected = GRAPH_DAMAGE[damage]
    with sound.index.transaction() as transaction:
        function(transaction)
    assert {(p.kind, p.name) for p in problems_of(sound)} == expected


def test_a_record_of_its_own_digest_is_fine(sound: Repository) -> None:
    with sound.index.transaction() as transaction:
        transaction.put_files([(file_digest(FIFO), FIFO)])
    assert problems_of(sound) == []


# ---- which commits need what is damaged ----


def test_every_path_and_every_commit_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in ("a/victim", "b/c/victim"):
        write(source / path, CONTENT)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        first, _ = ingest(repository, source)
        write(source / "b/more", b"more")
        second, _ = ingest(repository, source)
        (source / "a/victim").unlink()
        (source / "b/c/victim").unlink()
        ingest(repository, source)
        ingest(repository, write(tmp_path / "moved/victim", CONTENT).parent, "moved")
        [victim] = [p for p in object_files(repository.path) if p.read_bytes() == CONTENT]
        victim.unlink()
        report = check_repository(repository)
    [problem] = report.problems
    told = sorted(path for _, path in problem.paths)
    assert told == [b"/a/victim", b"/b/c/victim", b"/victim"], "each of them once"
    broken = {commit.commit: commit for commit in report.broken}
    assert {len(broken), *broken} > {3, first.hex(), second.hex()}
    assert (broken[first.hex()].refs, broken[first.hex()].needs) == ((), 2)
    assert broken[second.hex()].paths == (b"/a/victim", b"/b/c/victim")
    assert [commit.refs for commit in report.broken if commit.refs] == [("moved",)]


def test_a_tree_that_claims_to_hold_itself(sound: Repository) -> None:
    """Walking ends, and the file in it is found."""
    gone = TreeEntry(b"gone", False, NOBODY)
    for here, below in ((OTHER, THIRD), (THIRD, OTHER)):
        tree = encode_tree(Tree(0o755, 0, 0, (), (TreeEntry(b"again", True, below), gone)))
        with sound.index.transaction() as transaction:
            transaction.put_trees([(here, tree)])
    commit = encode_commit(Commit(OTHER, (), 0, "", "", {}))
    with sound.index.transaction() as transaction:
        transaction.put_commit(commit_digest(commit), commit)
    found = {p.name: {path for _, path in p.paths} for p in problems_of(sound)}
    assert {b"/gone", b"/again/gone"} <= found[NOBODY.hex()]


def test_more_paths_than_are_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(50):
        write(source / f"{number:02}", CONTENT)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, source)
        [victim] = object_files(repository.path)
        victim.unlink()
        report = check_repository(repository)
    assert len(report.problems[0].paths) == 50
    assert report.broken[0].needs == 50
    assert report.broken[0].paths == tuple(b"/%02d" % number for number in range(SAMPLE_PATHS))


# ---- quickly ----


QUICK_DAMAGE = {
    name: DAMAGE[name] for name in DAMAGE if name not in {"flipped", "folder is a file"}
}


@pytest.mark.parametrize("mode", ["bare", "bare-user"])
@pytest.mark.parametrize("damage", QUICK_DAMAGE)
def test_what_a_stat_shows(tmp_path: Path, mode: str, damage: str) -> None:
    victim, digest = make_repository(tmp_path / "repo", mode)
    function, detail = QUICK_DAMAGE[damage]
    function(victim)
    assert_reported(tmp_path / "repo", digest, detail, quick=True)


SUSPECT: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (flip, ", not 0: it may have been written to"),
    "touched": (lambda p: p.touch(), ", not 0: it may have been written to"),
    "another inode": (
        lambda p: (p.rename(p.with_name("x")), write(p, CONTENT), os.utime(p, (0, 0))),  # type: ignore[func-returns-value]  # three steps
        "is not the one that was stored",
    ),
}


@pytest.mark.parametrize("mode", ["bare", "bare-user"])
@pytest.mark.parametrize("change", SUSPECT)
def test_what_a_stat_makes_suspect(tmp_path: Path, mode: str, change: str) -> None:
    victim, digest = make_repository(tmp_path / "repo", mode)
    function, detail = SUSPECT[change]
    function(victim)
    if mode == "bare" and change == "another inode" and os.geteuid() == 0:
        os.setxattr(victim, "user.own", b"1")
    assert_reported(tmp_path / "repo", digest, detail, quick=True)
    with Repository.open(tmp_path / "repo") as repository:
        assert len(problems_of(repository)) == (change == "flipped")


def test_quick_reads_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo") as repository:
        monkeypatch.setattr(repository.objects, "open", None)
        assert check_repository(repository, quick=True).problems == []
        with pytest.raises(TypeError):
            check_repository(repository)


def test_quick_without_recorded_inodes(tmp_path: Path) -> None:
    """A repository of an older program, or one whose records were dropped."""
    make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        with repository.index.transaction() as transaction:
            transaction._transaction.drop(repository.index.database("inodes"), delete=False)
        assert check_repository(repository, quick=True).problems == []


# ---- who may not read ----


@pytest.mark.root
def test_what_may_not_be_read_is_no_damage(tmp_path: Path) -> None:
    victim, digest = make_repository(tmp_path / "repo", "bare")
    victim.chmod(0o000)
    os.chown(victim, 4321, 4321)
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o011)
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        [problem] = problems_of(repository)
        assert problem.state is State.METADATA
        assert digest == problem.digest
    private = write(tmp_path / "private/file", b"for root alone", 0o600)
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        victim.chmod(0o644)
        os.chown(victim, 0, 0)
        ingest(repository, private.parent, "private")

    def look() -> tuple[int, list[Problem]]:
        with Repository.open(tmp_path / "repo") as repository:
            report = check_repository(repository)
            return report.unread, report.problems

    assert call_in_child(look, uid=1234) == (1, [])


# ---- twins ----


TWIN = RegularFile(0o600, 5, 6, (), content_digest(CONTENT), len(CONTENT))


def add_twin(
    repository: Repository, holder: Digest, file: RegularFile = TWIN, path: bytes = b"twin"
) -> Digest:
    """Put an object that has no file of its own into the index, and into a commit."""
    with repository.index.transaction() as transaction:
        twin = put_file(transaction, file)
        transaction.put_twins([(twin, holder)])
        put_commit(transaction, {path: twin})
    return twin


def test_a_twin_has_no_file(tmp_path: Path) -> None:
    _, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        add_twin(repository, holder)
        assert problems_of(repository) == []
        assert check_repository(repository, quick=True).problems == []


@pytest.mark.parametrize("quick", [False, True])
def test_a_twin_suffers_with_its_holder(tmp_path: Path, *, quick: bool) -> None:
    victim, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        twin = add_twin(repository, holder)
        os.truncate(victim, 3)
        report = check_repository(repository, quick=quick)
    found = {p.name: p for p in report.problems}
    assert set(found) == {holder.hex(), twin.hex()}
    assert found[twin.hex()].detail.startswith(f"its content is held by object {holder.hex()}: 3")
    assert [path for _, path in found[twin.hex()].paths] == [b"/twin"]
    assert len(report.broken) == 2


def test_a_twin_is_not_hurt_by_its_holders_mode(tmp_path: Path) -> None:
    victim, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        add_twin(repository, holder)
        victim.chmod(0o640)
        assert [p.name for p in problems_of(repository)] == [holder.hex()]


def test_twins_of_what_holds_nothing(tmp_path: Path) -> None:
    _, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        with repository.index.snapshot() as snapshot:
            other = next(d for d, _ in snapshot.iter_objects("files") if d != holder)
        files = [RegularFile(0o600, uid, 0, (), TWIN.content, TWIN.size) for uid in range(3)]
        good = add_twin(repository, holder, TWIN)
        expected = {
            add_twin(repository, NOBODY, files[0]).hex(): "is missing",
            add_twin(repository, good, files[1]).hex(): "has no file",
            add_twin(repository, other, files[2]).hex(): "has another",
        }
        found = {p.name: p.detail for p in problems_of(repository)}
    assert set(found) == set(expected)
    assert all(found[name].endswith(expected[name]) for name in expected)


def test_a_twin_of_an_object_whose_record_is_damaged(tmp_path: Path) -> None:
    """Its object file is read all the same: the twin is whole when that is."""
    victim, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        twin = add_twin(repository, holder)
        with repository.index.transaction() as transaction:
            transaction.put("files", holder, b"garbage")
        assert [p.name for p in problems_of(repository)] == [holder.hex()]
        flip(victim)
        assert {p.name for p in problems_of(repository)} == {holder.hex(), twin.hex()}


def test_equal_content_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, holder = make_repository(tmp_path / "repo", "bare-user")
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        for uid in range(20):
            add_twin(repository, holder, RegularFile(0o600, uid, 0, (), TWIN.content, TWIN.size))
        opened: list[Digest] = []
        real = repository.objects.open

        def counted(digest: Digest) -> int:
            opened.append(digest)
            return real(digest)

        monkeypatch.setattr(repository.objects, "open", counted)
        assert problems_of(repository) == []
    assert len(opened) == len(set(opened)) == 6


# ---- the index itself ----


def test_pages_of_which_lmdb_dies(tmp_path: Path) -> None:
    """The command says so, whatever becomes of whoever reads them."""
    path, source = tmp_path / "repo", tmp_path / "source"
    for number in range(300):
        write(source / f"{number % 9}/{number}", b"%d" % number)
    with new_repository(path, "bare-user") as repository:
        ingest(repository, source)
    data = path / "index/data.mdb"
    whole = data.read_bytes()
    statuses = set()
    for number in range(2, len(whole) // 4096):
        with data.open("r+b") as file:
            file.seek(number * 4096 + 16)
            file.write(b"\xf7" * 400)
        done = run_fsck(path, "-q")
        statuses.add(done.returncode)
        assert done.returncode in {0, 3}, (number, done)
        assert "Traceback" not in done.stderr
        data.write_bytes(whole)
    assert statuses == {0, 3}, "some pages are not in use"
