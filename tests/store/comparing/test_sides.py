# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits and directories that are compared."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ostreefs_store.comparing.diff import diff_trees, is_change, without_xattrs
from ostreefs_store.comparing.sides import (
    CommitSide,
    DirectorySide,
    Side,
    join_objects,
    read_content,
)
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.model import RegularFile
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from tests.support.trees import ingest, make_small_tree, write


@pytest.fixture
def source(repository: Repository, tmp_path: Path) -> Path:
    """A small tree, which is committed as `main`."""
    path = make_small_tree(tmp_path / "source")
    ingest(repository, path)
    return path


def contents(repository: Repository, source: Path) -> dict[bytes, tuple[bytes, ...]]:
    """What differs between `main` and a directory: the contents before and now."""
    found = {}
    with repository.index.snapshot() as snapshot:
        sides: list[Side] = [
            CommitSide(repository, snapshot, "main"),
            DirectorySide(str(source), Modifiers()),
        ]
        for change in diff_trees(join_objects(*sides), sides[0].root, sides[1].root):
            found[change.path] = tuple(
                read_content(side, change.path, state.digest, state.item)
                for side, state in zip(sides, (change.old, change.new), strict=True)
                if state is not None and isinstance(state.item, RegularFile)
            )
    return found


def test_equal(repository: Repository, source: Path) -> None:
    assert contents(repository, source) == {}


def test_contents(repository: Repository, source: Path) -> None:
    write(source / "top", b"new at the top")
    write(source / "usr/lib/same", b"changed")
    write(source / "usr/share/same")
    (source / "usr/share/private").unlink()
    assert contents(repository, source) == {
        b"/top": (b"new at the top",),
        b"/usr/lib/same": (b"same content", b"changed"),
        b"/usr/share/private": (b"secret",),
        b"/usr/share/same": (b"same content", b""),
    }


def test_one_source_of_objects_is_enough(repository: Repository, source: Path) -> None:
    with repository.index.snapshot() as snapshot:
        sides = [CommitSide(repository, snapshot, "main") for _ in range(2)]
        assert join_objects(*sides) is snapshot
        assert sides[0].name == sides[1].name


def replace_by_link(path: Path) -> None:
    (path / "usr/lib/same").unlink()
    (path / "usr/lib/same").symlink_to("/etc/passwd")


def replace_above(path: Path) -> None:
    (path / "usr/lib").rename(path / "usr/lib2")
    (path / "usr/lib").symlink_to("lib2")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path / "usr/lib/same", b"same_content"),
        lambda path: write(path / "usr/lib/same", b"longer than it was"),
        lambda path: (path / "usr/lib/same").unlink(),
        lambda path: shutil.rmtree(path / "usr/lib"),
        replace_by_link,
        replace_above,
    ],
)
def test_what_changes_meanwhile(
    repository: Repository, source: Path, change: Callable[[Path], object]
) -> None:
    """It is said so; nothing outside the directory is ever read."""
    side = DirectorySide(str(source), Modifiers())
    with repository.index.snapshot() as snapshot:
        commit = CommitSide(repository, snapshot, "main")
        empty = DirectorySide(str(source / "etc/empty.d"), Modifiers())
        objects = join_objects(commit, empty)
        [found] = diff_trees(objects, empty.root, commit.root, [b"/usr/lib/same"])
    assert found.new is not None
    item = found.new.item
    assert isinstance(item, RegularFile)
    assert read_content(side, found.path, found.new.digest, item) == b"same content"
    change(source)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceChangedError):
        read_content(side, found.path, found.new.digest, item)
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_xattrs(repository: Repository, source: Path) -> None:
    os.setxattr(source / "usr/lib/same", "user.x", b"y")
    os.setxattr(source / "usr/share/same", "user.x", b"y")
    (source / "usr/share/same").chmod(0o600)
    with repository.index.snapshot() as snapshot:
        sides = CommitSide(repository, snapshot, "main"), DirectorySide(str(source), Modifiers())
        changes = list(diff_trees(join_objects(*sides), sides[0].root, sides[1].root))
    assert [change.aspects for change in changes] == [("xattrs",), ("mode", "xattrs")]
    stripped = [without_xattrs(change) for change in changes]
    assert [change.aspects for change in stripped] == [(), ("mode",)]
    assert [is_change(change) for change in stripped] == [False, True]
