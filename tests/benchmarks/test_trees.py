# SPDX-License-Identifier: LGPL-2.1-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.trees import list_files, make_tree, write_changed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree", directories=2, files_each=100)
    return tmp_path / "tree"


def test_files_are_listed_by_directory_without_links(tree: Path) -> None:
    (tree / "d0000/link").symlink_to("f00000")
    files = list_files(tree)
    assert len(files) == 200
    assert files[:2] == ["d0000/f00000", "d0000/f00001"]
    assert files == sorted(files)


def test_changed_files_keep_their_modes_and_grow_in_place(tree: Path, tmp_path: Path) -> None:
    (tree / "d0000").chmod(0o750)
    (tree / "d0000/f00001").chmod(0o640)
    target = tmp_path / "changed"
    changed = target / "d0000/f00001"
    write_changed(tree, ["d0000/f00001"], target, "one\n")
    inode = changed.stat().st_ino
    write_changed(tree, ["d0000/f00001"], target, "two\n")
    assert changed.read_bytes() == b"0/1\none\ntwo\n"
    assert changed.stat().st_ino == inode
    assert changed.stat().st_mode & 0o7777 == 0o640
    assert changed.parent.stat().st_mode & 0o7777 == 0o750
    assert list_files(target) == ["d0000/f00001"]
