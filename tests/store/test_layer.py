# SPDX-License-Identifier: LGPL-2.1-or-later
"""Layers that lie on nothing."""

from ostreefs_store.codec import decode_tree, encode_tree, tree_digest
from ostreefs_store.layer import DEFAULT_HEAD, WHITEOUT, Layer, WholeTree, flatten
from ostreefs_store.model import Digest, Tree, TreeEntry, TreeHead

FILE = Digest(b"f" * 32)
WHOLE = Digest(b"t" * 32)


def test_flatten() -> None:
    below = Layer(entries={b"file": FILE, b"gone": WHITEOUT})
    top = Layer(TreeHead(0o750, 1, 2, ((b"user.a", b"x"),)), opaque=True)
    top.entries = {b"z": FILE, b"implied": below, b"b": WholeTree(WHOLE), b"gone": WHITEOUT}
    root, trees = flatten(top)
    implied = Tree(0o755, 0, 0, (), (TreeEntry(b"file", False, FILE),))
    encoded = encode_tree(implied)
    assert trees[tree_digest(encoded)] == encoded
    assert decode_tree(trees[root]) == Tree(
        0o750,
        1,
        2,
        ((b"user.a", b"x"),),
        (
            TreeEntry(b"b", True, WHOLE),
            TreeEntry(b"implied", True, tree_digest(encoded)),
            TreeEntry(b"z", False, FILE),
        ),
    )
    assert len(trees) == 2


def test_nothing_at_all() -> None:
    root, trees = flatten(Layer())
    assert decode_tree(trees[root]) == Tree(DEFAULT_HEAD.mode, 0, 0, (), ())


def test_a_layer_deeper_than_the_stack() -> None:
    top = layer = Layer()
    for _ in range(5000):
        following = Layer()
        layer.entries[b"d"] = following
        layer = following
    layer.entries[b"file"] = FILE
    _, trees = flatten(top)
    assert len(trees) == 5001
