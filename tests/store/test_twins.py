# SPDX-License-Identifier: LGPL-2.1-or-later
"""Content that is here already: found again under new metadata, read through its holder."""

import os
import stat
from pathlib import Path

import pytest

from ostreefs_store.batch import Batch
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.committing.commit import Target, write_commit
from ostreefs_store.committing.compose import Recipe, Source, compose
from ostreefs_store.config import CONFIG_NAME, with_feature
from ostreefs_store.errors import CheckoutConflictError
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.objects import object_name
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node
from tests.support.commands import Word, command, run
from tests.support.faults import why_no_injection
from tests.support.trees import (
    MESSAGE,
    check_out,
    ingest,
    list_tree,
    make_small_tree,
    new_repository,
    problems_of,
    root_of,
    settle,
    take_in,
    write,
)

WITH_CONTENT = 5
"""How many objects of the small tree have any."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree old enough for the stat cache to trust what it knows of it."""
    root = make_small_tree(tmp_path / "source")
    settle(root)
    return root


@pytest.fixture
def large(source: Path) -> Path:
    """A file that is staged, with holes, in the tree."""
    with (source / "large").open("wb") as file:
        file.write(os.urandom(3 << 20))
        file.truncate(5 << 20)
    settle(source)
    return source / "large"


def change_modes(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) ^ 0o022)
    settle(root)


def object_path(repository: Repository, digest: Digest) -> Path:
    return repository.objects.path / object_name(digest)


def object_inodes(repository: Repository) -> set[int]:
    return {path.stat().st_ino for path in repository.objects.path.glob("*/*")}


def test_changed_modes_are_committed_without_reading(
    any_repository: Repository, source: Path, large: Path
) -> None:
    ingest(any_repository, source)
    before = object_inodes(any_repository)
    change_modes(source)
    _, taken = ingest(any_repository, source)
    assert (taken.read_files, taken.read_bytes, taken.batch.object_files) == (0, 0, [])
    assert len(taken.batch.twins) == WITH_CONTENT + 1
    assert object_inodes(any_repository) == before, "nothing was copied"
    assert problems_of(any_repository) == []
    with any_repository.index.snapshot() as snapshot:
        for name, entry in list_tree(source).items():
            node = find_node(snapshot, root_of(any_repository), name)
            assert node.item.mode == entry.mode
            if isinstance(node.item, RegularFile) and node.item.size:
                assert snapshot.find_holder(node.digest) != node.digest
    fd = any_repository.open_content(*_large_object(any_repository))
    with os.fdopen(fd, "rb") as file:
        assert file.read() == large.read_bytes()


def _large_object(repository: Repository) -> tuple[Digest, RegularFile]:
    with repository.index.snapshot() as snapshot:
        node = find_node(snapshot, root_of(repository), b"large")
    assert isinstance(node.item, RegularFile)
    return node.digest, node.item


def test_no_file_of_the_source_is_opened(
    any_repository: Repository, source: Path, large: Path
) -> None:
    """As the kernel sees it: strace(1) names every file that is opened or copied from."""
    reason = why_no_injection()
    if reason is not None:
        pytest.skip(reason)
    ingest(any_repository, source)
    change_modes(source)
    log = source.parent / "trace"
    calls = "open,openat,copy_file_range,sendfile,ioctl"
    trace: list[Word] = ["strace", "-f", "-y", "-o", log, f"-etrace={calls}"]
    path = any_repository.path
    done = run(*trace, *command(f"--repo={path}", "commit", "-b", "main", source))
    assert done.returncode == 0, done
    lines = [line for line in log.read_text().splitlines() if str(source) in line]
    assert any("O_DIRECTORY" in line for line in lines), "the walk is seen"
    assert [line for line in lines if "O_DIRECTORY" not in line and "O_PATH" not in line] == []
    assert "FICLONE" not in log.read_text()


def test_a_time_that_was_put_back_hides_nothing(any_repository: Repository, source: Path) -> None:
    ingest(any_repository, source)
    path = write(source / "usr/lib/data", b"one")
    settle(source)
    ingest(any_repository, source)
    found = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    settle(source)
    _, taken = ingest(any_repository, source)
    assert taken.read_files == 1, "a ctime that nothing explains"


def test_a_file_too_young_for_its_times_is_read(any_repository: Repository, source: Path) -> None:
    path = write(source / "young", b"young")
    os.utime(path)  # so young that a write could come without another mtime
    ingest(any_repository, source)
    path.chmod(0o600)
    _, taken = ingest(any_repository, source)
    assert taken.read_files == 1


def test_content_under_other_metadata_is_not_stored_again(
    any_repository: Repository, source: Path, large: Path, tmp_path: Path
) -> None:
    ingest(any_repository, source)
    before = object_inodes(any_repository)
    other = tmp_path / "other"
    write(other / "large", large.read_bytes(), 0o600)
    write(other / "tool", (source / "usr/bin/tool").read_bytes(), 0o600)
    _, taken = ingest(any_repository, other, "other")
    assert (taken.read_files, taken.batch.object_files) == (2, [])
    assert object_inodes(any_repository) == before
    assert problems_of(any_repository) == []


def test_a_twin_of_a_twin_has_the_same_holder(any_repository: Repository, source: Path) -> None:
    ingest(any_repository, source)
    for _ in range(2):
        change_modes(source)
        (source / "usr/bin/tool").chmod(0o600 if _ else 0o640)
        settle(source)
        ingest(any_repository, source)
    with any_repository.index.snapshot() as snapshot:
        twins = dict(snapshot.items_from("twins"))
    assert twins
    assert not set(twins.values()) & set(twins), "a holder is no twin"


def test_a_damaged_holder_is_not_relied_on(
    any_repository: Repository, source: Path, tmp_path: Path
) -> None:
    write(source / "only", b"the only copy")
    settle(source)
    ingest(any_repository, source)
    with any_repository.index.snapshot() as snapshot:
        digest = find_node(snapshot, root_of(any_repository), b"only").digest
    object_path(any_repository, digest).unlink()
    write(tmp_path / "other/only", b"the only copy", 0o600)
    _, taken = ingest(any_repository, tmp_path / "other", "other")
    assert (len(taken.batch.object_files), taken.batch.twins) == (1, {})


# ---- checkouts


@pytest.mark.parametrize("force_copy", [True, False])
def test_twins_are_checked_out(
    any_repository: Repository, source: Path, large: Path, tmp_path: Path, *, force_copy: bool
) -> None:
    ingest(any_repository, source)
    change_modes(source)
    ingest(any_repository, source)
    user = any_repository.config.mode == "bare-user"
    options = CheckoutOptions(user=user, force_copy=force_copy, require_hardlinks=not force_copy)
    check_out(any_repository, tmp_path / "out", options=options)
    out, expected = list_tree(tmp_path / "out"), list_tree(source)
    assert {n: (e.mode & 0o777, e.data) for n, e in out.items() if e.data} == {
        n: (e.mode & 0o777, e.data) for n, e in expected.items() if e.data
    }
    assert problems_of(any_repository) == []


@pytest.mark.root
def test_a_hardlink_checkout_gives_twins_a_file_of_their_own_once(
    repository: Repository, source: Path, large: Path, tmp_path: Path
) -> None:
    ingest(repository, source)
    change_modes(source)
    ingest(repository, source)
    before = object_inodes(repository)
    check_out(repository, tmp_path / "one", options=CheckoutOptions(require_hardlinks=True))
    made = object_inodes(repository) - before
    assert len(made) == WITH_CONTENT + 1
    with repository.index.snapshot() as snapshot:
        assert snapshot.count("twins") == 0
        assert {snapshot.find_by_inode(inode) for inode in made} >= {
            find_node(snapshot, root_of(repository), b"large").digest
        }
    check_out(repository, tmp_path / "two", options=CheckoutOptions(require_hardlinks=True))
    assert list_tree(tmp_path / "two") == list_tree(source)
    assert object_inodes(repository) == before | made
    assert (tmp_path / "one/large").samefile(tmp_path / "two/large")
    assert problems_of(repository) == []
    _, taken = ingest(repository, tmp_path / "two", "again")
    assert taken.read_bytes == 0


@pytest.mark.root
def test_a_repository_that_may_only_be_read_copies_its_twins(source: Path, tmp_path: Path) -> None:
    with new_repository(tmp_path / "repo", "bare") as repository:
        ingest(repository, source)
        change_modes(source)
        ingest(repository, source)
    with Repository.open(tmp_path / "repo") as repository:
        check_out(repository, tmp_path / "one")
        hard = CheckoutOptions(require_hardlinks=True)
        with pytest.raises(CheckoutConflictError, match="object file of its own"):
            check_out(repository, tmp_path / "two", options=hard)
    assert list_tree(tmp_path / "one") == list_tree(source)


def test_bare_user_links_a_holder_that_shows_the_same(source: Path, tmp_path: Path) -> None:
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, source)
        for path in source.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.setxattr(path, "user.label", b"new")
        settle(source)
        _, taken = ingest(repository, source)
        assert len(taken.batch.twins) == WITH_CONTENT
        before = object_inodes(repository)
        options = CheckoutOptions(user=True, require_hardlinks=True)
        check_out(repository, tmp_path / "out", options=options)
        assert object_inodes(repository) == before, "one inode for objects that differ elsewhere"


@pytest.mark.root
def test_bare_user_shares_inodes_within_a_commit(source: Path, tmp_path: Path) -> None:
    for number, mode in enumerate((0o4755, 0o755, 0o2755, 0o644)):
        path = write(source / f"equal-{number}", b"equal content")
        os.chown(path, 100 + number, 0)
        path.chmod(mode)
    expected = {name: e for name, e in list_tree(source).items() if b"equal" in name}
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        batch = Batch()
        with repository.in_use(writing=True):
            root = compose(repository, Recipe([Source("dir", str(source))]), batch).root
            write_commit(repository, batch, root, MESSAGE, Target("main"))
        assert len(batch.twins) == 2, "0755 is shown three times, 0644 once"
        assert problems_of(repository) == []
        with repository.index.snapshot() as snapshot:
            digests = [find_node(snapshot, root, name).digest for name in expected]
        inodes = {object_path(repository, digest).stat().st_ino for digest in digests}
        assert len(inodes) == 2
        check_out(repository, tmp_path / "out", options=CheckoutOptions(user=True))
        for name, entry in expected.items():
            assert list_tree(tmp_path / "out")[name].data == entry.data


# ---- repositories of older programs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[features]\nincompatible = []\n", '[features]\nincompatible = ["twins"]\n'),
        ('[features]\nincompatible = ["x",]\n', '[features]\nincompatible = ["x", "twins"]\n'),
        (
            "[features]\ncompatible = []\n",
            '[features]\nincompatible = ["twins"]\ncompatible = []\n',
        ),
        (
            '[repository]\nmode = "bare"',
            '[repository]\nmode = "bare"\n\n[features]\nincompatible = ["twins"]\n',
        ),
    ],
)
def test_a_feature_is_added(text: str, expected: str) -> None:
    assert with_feature(text, "twins") == expected


def test_an_older_repository_is_made_ready(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "repo"
    with new_repository(path, "bare-user") as repository:
        ingest(repository, source)
        with repository.index.transaction() as transaction:
            for content_digest, _ in list(transaction.items_from("content")):
                transaction.delete("content", content_digest)
    config = path / CONFIG_NAME
    config.write_text(config.read_text().replace('"twins", ', ""))
    with Repository.open(path) as repository:
        assert repository.config.missing == ("twins",)
    with Repository.open(path, writable=True) as repository:
        change_modes(source)
        taken = take_in(repository, source)
        assert len(taken.batch.twins) == WITH_CONTENT
        write(tmp_path / "other/file", (source / "usr/bin/tool").read_bytes(), 0o640)
        assert len(take_in(repository, tmp_path / "other").batch.twins) == 1
    with Repository.open(path) as repository:
        assert repository.config.missing == ()
