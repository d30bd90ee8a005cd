# SPDX-License-Identifier: LGPL-2.1-or-later
"""Taking a tree in: what is read, what is recognised, what is seen to have changed."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ostreefs_store.batch import Batch
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.committing.ingest import ingest_directory
from ostreefs_store.errors import SourceChangedError, StoreError
from ostreefs_store.model import RegularFile, Tree
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node
from tests.support.trees import (
    ACCESS_ACL,
    check_out,
    ingest,
    list_tree,
    make_privileged_tree,
    make_small_tree,
    make_socket,
    new_repository,
    problems_of,
    remove_tree,
    root_of,
    settle,
    take_in,
    write,
)

REGULAR_FILES = 7
"""How many regular files the small tree has."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree old enough for the stat cache to trust what it knows of it."""
    root = make_small_tree(tmp_path / "source")
    settle(root)
    return root


def reingest(repository: Repository, source: Path, changed: int) -> None:
    """Commit anew: so many files are read, and what comes of it is the tree as it is now."""
    _, taken = ingest(repository, source)
    assert taken.read_files == changed
    with new_repository(source.parent / "fresh", repository.config.mode) as fresh:
        ingest(fresh, source)
        expected = root_of(fresh)
    remove_tree(source.parent / "fresh")
    assert root_of(repository) == expected
    assert problems_of(repository) == []


# ---- the stat cache ----


def test_an_unchanged_tree_is_not_read(any_repository: Repository, source: Path) -> None:
    first, taken = ingest(any_repository, source)
    assert taken.read_files == REGULAR_FILES
    second, taken = ingest(any_repository, source)
    assert (taken.read_files, taken.read_bytes) == (0, 0)
    assert (taken.batch.files, taken.batch.trees, taken.batch.object_files) == ({}, {}, [])
    assert first != second
    assert root_of(any_repository, "main^") == root_of(any_repository)


@pytest.mark.root
def test_an_unchanged_tree_of_every_kind_is_not_read(
    any_repository: Repository, tmp_path: Path
) -> None:
    source = make_privileged_tree(tmp_path / "source")
    settle(source)
    ingest(any_repository, source)
    _, taken = ingest(any_repository, source)
    assert (taken.read_files, taken.batch.files, taken.batch.trees) == (0, {}, {})
    assert root_of(any_repository, "main^") == root_of(any_repository)


def replace_content(path: Path) -> None:
    """Write other bytes of the same number, and put the old time back."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    write(path / "inside", b"now a directory")


def replace_by_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def replace_by_device(path: Path) -> None:
    path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def swap(path: Path) -> None:
    other = path.parents[1] / "lib/libtool.so"
    path.rename(path.with_name("x"))
    other.rename(path)
    path.with_name("x").rename(other)


TOOL = "usr/bin/tool"

CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "same size and time": (lambda root: replace_content(root / TOOL), 1),
    "content": (lambda root: (root / TOOL).write_bytes(b"other"), 1),
    "emptied": (lambda root: (root / TOOL).write_bytes(b""), 1),
    "mode": (lambda root: (root / TOOL).chmod(0o700), 0),
    "time alone": (lambda root: os.utime(root / TOOL, (1, 1)), 1),
    "renamed": (lambda root: (root / TOOL).rename(root / "usr/bin/other"), 1),
    "swapped": (lambda root: swap(root / TOOL), 2),
    "new file": (lambda root: write(root / "usr/bin/new", b"new"), 1),
    "new link to a file": (lambda root: os.link(root / TOOL, root / "usr/bin/link"), 2),
    "removed": (lambda root: (root / TOOL).unlink(), 0),
    "directory for a file": (lambda root: replace_by_directory(root / TOOL), 1),
    "symlink for a file": (lambda root: replace_by_symlink(root / TOOL), 0),
    "new directory": (lambda root: (root / "usr/new").mkdir(), 0),
    "removed directory": (lambda root: (root / "etc/empty.d").rmdir(), 0),
    "mode of a directory": (lambda root: (root / "usr/lib").chmod(0o711), 0),
    "mode of the root": (lambda root: root.chmod(0o711), 0),
    "symlink": (lambda root: replace_by_symlink(root / "bin"), 0),
    "mode of a fifo": (lambda root: (root / "etc/fifo").chmod(0o600), 0),
    "moved directory": (lambda root: (root / "usr/lib").rename(root / "lib"), 0),
}

ROOT_CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "owner": (lambda root: os.chown(root / TOOL, 7, 8), 0),
    "owner of a directory": (lambda root: os.chown(root / "usr/lib", 7, 8), 0),
    "owner of a symlink": (lambda root: os.chown(root / "bin", 7, 8, follow_symlinks=False), 0),
    "xattr": (lambda root: os.setxattr(root / TOOL, "user.x", b"1"), 0),
    "xattr of a directory": (lambda root: os.setxattr(root / "usr", "user.x", b"1"), 0),
    "trusted xattr": (lambda root: os.setxattr(root / TOOL, "trusted.x", b"1"), 0),
    "acl": (lambda root: os.setxattr(root / TOOL, "system.posix_acl_access", ACCESS_ACL), 0),
    "device for a file": (lambda root: replace_by_device(root / TOOL), 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen(repository: Repository, source: Path, change: str) -> None:
    ingest(repository, source)
    before = root_of(repository)
    function, read = CHANGES[change]
    function(source)
    reingest(repository, source, read)
    assert (root_of(repository) == before) == (change == "time alone")


@pytest.mark.root
@pytest.mark.parametrize("change", ROOT_CHANGES)
def test_each_change_by_root_is_seen(
    any_repository: Repository, source: Path, change: str
) -> None:
    ingest(any_repository, source)
    before = root_of(any_repository)
    function, read = ROOT_CHANGES[change]
    function(source)
    reingest(any_repository, source, read)
    assert root_of(any_repository) != before


def test_young_files_are_read_again(repository: Repository, tmp_path: Path) -> None:
    """What changes within one tick of the clock may show the same times as before."""
    source = make_small_tree(tmp_path / "source")
    _, first = ingest(repository, source)
    _, second = ingest(repository, source)
    assert first.read_files == second.read_files == REGULAR_FILES
    settle(source)
    ingest(repository, source)
    _, last = ingest(repository, source)
    assert last.read_files == 0


def test_a_file_that_changes_right_after_it_was_read(
    repository: Repository, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for content in (b"one", b"two", b"abc", b"xyz"):
        write(source / "file", content)
        ingest(repository, source)
        check_out(repository, tmp_path / content.decode())
        assert (tmp_path / content.decode() / "file").read_bytes() == content


@pytest.mark.parametrize(
    "modifiers", [Modifiers(owner_uid=0), Modifiers(owner_gid=0), Modifiers(xattrs=False)]
)
def test_other_modifiers_do_not_share_what_is_known(
    repository: Repository, source: Path, modifiers: Modifiers
) -> None:
    ingest(repository, source)
    ingest(repository, source, "modified", modifiers)
    _, taken = ingest(repository, source, "modified", modifiers)
    assert taken.read_files == 0
    with new_repository(source.parent / "fresh", repository.config.mode) as fresh:
        ingest(fresh, source, "main", modifiers)
        assert root_of(repository, "modified") == root_of(fresh)
    # The record is one a directory: the other way of looking at it starts anew.
    _, taken = ingest(repository, source)
    assert taken.read_files == REGULAR_FILES
    assert root_of(repository) == root_of(repository, "main^")


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("consume", [False, True])
def test_modifiers(tmp_path: Path, mode: str, *, consume: bool) -> None:
    source = make_privileged_tree(tmp_path / "source")
    expected = {
        path: entry._replace(uid=0, gid=50, xattrs=()) for path, entry in list_tree(source).items()
    }
    with new_repository(tmp_path / "repo", mode) as repository:
        modifiers = Modifiers(owner_uid=0, owner_gid=50, xattrs=False)
        ingest(repository, source, "main", modifiers, consume=consume)
        assert problems_of(repository) == []
        check_out(repository, tmp_path / "out")
    assert list_tree(tmp_path / "out") == expected


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
def test_consumed_objects_are_like_others(tmp_path: Path, mode: str) -> None:
    """The object's inode carries what the mode says, wherever it came from."""
    source = make_privileged_tree(tmp_path / "source")
    expected = list_tree(source)
    with new_repository(tmp_path / "copied", mode) as copied:
        ingest(copied, source)
    with new_repository(tmp_path / "consumed", mode) as consumed:
        ingest(consumed, source, consume=True)
        assert problems_of(consumed) == []
        check_out(consumed, tmp_path / "out")
        check_out(consumed, tmp_path / "user", options=CheckoutOptions(user=True))
    assert list_tree(tmp_path / "out") == expected
    one, other = (list_tree(tmp_path / name / "objects") for name in ("copied", "consumed"))
    assert one == other


# ---- hardlink checkouts ----


def linked_checkout(repository: Repository, out: Path) -> None:
    user = repository.config.mode == "bare-user"
    check_out(repository, out, options=CheckoutOptions(user=user, require_hardlinks=True))


def test_a_hardlink_checkout_is_recognised(
    any_repository: Repository, source: Path, tmp_path: Path
) -> None:
    ingest(any_repository, source)
    linked_checkout(any_repository, tmp_path / "out")
    _, taken = ingest(any_repository, tmp_path / "out", "again")
    assert taken.read_files == 1, "only the empty file, which is no link, is read"
    assert taken.batch.object_files == []
    assert root_of(any_repository, "again") == root_of(any_repository)


@pytest.mark.root
def test_a_privileged_hardlink_checkout_is_recognised(
    repository: Repository, tmp_path: Path
) -> None:
    ingest(repository, make_privileged_tree(tmp_path / "source"))
    linked_checkout(repository, tmp_path / "out")
    _, taken = ingest(repository, tmp_path / "out", "again")
    assert (taken.read_bytes, taken.batch.object_files) == (0, [])
    assert root_of(repository, "again") == root_of(repository)


def test_a_link_that_was_written_to_is_read(
    any_repository: Repository, source: Path, tmp_path: Path
) -> None:
    ingest(any_repository, source)
    linked_checkout(any_repository, tmp_path / "out")
    (tmp_path / "out/usr/bin/tool").write_bytes(b"#!/bin/sh\necho evil\n")
    _, taken = ingest(any_repository, tmp_path / "out", "again")
    assert taken.read_files == 2
    check_out(any_repository, tmp_path / "again", "again")
    assert (tmp_path / "again/usr/bin/tool").read_bytes() == b"#!/bin/sh\necho evil\n"


@pytest.mark.root
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o700),
        lambda path: os.chown(path, 7, 8),
        lambda path: os.setxattr(path, "user.x", b"1"),
    ],
    ids=["mode", "owner", "xattr"],
)
def test_a_link_whose_metadata_changed_is_read(
    repository: Repository, source: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    ingest(repository, source)
    linked_checkout(repository, tmp_path / "out")
    change(tmp_path / "out/usr/bin/tool")
    _, taken = ingest(repository, tmp_path / "out", "again")
    assert taken.read_files == 2
    check_out(repository, tmp_path / "again", "again", CheckoutOptions(force_copy=True))
    assert list_tree(tmp_path / "again") == list_tree(tmp_path / "out")


# ---- what is not taken in ----


def test_sockets_are_skipped_and_told(any_repository: Repository, source: Path) -> None:
    expected = list_tree(source)
    make_socket(source / "etc/socket")
    with socket.socket(socket.AF_UNIX):
        for _ in range(2):
            _, taken = ingest(any_repository, source)
            assert taken.ingested.skipped == [b"etc/socket"]
    check_out(any_repository, source.parent / "out")
    assert list_tree(source.parent / "out") == expected


def test_attributes_that_a_mount_makes_up_are_left_out(
    repository: Repository, source: Path
) -> None:
    try:
        os.setxattr(source / TOOL, "user.ostreefs.object", b"x")
    except OSError:
        pytest.skip("the filesystem has no user xattrs")
    ingest(repository, source)
    with repository.index.snapshot() as snapshot:
        node = find_node(snapshot, root_of(repository), TOOL.encode())
    assert isinstance(node.item, RegularFile)
    assert node.item.xattrs == ()


def test_a_tree_that_holds_the_repository(tmp_path: Path) -> None:
    make_small_tree(tmp_path / "source")
    with new_repository(tmp_path / "source/repo", "bare-user") as repository:
        for consume in (False, True):
            with pytest.raises(StoreError):
                ingest(repository, tmp_path / "source", consume=consume)
        assert problems_of(repository) == []


def test_what_is_no_directory(repository: Repository, source: Path) -> None:
    for name, error in ((TOOL, NotADirectoryError), ("none", FileNotFoundError)):
        with pytest.raises(error) as caught:
            take_in(repository, source / name)
        assert os.fspath(caught.value.filename) in {str(source / name), source / name}


def test_an_empty_directory(any_repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir(mode=0o710)
    _, taken = ingest(any_repository, tmp_path / "source")
    assert taken.read_files == 0
    with any_repository.index.snapshot() as snapshot:
        root = find_node(snapshot, root_of(any_repository), b"/").item
    assert isinstance(root, Tree)
    assert (root.mode, root.entries) == (0o710, ())


def test_equal_files_share_one_object(repository: Repository, tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"source/{number}", b"equal")
    write(tmp_path / "source/other", b"equal", 0o755)
    _, taken = ingest(repository, tmp_path / "source")
    assert len(taken.batch.files) == len(taken.batch.object_files) == 2


def test_progress_counts_up(repository: Repository, source: Path) -> None:
    seen: list[tuple[int, int]] = []
    with repository.in_use(writing=True):
        ingest_directory(
            repository,
            source,
            Modifiers(),
            Batch(),
            progress=lambda files, size: seen.append((files, size)),
        )
    assert seen[-1][0] == REGULAR_FILES
    assert seen == sorted(seen)


def test_source_changed_names_the_whole_path(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.listxattr

    def grow(target: int | str, *, follow_symlinks: bool = True) -> list[str]:
        with (source / TOOL).open("ab") as file:
            file.write(b"more")
        return real(target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "listxattr", grow)
    with pytest.raises(SourceChangedError) as caught:
        ingest(repository, source)
    assert caught.value.path == os.fsencode(source / TOOL)
