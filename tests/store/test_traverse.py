# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding one's way in a commit."""

from pathlib import Path

import pytest

from ostreefs_store.codec import encode_tree, tree_digest
from ostreefs_store.errors import ObjectMissingError, PathNotFoundError
from ostreefs_store.model import Digest, RegularFile, Symlink, Tree, TreeEntry
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import (
    find_node,
    follow,
    iter_children,
    iter_history,
    iter_nodes,
    read_file_object,
    read_tree_object,
)
from tests.support.trees import ingest, list_tree, make_awkward_names, make_small_tree, root_of

NOBODY = Digest(b"\x11" * 32)


@pytest.fixture
def root(repository: Repository, tmp_path: Path) -> Digest:
    """The root of a committed tree."""
    make_small_tree(tmp_path / "source")
    make_awkward_names(tmp_path / "source/names")
    ingest(repository, tmp_path / "source")
    return root_of(repository)


def test_paths(repository: Repository, root: Digest) -> None:
    with repository.index.snapshot() as snapshot:
        for path in (b"", b"/", b".", b"//", b"/./"):
            node = find_node(snapshot, root, path)
            assert (node.path, node.digest) == (b"/", root)
        for path in (b"usr/bin/tool", b"/usr/bin/tool", b"//usr/./bin//tool"):
            node = find_node(snapshot, root, path)
            assert node.path == b"/usr/bin/tool"
            assert isinstance(node.item, RegularFile)
            assert node.item.mode == 0o755
        assert isinstance(find_node(snapshot, root, b"/bin").item, Symlink)
        assert isinstance(find_node(snapshot, root, b"/usr/bin/").item, Tree)


@pytest.mark.parametrize(
    "path", [b"none", b"/usr/none", b"/bin/tool", b"/usr/bin/tool/x", b"/..", b"usr/..", b"\xff"]
)
def test_paths_that_are_not_there(repository: Repository, root: Digest, path: bytes) -> None:
    with repository.index.snapshot() as snapshot, pytest.raises(PathNotFoundError) as caught:
        find_node(snapshot, root, path)
    assert caught.value.path == path


def test_every_node_once_parents_first(
    repository: Repository, root: Digest, tmp_path: Path
) -> None:
    with repository.index.snapshot() as snapshot:
        paths = [node.path for node in iter_nodes(snapshot, find_node(snapshot, root, b"/"))]
    expected = {b"/" if path == b"." else b"/" + path for path in list_tree(tmp_path / "source")}
    assert set(paths) == expected
    assert len(paths) == len(expected)
    assert [path.split(b"/") for path in paths[1:]] == sorted(p.split(b"/") for p in paths[1:])


def test_children(repository: Repository, root: Digest) -> None:
    with repository.index.snapshot() as snapshot:
        children = list(iter_children(snapshot, find_node(snapshot, root, b"/usr")))
        for child in children:
            assert find_node(snapshot, root, child.path) == child
    names = [child.path for child in children]
    assert names == sorted(names)
    assert b"/usr/bin" in names


def test_missing_objects_are_corruption(repository: Repository) -> None:
    broken = Tree(0o755, 0, 0, (), (TreeEntry(b"file", is_tree=False, digest=NOBODY),))
    encoded = encode_tree(broken)
    with repository.index.transaction() as transaction:
        transaction.put_trees([(tree_digest(encoded), encoded)])
    with repository.index.snapshot() as snapshot:
        node = find_node(snapshot, tree_digest(encoded), b"/")
        with pytest.raises(ObjectMissingError):
            list(iter_children(snapshot, node))
        with pytest.raises(ObjectMissingError):
            find_node(snapshot, tree_digest(encoded), b"file")
        with pytest.raises(ObjectMissingError):
            read_tree_object(snapshot, NOBODY)
        with pytest.raises(ObjectMissingError):
            read_file_object(snapshot, NOBODY)


def test_history(repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    commits = [ingest(repository, source)[0] for _ in range(3)]
    with repository.index.snapshot() as snapshot:
        assert [commit for commit, _ in iter_history(snapshot, commits[2])] == commits[::-1]
        with pytest.raises(ObjectMissingError):
            list(iter_history(snapshot, NOBODY))


def test_links_are_followed(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "usr/lib").mkdir(parents=True)
    (source / "usr/lib/file").touch()
    links = {"lib": "usr/lib", "usr/up": "../../../lib", "a": "/lib/b", "usr/lib/b": "file"}
    for name, target in {**links, "loop": "loop"}.items():
        (source / name).symlink_to(target)
    ingest(repository, source, "links")
    root = root_of(repository, "links")
    with repository.index.snapshot() as snapshot:
        for path, names, is_tree in (
            ("/", "", True),
            ("lib/", "usr/lib", True),
            ("/usr/up/./b", "usr/lib/file", False),
            ("a", "usr/lib/file", False),
            ("lib/../up/../../..", "", True),
            ("lib/none", "usr/lib/none", None),
            ("none/../lib/none/deep", "usr/lib/none/deep", None),
            ("none/x/..", "none", None),
        ):
            place = follow(snapshot, root, path.encode())
            assert b"/".join(place.names) == names.encode(), path
            assert (None if place.entry is None else place.entry[0]) == is_tree, path
        for path, words in (("a/x", "/usr/lib/file is not a directory"), ("loop", "too many")):
            with pytest.raises(PathNotFoundError, match=words):
                follow(snapshot, root, path.encode())
