# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees laid over one another, on metadata alone."""

from pathlib import Path

import pytest

from ostreefs_store.batch import Batch
from ostreefs_store.committing.merge import Merger, Watcher
from ostreefs_store.errors import TreeConflictError
from ostreefs_store.index import Snapshot
from ostreefs_store.layer import WHITEOUT, Item, Layer, WholeTree, nest
from ostreefs_store.model import Digest, Tree, TreeEntry, TreeHead
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node, iter_nodes
from tests.support.trees import take_in, write


def tree_of(repository: Repository, batch: Batch, root: Path, files: dict[str, str]) -> Digest:
    root.mkdir(exist_ok=True)
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

    def tree(self, files: dict[str, str], links: dict[str, str] | None = None) -> Digest:
        self._count += 1
        batch = Batch()
        place = self._place / str(self._count)
        place.mkdir()
        for name, target in (links or {}).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to(target)
        root = tree_of(self._repository, batch, place, files)
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

    def install(
        self, below: Digest, above: Layer | WholeTree, watcher: Watcher | None = None
    ) -> Digest:
        batch = Batch()
        with self._repository.index.snapshot() as snapshot:
            merger = Merger(snapshot, batch, replace=False, as_installed=True, watcher=watcher)
            root = merger.lay(below, above)
        publish(self._repository, batch)
        return root

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


# ---- as packages are installed


def test_links_to_directories_are_followed(merged: Merged) -> None:
    links = {"lib": "usr/lib", "usr/lib/x": "../../opt/x", "out": "/../opt", "self": "self/a"}
    below = merged.tree({"usr/lib/a": "1", "opt/x/b": "1"}, links)
    above = {"lib/x/c": "2", "lib/new/d": "2", "out/e": "2"}
    for item in (WholeTree(merged.tree(above)), nest(merged_layer(merged, above), ())):
        root = merged.install(below, item)
        assert merged.paths(root) - merged.paths(below) == {
            *(b"/opt/x/c", b"/usr/lib/new", b"/usr/lib/new/d", b"/opt/e")
        }
    with pytest.raises(TreeConflictError, match="self is a file"):
        merged.install(below, WholeTree(merged.tree({"self/a": "3"})))
    with pytest.raises(TreeConflictError, match="lib is a file"):
        merged.lay(below, WholeTree(merged.tree(above)))


def merged_layer(merged: Merged, files: dict[str, str]) -> Layer:
    """A layer of its own spelling for each directory."""
    tree = merged.tree(files)
    top = Layer()
    for path in files:
        *folders, name = path.encode().split(b"/")
        layer = top
        for folder in folders:
            below = layer.entries.setdefault(folder, Layer())
            assert isinstance(below, Layer)
            layer = below
        layer.entries[name] = merged.file(tree, path.encode())
    return top


def test_directories_that_are_there_stay_as_they_are(merged: Merged) -> None:
    below = merged.tree({"a/x": "1"})
    head = TreeHead(0o700, 7, 8, ())
    layer = Layer(head, entries={b"a": Layer(head), b"new": Layer(head)})
    root = merged.install(below, layer)
    assert merged.head(root, b"/") == merged.head(below, b"/")
    assert merged.head(root, b"a") == merged.head(below, b"a")
    assert merged.head(root, b"new") == (0o700, 7, 8)


def test_a_watcher_decides(merged: Merged) -> None:
    seen: list[tuple[bytes, bool]] = []

    class Refusing:
        def may_place(self, path: bytes, found: TreeEntry | None, item: Item) -> bool:
            assert isinstance(item, bytes | Layer | WholeTree)
            seen.append((path, found is not None))
            return found is None

    below = merged.tree({"a/x": "1", "a/same": "1", "f": "1", "d/y": "1"})
    above = merged.tree(
        {"a/x": "2", "a/same": "1", "a/new": "2", "f/y": "2", "d": "2", "n/z": "2"}
    )
    root = merged.install(below, WholeTree(above), Refusing())
    assert sorted(seen) == [
        *((b"a/new", False), (b"a/x", True), (b"d", True), (b"f", True), (b"n", False))
    ]
    assert merged.paths(root) - merged.paths(below) == {b"/a/new", b"/n", b"/n/z"}
    assert merged.file(root, b"a/x") == merged.file(below, b"a/x")
