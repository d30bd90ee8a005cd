# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees as the index stores them."""

import os
from pathlib import Path

import pytest

from ostreefs_store.codec import encode_tree, tree_digest
from ostreefs_store.errors import FormatError
from ostreefs_store.index import Index
from ostreefs_store.model import Digest, Tree, TreeEntry
from ostreefs_store.packing import pack, unpack
from ostreefs_store.repository import Repository
from tests.support.trees import ingest, list_tree, problems_of, write


def tree_of(count: int) -> bytes:
    entries = (TreeEntry(b"name%05d" % n, False, Digest(os.urandom(32))) for n in range(count))
    return encode_tree(Tree(0o755, 0, 0, (), tuple(entries)))


@pytest.mark.parametrize("count", [0, 1, 40, 50, 100, 1000, 20000])
def test_round_trip(count: int) -> None:
    encoded = tree_of(count)
    stored = pack(encoded)
    assert unpack(stored) == encoded
    assert unpack(encoded) == encoded
    assert len(stored) <= len(encoded)


@pytest.mark.parametrize(("count", "is_packed"), [(40, False), (60, False), (95, True)])
def test_only_what_saves_a_page_is_packed(count: int, *, is_packed: bool) -> None:
    encoded = tree_of(count)
    assert (pack(encoded) != encoded) == is_packed


def test_damaged_frames() -> None:
    stored = pack(tree_of(100))
    for damaged in (stored[:-1], stored[:5], b"\x28", b"\x28\xb5\x2f\xfd\xff" + b"x" * 50):
        with pytest.raises(FormatError):
            unpack(damaged)
        assert unpack(damaged, strict=False) == damaged


def test_a_frame_that_claims_to_be_huge_is_refused() -> None:
    huge = b"\x28\xb5\x2f\xfd" + bytes([0xE0]) + (2**50).to_bytes(8, "little") + b"\1\0\0"
    with pytest.raises(FormatError):
        unpack(huge)


def test_the_index_gives_what_it_was_given(tmp_path: Path) -> None:
    Index.create(tmp_path)
    index = Index.open(tmp_path, writable=True)
    trees = {tree_digest(encoded): encoded for encoded in map(tree_of, (3, 100, 500))}
    with index.transaction() as transaction:
        transaction.put_trees(trees.items())
    with index.snapshot() as snapshot:
        assert dict(snapshot.iter_objects("trees")) == trees
        assert {digest: snapshot.find_tree(digest) for digest in trees} == trees
    index.close()


def test_fsck_sees_a_damaged_frame(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(100):
        write(source / f"{number:04}", b"%d" % number)
    ingest(repository, source)
    assert list_tree(source)
    assert problems_of(repository) == []
    with repository.index.transaction() as transaction:
        [(digest, stored)] = list(transaction.items_from("trees"))
        assert stored[:1] == b"\x28"
        transaction.put("trees", digest, stored[:-20] + bytes(20))
    assert {problem.kind for problem in problems_of(repository)} >= {"tree"}
