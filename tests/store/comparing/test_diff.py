# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between two trees."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostreefs_store.codec import Entry, encode_tree, tree_digest
from ostreefs_store.comparing.diff import compare, diff_trees, differing_entries
from ostreefs_store.comparing.diffstat import Count, Stats
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Tree,
    TreeEntry,
    TreeHead,
)
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, put_tree
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


# ---- what was modified ----

REGULAR = RegularFile(0o644, 0, 0, (), Digest(b"c" * 32), 5)
LINK = Symlink(0, 0, (), b"target")
DEVICE = CharDevice(0o600, 0, 0, (), 1, 3)
DIRECTORY = TreeHead(0o755, 0, 0, ())
FIFO = Fifo(0o600, 0, 0, ())
XATTRS = ((b"user.x", b""),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (REGULAR, msgspec.structs.replace(REGULAR, content=Digest(b"d" * 32)), ["content"]),
        (REGULAR, msgspec.structs.replace(REGULAR, mode=0o600), ["mode"]),
        (REGULAR, msgspec.structs.replace(REGULAR, uid=1), ["owner"]),
        (REGULAR, msgspec.structs.replace(REGULAR, gid=1), ["owner"]),
        (REGULAR, msgspec.structs.replace(REGULAR, xattrs=XATTRS), ["xattrs"]),
        (
            REGULAR,
            RegularFile(0o600, 1, 1, XATTRS, Digest(b"d" * 32), 6),
            ["content", "size", "mode", "owner", "xattrs"],
        ),
        (LINK, msgspec.structs.replace(LINK, target=b"x"), ["target"]),
        (LINK, msgspec.structs.replace(LINK, uid=1), ["owner"]),
        (DEVICE, msgspec.structs.replace(DEVICE, minor=4), ["device"]),
        (DEVICE, msgspec.structs.replace(DEVICE, mode=0o660), ["mode"]),
        (DEVICE, BlockDevice(0o600, 0, 0, (), 1, 3), ["type"]),
        (DIRECTORY, msgspec.structs.replace(DIRECTORY, mode=0o700), ["mode"]),
        (FIFO, msgspec.structs.replace(FIFO, mode=0o700), ["mode"]),
        (REGULAR, LINK, ["type"]),
        (REGULAR, FIFO, ["type", "mode"]),
        (FIFO, Fifo(0o600, 0, 0, ()), []),
    ],
)
def test_compare(old: TreeHead | File, new: TreeHead | File, expected: list[str]) -> None:
    assert list(compare(old, new)) == list(compare(new, old)) == expected


# ---- paths ----


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([b"/"], ["D /a/b", "A /c", "A /c/d", "M /e", "A /f"]),
        ([], ["D /a/b", "A /c", "A /c/d", "M /e", "A /f"]),
        ([b"c"], ["A /c", "A /c/d"]),
        ([b"/c/d/"], ["A /c/d"]),
        ([b"e", b"a"], ["D /a/b", "M /e"]),
        ([b"a", b"a/b", b"./a//b"], ["D /a/b"]),
        ([b"a/b"], ["D /a/b"]),
        ([b"a/same", b"a/b"], ["D /a/b"]),
        ([b"a/same"], []),
        ([b"e", b""], ["D /a/b", "A /c", "A /c/d", "M /e", "A /f"]),
    ],
)
def test_paths(repository: Repository, paths: list[bytes], expected: list[str]) -> None:
    empty = EMPTY_FILE
    other = msgspec.structs.replace(EMPTY_FILE, mode=0o600)
    with repository.index.transaction() as transaction:
        old = put_tree(transaction, {b"a": {b"b": empty, b"same": empty}, b"e": empty})
        new = put_tree(
            transaction, {b"a": {b"same": empty}, b"c": {b"d": empty}, b"e": other, b"f": other}
        )
    with repository.index.snapshot() as snapshot:
        changes = list(diff_trees(snapshot, old, new, paths))
        assert [f"{change.kind} {change.path.decode()}" for change in changes] == expected
        for missing in (b"x", b"e/x", b"a/b/c"):
            with pytest.raises(PathNotFoundError):
                list(diff_trees(snapshot, old, new, [*paths, missing]))


# ---- large and deep ----


def entry(number: int, value: int) -> Entry:
    return b"%05d" % number, False, Digest(bytes([value]) * 32)


@given(
    st.dictionaries(st.integers(0, 3000), st.integers(0, 2), max_size=40),
    st.integers(0, 3000),
    st.integers(0, 3000),
)
def test_differing_entries(changes: dict[int, int], start: int, end: int) -> None:
    """As a comparison of dictionaries has it, also across runs that are skipped."""
    before = {number: entry(number, 0) for number in range(start, end)}
    after = dict(before)
    for number, value in changes.items():
        if value == 2:
            after.pop(number, None)
        else:
            after[number] = entry(number, value)
    found = list(differing_entries(list(before.values()), [after[n] for n in sorted(after)]))
    assert found == [
        (before.get(number), after.get(number))
        for number in sorted(before.keys() | after.keys())
        if before.get(number) != after.get(number)
    ]


def test_deep_trees(repository: Repository) -> None:
    """Deeper than a recursive function could follow."""
    depth = 3000
    with repository.index.transaction() as transaction:
        roots = []
        for bottom in ({b"f": EMPTY_FILE}, {}):
            tree = put_tree(transaction, bottom)
            for _ in range(depth):
                encoded = encode_tree(Tree(0o755, 0, 0, (), (TreeEntry(b"d", True, tree),)))
                tree = tree_digest(encoded)
                transaction.put_trees([(tree, encoded)])
            roots.append(tree)
    with repository.index.snapshot() as snapshot:
        [change] = diff_trees(snapshot, roots[0], roots[1])
    assert (change.kind, change.path) == ("D", b"/d" * depth + b"/f")


# ---- statistics ----


def test_stats(repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source, "old")
    write(source / "usr/lib/same", b"longer than it was before")
    write(source / "usr/new.d/new", b"new")
    (source / "usr/bin/tool").chmod(0o700)
    (source / "usr/lib").chmod(0o700)
    shutil.rmtree(source / "usr/read-only")
    (source / "bin").unlink()
    (source / "bin").symlink_to("elsewhere")
    ingest(repository, source, "new")
    stats = Stats()
    with repository.index.snapshot() as snapshot:
        for change in diff_trees(snapshot, root_of(repository, "old"), root_of(repository, "new")):
            stats.add(change)
    assert stats.added == Count(1, 1, 3)
    assert stats.deleted == Count(1, 1, len(b"in a read-only directory"))
    assert (stats.modified.files, stats.modified.directories) == (3, 1)
    assert stats.aspects == {"target": 1, "content": 1, "size": 1, "mode": 2}
    assert stats.metadata_only == 2
    assert (stats.old_size, stats.new_size) == (12, 25)
    assert stats.growth == 3 - 24 + 25 - 12
