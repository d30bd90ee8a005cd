# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees laid over one another, on metadata alone."""

from pathlib import Path

import pytest

from ostreefs_store.batch import Batch
from ostreefs_store.committing.merge import Merger
from ostreefs_store.errors import TreeConflictError
from ostreefs_store.index import Snapshot
from ostreefs_store.layer import WHITEOUT, Layer, WholeTree
from ostreefs_store.model import Digest, Tree, TreeHead
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node, iter_nodes
from tests.support.trees import take_in, write


def tree_of(repository: Repository, batch: Batch, root: Path, files: dict[str, str]) -> Digest:
    root.mkdir()
    for name, text in files.items():
        write(root / name, text.encode())
    taken = take_in(repository, root)
    for own, other in ((batch.files, taken.batch.files), (batch.trees, taken.batch.trees)):
        own.update(other)
    return taken.root


def publish(repository: Repository, batch: Batch) -> None:
    with repository.index.transaction() as transaction:
        batch.put_into(transaction)


def paths(snapshot: Snapshot, root: Digest) -> set[bytes]:
    return {node.path for node in iter_nodes(snapshot, find_node(snapshot, root, b"/"))} - {b"/"}


class Merged:
    """Two trees in a repository, and what comes of laying one over the other."""

    def __init__(self, repository: Repository, place: Path) -> None:
        self._repository = repository
        self._place = place
        self._count = 0

    def tree(self, files: dict[str, str]) -> Digest:
        self._count += 1
        batch = Batch()
        root = tree_of(self._repository, batch, self._place / str(self._count), files)
        publish(self._repository, batch)
        return root

    def lay(
        self, below: Digest | None, above: Layer | WholeTree, *, replace: bool = False
    ) -> tuple[Digest, Batch]:
        batch = Batch()
        with self._repository.index.snapshot() as snapshot:
            root = Merger(snapshot, batch, replace=replace).lay(below, above)
        publish(self._repository, batch)
        return root, batch

    def paths(self, root: Digest) -> set[bytes]:
        with self._repository.index.snapshot() as snapshot:
            return paths(snapshot, root)

    def file(self, root: Digest, path: bytes) -> Digest:
        with self._repository.index.snapshot() as snapshot:
            return find_node(snapshot, root, path).digest

    def head(self, root: Digest, path: bytes) -> tuple[int, int, int]:
        with self._repository.index.snapshot() as snapshot:
            item = find_node(snapshot, root, path).item
        assert isinstance(item, Tree)
        return item.mode, item.uid, item.gid


@pytest.fixture
def merged(repository: Repository, tmp_path: Path) -> Merged:
    return Merged(repository, tmp_path)


def test_the_later_tree_wins_and_directories_are_joined(merged: Merged) -> None:
    below = merged.tree({"a/x": "old", "a/y": "kept", "b/c/d": "kept", "f": "old"})
    above = merged.tree({"a/x": "new", "a/z": "added", "f": "new", "new/one": "1"})
    root, batch = merged.lay(below, WholeTree(above))
    assert merged.paths(root) == {
        b"/a", b"/a/x", b"/a/y", b"/a/z", b"/b", b"/b/c", b"/b/c/d", b"/f", b"/new", b"/new/one",
    }  # fmt: skip
    assert merged.file(root, b"a/x") == merged.file(above, b"a/x")
    assert merged.file(root, b"a/y") == merged.file(below, b"a/y")
    assert merged.file(root, b"f") == merged.file(above, b"f")
    assert set(batch.trees) == {root, merged.file(root, b"a")}, "nothing else was made"


def test_equal_trees_are_not_descended_into(
    merged: Merged, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{d}/{n}": f"{d}{n}" for d in "abcdef" for n in range(20)}
    below = merged.tree(files)
    above = merged.tree({**files, "c/7": "another"})
    read: list[Digest] = []
    real = Batch.read_tree

    def counted(batch: Batch, snapshot: Snapshot, digest: Digest) -> Tree:
        read.append(digest)
        return real(batch, snapshot, digest)

    monkeypatch.setattr(Batch, "read_tree", counted)
    root, batch = merged.lay(below, WholeTree(above))
    assert root == above
    assert len(read) == 4, "the root and c, on either side"
    assert batch.trees == {}
    assert merged.lay(below, WholeTree(below))[0] == below


def test_on_nothing(merged: Merged) -> None:
    tree = merged.tree({"a/x": "1"})
    assert merged.lay(None, WholeTree(tree))[0] == tree
    root, _ = merged.lay(None, Layer(entries={b"sub": WholeTree(tree), b"gone": WHITEOUT}))
    assert merged.paths(root) == {b"/sub", b"/sub/a", b"/sub/a/x"}
    assert merged.head(root, b"/") == (0o755, 0, 0)


@pytest.mark.parametrize("file_above", [True, False])
def test_a_file_and_a_directory_of_one_name(merged: Merged, *, file_above: bool) -> None:
    file, directory = merged.tree({"p/x": "file"}), merged.tree({"p/x/inside": "directory"})
    below, above = (directory, file) if file_above else (file, directory)
    with pytest.raises(TreeConflictError) as caught:
        merged.lay(below, WholeTree(above))
    assert (caught.value.path, caught.value.is_tree) == (b"p/x", not file_above)
    root, _ = merged.lay(below, WholeTree(above), replace=True)
    assert root == above


def test_layers(merged: Merged) -> None:
    below = merged.tree({"a/x": "1", "a/y": "2", "b/x": "3", "b/sub/y": "4", "c/x": "5"})
    new = merged.file(merged.tree({"n": "new"}), b"n")
    layer = Layer(
        entries={
            b"a": Layer(entries={b"x": WHITEOUT, b"none": WHITEOUT, b"n": new}),
            b"b": Layer(TreeHead(0o700, 3, 4, ()), opaque=True, entries={b"n": new}),
            b"c": WHITEOUT,
            b"d": Layer(entries={b"e": Layer(entries={b"n": new})}),
        }
    )
    root, _ = merged.lay(below, layer, replace=True)
    assert merged.paths(root) == {
        b"/a", b"/a/y", b"/a/n", b"/b", b"/b/n", b"/d", b"/d/e", b"/d/e/n",
    }  # fmt: skip
    assert merged.head(root, b"b") == (0o700, 3, 4)
    assert merged.head(root, b"a") == merged.head(below, b"a"), "implied: it keeps its own"
    assert merged.head(root, b"d/e") == (0o755, 0, 0)


def test_a_whiteout_of_nothing_changes_nothing(merged: Merged) -> None:
    below = merged.tree({"a/x": "1"})
    layer = Layer(entries={b"none": WHITEOUT, b"a": Layer(entries={b"none": WHITEOUT})})
    assert merged.lay(below, layer)[0] == below


def test_no_tree_is_too_deep(merged: Merged) -> None:
    new = merged.file(merged.tree({"n": "new"}), b"n")
    bottom = Layer(entries={b"n": new})
    for _ in range(3000):
        bottom = Layer(entries={b"d": bottom})
    once, _ = merged.lay(None, bottom)
    twice, batch = merged.lay(once, bottom)
    assert twice == once
    assert batch.trees == {}
