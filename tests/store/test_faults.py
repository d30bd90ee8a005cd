# SPDX-License-Identifier: LGPL-2.1-or-later
"""Full disks, files that will not hold still, files that may not be read, two writers at once."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ostreefs_store import durable
from ostreefs_store.committing.commit import Target, write_commit
from ostreefs_store.content import CHUNK
from ostreefs_store.errors import FreeSpaceError, SourceChangedError
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import read_commit
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import iter_history
from tests.support.archives import commit_archive, gnu_tar
from tests.support.crash import call_in_child
from tests.support.damage import flip, object_at, repair
from tests.support.trees import (
    MESSAGE,
    check_out,
    ingest,
    list_tree,
    make_small_tree,
    make_sparse,
    new_repository,
    problems_of,
    remove_tree,
    root_of,
    take_in,
    write,
)

# ---- no space ----


def mount_small(kind: str, place: Path, image: Path) -> None:
    place.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
        return
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m0", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of a few MiB."""
    mount_small(request.param, tmp_path / "disk", tmp_path / "image")
    yield tmp_path / "disk"
    subprocess.run(["umount", tmp_path / "disk"], check=True)


@contextmanager
def greedy_repository(path: Path) -> Iterator[Repository]:
    """A repository that leaves nothing free on its disk."""
    Repository.init(path, "bare-user")
    config = path / "config.toml"
    config.write_text(config.read_text() + "[core]\nmin-free-space-percent = 0\n")
    with Repository.open(path, writable=True) as repository:
        yield repository


def make_volume(root: Path, *, files: int, size: int) -> Path:
    for number in range(files):
        write(root / f"{number // 100}/{number}", os.urandom(16) * (size // 16))
    return root


@pytest.mark.root
@pytest.mark.parametrize(
    ("files", "size"), [(1500, 8192), (12, 1 << 20), (7, (1 << 20) + 4096), (7, 3 << 20)]
)
@pytest.mark.parametrize("consume", [False, True])
def test_no_space_for_objects(
    small_disk: Path, tmp_path: Path, files: int, size: int, *, consume: bool
) -> None:
    small = make_small_tree(tmp_path / "small")
    volume = make_volume(tmp_path / "volume", files=files, size=size)
    before = list_tree(volume)
    with greedy_repository(small_disk / "repo") as repository:
        ingest(repository, small)
        tip = root_of(repository)
        with pytest.raises(OSError, match="No space left") as caught:
            ingest(repository, volume, consume=consume)
        assert caught.value.errno == errno.ENOSPC
        named = caught.value.filename
        assert named is None or not str(named).startswith(str(volume)), "blames the source"
        assert root_of(repository) == tip
        assert problems_of(repository) == []
        assert list_tree(volume) == before
        write(small / "usr/bin/tool", b"newer")
        for path in (small_disk / "repo/objects").rglob("*"):
            if path.is_file() and path.stat().st_nlink == 1 and path.stat().st_size > 6000:
                path.unlink()  # make room: nobody knows these
        ingest(repository, small)
        check_out(repository, tmp_path / "out")
        assert problems_of(repository) == []
    assert list_tree(tmp_path / "out") == list_tree(small)


@pytest.mark.root
@pytest.mark.parametrize(
    "setting", [None, "min-free-space-percent = 25", 'min-free-space-size = "1MB"']
)
def test_a_part_of_the_disk_stays_free(
    small_disk: Path, tmp_path: Path, setting: str | None
) -> None:
    """The commit fails before the disk is full, and a smaller one goes through."""
    volume = make_volume(tmp_path / "volume", files=12, size=1 << 20)
    Repository.init(small_disk / "repo", "bare-user")
    config = small_disk / "repo/config.toml"
    if setting is not None:
        config.write_text(f"{config.read_text()}[core]\n{setting}\n")
    before = os.statvfs(small_disk).f_bfree
    with Repository.open(small_disk / "repo", writable=True) as repository:
        with pytest.raises(FreeSpaceError, match=r"min-free-space-.* would be exceeded"):
            ingest(repository, volume)
        assert os.statvfs(small_disk).f_bfree >= before * 9 // 10
        ingest(repository, make_small_tree(tmp_path / "small"))
        make_sparse(tmp_path / "small/sparse", 1 << 30, {0: b"mostly nothing"})
        ingest(repository, tmp_path / "small")
        assert problems_of(repository) == []


@pytest.mark.root
@pytest.mark.parametrize(("files", "size"), [(1500, 8192), (12, 1 << 20), (3, 6 << 20)])
def test_no_space_for_an_archive(small_disk: Path, tmp_path: Path, files: int, size: int) -> None:
    """With nothing kept free it fails when the disk is full, otherwise before."""
    data = gnu_tar(make_volume(tmp_path / "volume", files=files, size=size))
    small = gnu_tar(make_small_tree(tmp_path / "small"))
    with greedy_repository(small_disk / "repo") as repository:
        root = commit_archive(repository, small)
        with pytest.raises(OSError, match="No space left"):
            commit_archive(repository, data)
        assert (root_of(repository), problems_of(repository)) == (root, [])
        assert os.listdir(small_disk / "repo/tmp") == []
    remove_tree(small_disk / "repo")
    Repository.init(small_disk / "repo", "bare-user")
    with Repository.open(small_disk / "repo", writable=True) as repository:
        with pytest.raises(FreeSpaceError):
            commit_archive(repository, data)
        found = os.statvfs(small_disk)
        assert found.f_bfree >= found.f_blocks * 2 // 100  # workers do not see each other's next
        prune(repository, Rules())
        assert commit_archive(repository, small) == root
        assert problems_of(repository) == []


@pytest.mark.root
def test_a_prune_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """What a commit left that failed makes room for the transaction that forgets commits."""
    with greedy_repository(small_disk / "repo") as repository:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            for number in range(1500):
                (tmp_path / name / f"{number}").symlink_to(f"{name} {number} " * 20)
            ingest(repository, tmp_path / name)
        with pytest.raises(OSError, match="No space left"):
            ingest(repository, make_volume(tmp_path / "volume", files=1500, size=8192))
        with suppress(OSError), (small_disk / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        report = prune(repository, Rules(refs_only=True, depth=0))
        assert len(report.commits) == 1
        assert report.left_over > 100
        assert problems_of(repository) == []


@pytest.mark.root
def test_no_inodes_for_objects(tmp_path: Path) -> None:
    """What fails is the repository, not the source of the same relative name."""
    volume = make_volume(tmp_path / "volume", files=300, size=64)
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=64m,nr_inodes=400"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        with greedy_repository(disk / "repo") as repository:
            with pytest.raises(OSError, match="No space left") as caught:
                ingest(repository, volume)
            assert not str(caught.value.filename).startswith(str(volume))
            assert problems_of(repository) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.root
def test_no_space_for_the_index(small_disk: Path, tmp_path: Path) -> None:
    small = make_small_tree(tmp_path / "small")
    links = tmp_path / "links"
    links.mkdir()
    for number in range(3000):
        (links / f"{number}").symlink_to(f"{number}" * 500)
    with greedy_repository(small_disk / "repo") as repository:
        ingest(repository, small)
        tip = root_of(repository)
        with pytest.raises(OSError, match="No space left") as caught:
            ingest(repository, links)
        assert caught.value.errno == errno.ENOSPC
        assert root_of(repository) == tip
        assert problems_of(repository) == []
    with Repository.open(small_disk / "repo", writable=True) as repository:
        assert root_of(repository) == tip
        ingest(repository, small)
        assert problems_of(repository) == []


@pytest.mark.root
def test_no_space_for_a_checkout(small_disk: Path, tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", files=200, size=1 << 16)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, volume)
        with pytest.raises(OSError, match="No space left"):
            check_out(repository, small_disk / "out")
    assert [p.name for p in small_disk.iterdir() if p.name != "lost+found"] == []


@pytest.mark.root
def test_no_space_for_a_repair(small_disk: Path, tmp_path: Path) -> None:
    """What was damaged still is, and nothing else; with space again it is repaired."""
    volume = make_volume(tmp_path / "volume", files=3, size=1 << 19)
    with new_repository(small_disk / "repo", "bare-user") as repository:
        ingest(repository, volume)
        digest, victim = object_at(repository, "0/1")
        flip(victim)
        with suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        with pytest.raises(OSError, match="No space left") as caught:
            repair(repository, volume)
        assert str(caught.value.filename).startswith(str(small_disk / "repo"))
        assert [problem.digest for problem in problems_of(repository)] == [digest]
        assert list((small_disk / "repo/tmp").iterdir()) == []
        (small_disk / "fill").unlink()
        repair(repository, volume)
        assert problems_of(repository) == []


# ---- files that will not hold still ----


@pytest.mark.parametrize("size", [100, CHUNK + 100, 3 * CHUNK])
def test_a_file_that_changes_once_while_it_is_read(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It is read again, and what is stored is one version of it, not a mixture."""
    path = write(tmp_path / "source/file", b"a" * size)
    real = os.listxattr
    changed: list[int] = []

    def rewrite(target: int | str, *, follow_symlinks: bool = True) -> list[str]:
        """Stand between the first stat and the reading."""
        if isinstance(target, int) and os.readlink(f"/proc/self/fd/{target}") == str(path):
            if not changed:
                path.write_bytes(b"b" * size)
            changed.append(target)
        return real(target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "listxattr", rewrite)
    ingest(repository, tmp_path / "source")
    assert len(changed) == 2
    monkeypatch.undo()
    check_out(repository, tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == b"b" * size
    assert problems_of(repository) == []


@pytest.mark.parametrize("size", [100, CHUNK + 100])
@pytest.mark.parametrize("consume", [False, True])
def test_a_file_that_never_stops(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    *,
    consume: bool,
) -> None:
    ingest(repository, make_small_tree(tmp_path / "small"))
    tip = root_of(repository)
    path = write(tmp_path / "source/file", b"a" * size)
    real = os.listxattr

    def grow(target: int | str, *, follow_symlinks: bool = True) -> list[str]:
        with path.open("ab") as file:
            file.write(b"+")
        return real(target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "listxattr", grow)
    with pytest.raises(SourceChangedError) as caught:
        ingest(repository, tmp_path / "source", consume=consume)
    assert caught.value.path == os.fsencode(path)
    assert root_of(repository) == tip
    assert path.read_bytes().startswith(b"a" * size)
    assert problems_of(repository) == []


def at_first_object(change: Callable[[], None]) -> Callable[[str], None]:
    """Make a trace hook that calls `change` once, when all is listed and the first is read."""
    done: list[str] = []

    def hook(point: str) -> None:
        if point == "object:created" and not done:
            done.append(point)
            change()

    return hook


@pytest.fixture
def _traced() -> Iterator[None]:
    yield
    durable.set_trace_hook(None)


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("kind", ["vanished", "symlink", "directory", "fifo", "device"])
def test_a_file_that_is_something_else_when_its_turn_comes(
    repository: Repository, tmp_path: Path, kind: str
) -> None:
    if kind == "device" and os.geteuid() != 0:
        kind = "fifo"
    source = tmp_path / "source"
    for number in range(5):
        write(source / f"dir/{number}", b"content %d" % number)

    def change() -> None:
        for path in (source / "dir").iterdir():
            path.unlink()
            match kind:
                case "symlink":
                    path.symlink_to("/etc/passwd")
                case "directory":
                    path.mkdir()
                case "fifo":
                    os.mkfifo(path)
                case "device":
                    os.mknod(path, 0o020600, os.makedev(5, 0))
                case _:
                    pass

    durable.set_trace_hook(at_first_object(change))
    with pytest.raises(SourceChangedError) as caught:
        ingest(repository, source)
    assert caught.value.path.startswith(os.fsencode(source / "dir") + b"/")
    assert problems_of(repository) == []


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("depth", [1, 2])
def test_a_directory_that_becomes_a_link_leads_nowhere(
    repository: Repository, tmp_path: Path, depth: int
) -> None:
    """Nothing outside of the source is read."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    below = "a" if depth == 1 else "a/b"
    write(source / "0", b"first")
    write(source / below / "file", b"mine")
    write(source / below / "later", b"mine, too")
    write(outside / below / "file", b"SECRET")
    write(outside / below / "later", b"SECRET")

    def change() -> None:
        (source / "a").rename(tmp_path / "gone")
        (source / "a").symlink_to(outside / "a")

    durable.set_trace_hook(at_first_object(change))
    with pytest.raises(SourceChangedError):
        ingest(repository, source)


# ---- files that may not be read ----


@pytest.mark.root
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_an_unreadable_file_is_named(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    source = make_small_tree(place / "source")
    if kind == "file":
        (source / "usr/bin/tool").chmod(0o600)
        named = source / "usr/bin/tool"
    else:
        (source / "usr/lib").chmod(0o700)
        named = source / "usr/lib"
    for parent in (place, *place.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o011)
    (place / "own").mkdir()
    os.chown(place / "own", 1234, 1234)

    def work() -> None:
        with new_repository(place / "own/repo", "bare-user") as repository:
            try:
                ingest(repository, source)
            finally:
                assert problems_of(repository) == []

    (source / "usr/share/private").chmod(0o644)
    (source / "usr/mode-0700").chmod(0o755)
    with pytest.raises(PermissionError) as caught:
        call_in_child(work, uid=1234)
    assert caught.value.filename == str(named)


# ---- two at once ----


def test_two_commits_to_one_ref(tmp_path: Path) -> None:
    """Both are in its history: the parent is what the ref is when the commit is written."""
    repository_path = tmp_path / "repo"
    Repository.init(repository_path, "bare-user")
    ready, start = os.pipe()
    pids = []
    for name in ("one", "two"):
        source = write(tmp_path / name / "file", name.encode()).parent
        pid = os.fork()
        if pid == 0:
            os._exit(_commit_when_told(repository_path, source, ready))
        pids.append(pid)
    os.write(start, b"gg")
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    os.close(ready)
    os.close(start)
    with Repository.open(repository_path) as repository:
        with repository.index.snapshot() as snapshot:
            tip = snapshot.find_ref("main")
            assert tip is not None
            assert len(list(iter_history(snapshot, tip))) == 20
        assert problems_of(repository) == []


def _commit_when_told(repository_path: Path, source: Path, ready: int) -> int:
    try:
        os.read(ready, 1)
        for number in range(10):
            write(source / f"{number}", b"shared content %d" % number)
            with Repository.open(repository_path, writable=True) as repository:
                ingest(repository, source)
    except BaseException:  # noqa: BLE001 -- the status tells it
        import traceback  # noqa: PLC0415 -- for a failure alone

        traceback.print_exc()
        return 1
    return 0


def test_a_commit_between_ingest_and_commit_becomes_the_parent(tmp_path: Path) -> None:
    one = write(tmp_path / "one/file", b"one").parent
    two = write(tmp_path / "two/file", b"one").parent
    write(two / "more", b"more")
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        late = take_in(repository, one)
        first, _ = ingest(repository, two)
        second, is_new = write_commit(repository, late.batch, late.root, MESSAGE, Target("main"))
        assert is_new
        with repository.index.snapshot() as snapshot:
            assert read_commit(snapshot, second).parents == (first,)
        assert problems_of(repository) == []


def test_fsck_beside_a_commit(tmp_path: Path) -> None:
    repository_path = tmp_path / "repo"
    Repository.init(repository_path, "bare-user")
    source = make_small_tree(tmp_path / "source")
    ready, start = os.pipe()
    os.write(start, b"g")
    pid = os.fork()
    if pid == 0:
        os._exit(_commit_when_told(repository_path, source, ready))
    runs = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        with Repository.open(repository_path) as repository:
            assert problems_of(repository) == []
        runs += 1
    os.close(ready)
    os.close(start)
    assert runs
