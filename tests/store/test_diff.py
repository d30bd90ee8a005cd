# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between two trees."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ostreefs_store.diff import diff_trees
from ostreefs_store.repository import Repository
from tests.support.trees import ingest, make_small_tree, root_of, write


def replace_by_directory(path: Path) -> None:
    path.unlink()
    write(path / "inside", b"x")


def replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    write(path, b"x")


CASES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "nothing": (lambda root: None, []),
    "content": (lambda root: write(root / "usr/lib/same", b"x"), ["M /usr/lib/same"]),
    "mode": (lambda root: (root / "usr/bin/tool").chmod(0o700), ["M /usr/bin/tool"]),
    "mode of a directory": (lambda root: (root / "usr/lib").chmod(0o700), ["M /usr/lib"]),
    "mode of the root": (lambda root: root.chmod(0o700), ["M /"]),
    "added": (lambda root: write(root / "a/b/c", b"x"), ["A /a", "A /a/b", "A /a/b/c"]),
    "deleted": (lambda root: (root / "etc/empty").unlink(), ["D /etc/empty"]),
    "deleted directory": (
        lambda root: shutil.rmtree(root / "usr/lib"),
        ["D /usr/lib", "D /usr/lib/libtool.so", "D /usr/lib/same"],
    ),
    "renamed": (
        lambda root: (root / "usr/lib").rename(root / "lib"),
        [
            "A /lib",
            "A /lib/libtool.so",
            "A /lib/same",
            "D /usr/lib",
            "D /usr/lib/libtool.so",
            "D /usr/lib/same",
        ],
    ),
    "directory for a file": (
        lambda root: replace_by_directory(root / "usr/bin/tool"),
        ["D /usr/bin/tool", "A /usr/bin/tool", "A /usr/bin/tool/inside"],
    ),
    "file for a directory": (
        lambda root: replace_by_file(root / "usr/bin"),
        ["D /usr/bin", "D /usr/bin/tool", "A /usr/bin"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_diff(repository: Repository, tmp_path: Path, case: str) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source, "old")
    function, expected = CASES[case]
    function(source)
    ingest(repository, source, "new")
    old, new = root_of(repository, "old"), root_of(repository, "new")
    with repository.index.snapshot() as snapshot:
        changes = list(diff_trees(snapshot, old, new))
        back = list(diff_trees(snapshot, new, old))
    assert [f"{change.kind} {change.path.decode()}" for change in changes] == expected
    for change in changes:
        assert (change.old is None, change.new is None) == (change.kind == "A", change.kind == "D")
    swapped = {"A": "D", "D": "A", "M": "M"}
    assert sorted((swapped[c.kind], c.path) for c in back) == sorted(
        (c.kind, c.path) for c in changes
    )
