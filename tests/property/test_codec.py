# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every object has exactly one encoding, and no bytes break a decoder."""

from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostreefs_store import codec
from ostreefs_store.errors import FormatError
from ostreefs_store.model import Commit, Digest, File, RegularFile, Tree
from tests.property import strategies

DECODERS: list[tuple[Callable[[bytes], object], Callable[..., bytes]]] = [
    (codec.decode_file, codec.encode_file),
    (codec.decode_tree, codec.encode_tree),
    (codec.decode_commit, codec.encode_commit),
]
any_object = strategies.files | strategies.trees | strategies.commits


def encode(item: File | Tree | Commit) -> bytes:
    if isinstance(item, Tree):
        return codec.encode_tree(item)
    return codec.encode_commit(item) if isinstance(item, Commit) else codec.encode_file(item)


def assert_rejected_or_canonical(encoded: bytes) -> None:
    """Whatever a decoder accepts encodes to the very bytes it was given."""
    for decode, encode_again in DECODERS:
        with suppress(FormatError):
            assert encode_again(decode(encoded)) == encoded


@given(strategies.files)
def test_files(file: File) -> None:
    encoded = codec.encode_file(file)
    assert codec.decode_file(encoded) == codec.read_file(encoded) == file


@given(st.lists(st.tuples(strategies.regular_files, strategies.regular_files), max_size=12))
def test_regular_files_under_other_heads(pairs: list[tuple[RegularFile, RegularFile]]) -> None:
    """The bytes that were put together are those of the file with its new metadata."""
    heads = codec.RegularHeads()
    for old, new in [*pairs, *pairs]:
        expected = msgspec.structs.replace(new, content=old.content, size=old.size)
        found = heads.renew(codec.encode_file(old), (new.mode, new.uid, new.gid), new.xattrs)
        assert found == codec.encode_file(expected)


@given(strategies.files)
def test_nothing_else_gets_another_head(file: File) -> None:
    heads = codec.RegularHeads()
    regular = RegularFile(0o644, 0, 0, (), Digest(bytes(32)), 1)
    assert heads.renew(codec.encode_file(regular), (0, 0, 0), ()) is not None
    is_regular = isinstance(file, RegularFile)
    assert (heads.renew(codec.encode_file(file), (0, 0, 0), ()) is not None) == is_regular


@given(strategies.trees)
def test_trees(tree: Tree) -> None:
    encoded = codec.encode_tree(tree)
    assert codec.decode_tree(encoded) == codec.read_tree(encoded) == tree


@given(strategies.commits)
def test_commits(commit: Commit) -> None:
    assert codec.decode_commit(codec.encode_commit(commit)) == commit


@given(any_object, any_object)
def test_different_objects_have_different_bytes(
    one: File | Tree | Commit, other: File | Tree | Commit
) -> None:
    if type(one) is type(other):
        assert (one == other) == (encode(one) == encode(other))


@given(st.binary(max_size=200))
def test_any_bytes(encoded: bytes) -> None:
    assert_rejected_or_canonical(encoded)


@given(any_object, st.data())
def test_flipped_bits(item: File | Tree | Commit, data: st.DataObject) -> None:
    encoded = bytearray(encode(item))
    position = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[position // 8] ^= 1 << position % 8
    assert_rejected_or_canonical(bytes(encoded))


@given(any_object, st.data())
def test_spliced_bytes(item: File | Tree | Commit, data: st.DataObject) -> None:
    encoded = encode(item)
    start = data.draw(st.integers(0, len(encoded)))
    end = data.draw(st.integers(start, len(encoded)))
    assert_rejected_or_canonical(
        encoded[:start] + data.draw(st.binary(max_size=9)) + encoded[end:]
    )


@given(any_object, st.binary(min_size=1, max_size=9))
def test_trailing_bytes(item: File | Tree | Commit, more: bytes) -> None:
    for decode, _ in DECODERS:
        with pytest.raises(FormatError):
            decode(encode(item) + more)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda below: st.lists(below, max_size=7) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=30,
)


@given(json_like)
def test_other_msgpack(value: object) -> None:
    assert_rejected_or_canonical(msgspec.msgpack.encode(value))


@given(strategies.files, st.sampled_from(range(5)))
def test_longer_forms_of_numbers_are_rejected(file: File, field: int) -> None:
    """A number in more bytes than it needs decodes to the same value: it must not pass."""
    encoded = codec.encode_file(file)
    tag = encoded[1]
    assert tag < 5
    longer = encoded[:1] + b"\xcc" + bytes([tag]) + encoded[2:]
    with pytest.raises(FormatError):
        codec.decode_file(longer)
    assert field < 5
