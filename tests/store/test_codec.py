# SPDX-License-Identifier: LGPL-2.1-or-later
"""Canonical bytes and digests: pinned, as docs/format.md documents them."""

import re
from collections.abc import Callable

import msgspec
import pytest
from blake3 import blake3

from ostreefs_store import codec
from ostreefs_store.errors import FormatError
from ostreefs_store.model import (
    EMPTY_CONTENT,
    BlockDevice,
    CharDevice,
    Commit,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Tree,
    TreeEntry,
    TreeHead,
)
from tests.support.project import ROOT

HELLO = Digest(bytes.fromhex("8e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99"))
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

PLAIN = RegularFile(0o644, 0, 0, (), HELLO, 6)
PLAIN_DIGEST = Digest(
    bytes.fromhex("ddaacb6c252aa09e1f940d14723d0d3989e7e7bee8155ccad0b37c7d229c1c07")
)
EMPTY_TREE = Tree(0o755, 0, 0, (), ())
EMPTY_TREE_DIGEST = Digest(
    bytes.fromhex("fd2c4bfd066e8112c894935f3e4a181f05df8f5a984c27012e9b5fd14875a7ea")
)
TREE_DIGEST = Digest(
    bytes.fromhex("9724e375e47430330976c165fd5c60fb083a6a192afc62555194e9d8ae8ebe07")
)
COMMIT = Commit(TREE_DIGEST, (), 1700000000, "Subject", "", {})
COMMIT_ID = Digest(
    bytes.fromhex("d1793395471543b28905717abda2ab5ec4d5df288e86c3da8dce0ef7ba8487c9")
)

# In the order of the table in docs/format.md; digests by b3sum --derive-key.
VECTORS: list[tuple[File | Tree | Commit, str]] = [
    (PLAIN, PLAIN_DIGEST.hex()),
    (
        RegularFile(
            0o4755,
            1000,
            100,
            ((b"security.capability", CAPABILITY), (b"user.empty", b"")),
            HELLO,
            6,
        ),
        "1c146078b6ffb6575c4deeb272b8508716dd29546d8d7407cbb1cba3be06bf8f",
    ),
    (
        RegularFile(0o600, 0, 0, (), EMPTY_CONTENT, 0),
        "24bd7c393e1862ea3c1418c8a749496c784e2dbbd8bfe320553530334710f587",
    ),
    (
        Symlink(0, 0, (), b"usr/bin"),
        "efc1c787a1a12401a801355aecc3ac1b328f92aa7fc1e9f602a7377c107adb2d",
    ),
    (
        Fifo(0o640, 0, 0, ()),
        "3a584e2fb0e2b773a3626f44e7c980857afd3112a027f2118f188450e7d59e4a",
    ),
    (
        CharDevice(0o666, 0, 0, (), 1, 3),
        "54b728c2b4283ce743aa60bf53a4f56e499a380da59f6ef00a6d3cf40f7390e7",
    ),
    (
        BlockDevice(0o660, 0, 6, (), 259, 1048575),
        "b9b618e4614844e172a33e086a5f24fe0f4a606031573021687fe6d709ce53fa",
    ),
    (EMPTY_TREE, EMPTY_TREE_DIGEST.hex()),
    (
        Tree(
            0o2775,
            0,
            50,
            ((b"user.a", b"b"),),
            (
                TreeEntry(b"a\xff", is_tree=False, digest=PLAIN_DIGEST),
                TreeEntry(b"b", is_tree=True, digest=EMPTY_TREE_DIGEST),
            ),
        ),
        TREE_DIGEST.hex(),
    ),
    (COMMIT, COMMIT_ID.hex()),
    (
        Commit(TREE_DIGEST, (COMMIT_ID,), -1, "é", "Body\n", {"z": True, "a": -1, "m": "text"}),
        "629166e776a66ae5c79a96bf8c4d65f8b0a719d6e6c12b336612c0f4c2d88b20",
    ),
]


def encode(item: File | Tree | Commit) -> tuple[bytes, Digest]:
    if isinstance(item, Tree):
        encoded = codec.encode_tree(item)
        return encoded, codec.tree_digest(encoded)
    if isinstance(item, Commit):
        encoded = codec.encode_commit(item)
        return encoded, codec.commit_digest(encoded)
    encoded = codec.encode_file(item)
    return encoded, codec.file_digest(encoded)


def decode(item: File | Tree | Commit, encoded: bytes) -> object:
    if isinstance(item, Tree):
        return codec.decode_tree(encoded)
    return (codec.decode_commit if isinstance(item, Commit) else codec.decode_file)(encoded)


@pytest.mark.parametrize(("item", "digest"), VECTORS)
def test_pinned_digests(item: File | Tree | Commit, digest: str) -> None:
    encoded, found = encode(item)
    assert found.hex() == digest
    assert decode(item, encoded) == item


def test_documented_vectors_are_these() -> None:
    text = (ROOT / "docs/format.md").read_text("utf-8")
    rows = re.findall(r"^\| .* \| `([0-9a-f]+)` \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    assert rows == [(encode(item)[0].hex(), digest) for item, digest in VECTORS]


def test_documented_contexts_are_those_of_the_code() -> None:
    text = (ROOT / "docs/format.md").read_text("utf-8")
    contexts = re.findall(r"^\| (file|tree|commit) \| `(.*)` \|$", text, re.MULTILINE)
    assert contexts == [
        ("file", codec.FILE_CONTEXT),
        ("tree", codec.TREE_CONTEXT),
        ("commit", codec.COMMIT_CONTEXT),
    ]


def test_content_digest_is_plain_blake3() -> None:
    assert codec.content_digest(b"hello\n") == HELLO
    assert codec.content_digest(b"") == EMPTY_CONTENT
    assert codec.content_digest(memoryview(b"hello\n")) == HELLO


def test_kinds_never_share_a_digest() -> None:
    encoded = codec.encode_tree(EMPTY_TREE)
    functions = (codec.file_digest, codec.tree_digest, codec.commit_digest, codec.content_digest)
    assert len({digest(encoded) for digest in functions}) == 4
    assert (
        codec.tree_digest(encoded)
        == blake3(encoded, derive_key_context=codec.TREE_CONTEXT).digest()
    )


def test_trusted_decoders_agree_with_the_careful_ones() -> None:
    for item, _ in VECTORS:
        encoded, _ = encode(item)
        if isinstance(item, Tree):
            assert codec.read_tree(encoded) == item
            head = TreeHead(item.mode, item.uid, item.gid, item.xattrs)
            assert codec.read_tree_head(encoded) == head
        elif not isinstance(item, Commit):
            assert codec.read_file(encoded) == item
    for read in (codec.read_file, codec.read_tree, codec.read_tree_head):
        with pytest.raises(FormatError):
            read(b"\x01")


pack = msgspec.msgpack.encode

# Whatever is not exactly right, with what is wrong with it.
MALFORMED: list[tuple[Callable[[bytes], object], bytes, str]] = [
    (codec.decode_file, b"", "nothing"),
    (codec.decode_file, b"\xc1", "no msgpack"),
    (codec.decode_file, pack([5, 0, 0, 0, []]), "unknown kind"),
    (codec.decode_file, pack([2, 0o10000, 0, 0, []]), "mode with type bits"),
    (codec.decode_file, pack([2, -1, 0, 0, []]), "negative mode"),
    (codec.decode_file, pack([2, 0, 2**32 - 1, 0, []]), "uid -1"),
    (codec.decode_file, pack([2, 0, 0, -1, []]), "negative gid"),
    (codec.decode_file, pack([2, 0, 0, 0, [], 0]), "a field too many"),
    (codec.decode_file, pack([2, 0, 0, 0]), "a field too few"),
    (codec.decode_file, pack([2, 0, 0, 0, []]) + b"\0", "trailing bytes"),
    (codec.decode_file, pack([2, 0, 0, 0, [[b"b", b""], [b"a", b""]]]), "xattrs unsorted"),
    (codec.decode_file, pack([2, 0, 0, 0, [[b"a", b""], [b"a", b"x"]]]), "xattr twice"),
    (codec.decode_file, pack([2, 0, 0, 0, [[b"user.ostreefs.x", b""]]]), "reserved xattr"),
    (codec.decode_file, pack([2, 0, 0, 0, [["a", b""]]]), "xattr name as text"),
    (codec.decode_file, pack([2, False, 0, 0, []]), "a boolean for a number"),
    (codec.decode_file, pack([2, 0.0, 0, 0, []]), "a float for a number"),
    (codec.decode_file, pack([0, 0, 0, 0, [], HELLO[:31], 6]), "short digest"),
    (codec.decode_file, pack([0, 0, 0, 0, [], HELLO, -1]), "negative size"),
    (codec.decode_file, pack([0, 0, 0, 0, [], HELLO, 2**63]), "size beyond 63 bits"),
    (codec.decode_file, pack([0, 0, 0, 0, [], HELLO, 0]), "content without size"),
    (codec.decode_file, pack([0, 0, 0, 0, [], EMPTY_CONTENT, 1]), "size without content"),
    (codec.decode_file, pack([1, 0, 0, [], b""]), "empty target"),
    (codec.decode_file, pack([1, 0, 0, [], b"a\0"]), "target with NUL"),
    (codec.decode_file, pack([3, 0, 0, 0, [], 4096, 0]), "major too large"),
    (codec.decode_file, pack([4, 0, 0, 0, [], 0, 2**20]), "minor too large"),
    (codec.decode_file, b"\x95\x02\xcc\x00\x00\x00\x90", "a number in a longer form"),
    (codec.decode_file, b"\xdc\x00\x05\x02\x00\x00\x00\x90", "an array in a longer form"),
    (codec.decode_tree, pack([0, 0, 0, [], [[b"..", False, HELLO]]]), "dot-dot"),
    (codec.decode_tree, pack([0, 0, 0, [], [[b"a/b", False, HELLO]]]), "slash"),
    (codec.decode_tree, pack([0, 0, 0, [], [[b"a" * 256, False, HELLO]]]), "long name"),
    (codec.decode_tree, pack([0, 0, 0, [], [[b"a", False, b"short"]]]), "short digest"),
    (codec.decode_tree, pack([0, 0, 0, [], [[b"a", 1, HELLO]]]), "a number for a boolean"),
    (
        codec.decode_tree,
        pack([0, 0, 0, [], [[b"b", False, HELLO], [b"a", False, HELLO]]]),
        "names unsorted",
    ),
    (
        codec.decode_tree,
        pack([0, 0, 0, [], [[b"a", False, HELLO], [b"a", True, HELLO]]]),
        "name twice",
    ),
    (codec.decode_commit, pack([HELLO, [], 2**62, "", "", {}]), "timestamp"),
    (codec.decode_commit, pack([HELLO[:5], [], 0, "", "", {}]), "short root"),
    (codec.decode_commit, pack([HELLO, [b""], 0, "", "", {}]), "short parent"),
    (codec.decode_commit, pack([HELLO, [], 0, "", "", {"b": 1, "a": 2}]), "keys unsorted"),
    (codec.decode_commit, pack([HELLO, [], 0, "", "", {"a": 1.5}]), "a float"),
    (codec.decode_commit, pack([HELLO, [], 0, "", "", {"a": None}]), "nil"),
    (
        codec.decode_commit,
        pack([HELLO, [], 0, "", ""])[:-1] + b"\xa0\x82\xa1a\x01\xa1a\x02",
        "key twice",
    ),
    (
        codec.decode_commit,
        pack([HELLO, [], 0, "x", "", {}]).replace(b"\xa1x", b"\xa1\xff"),
        "not UTF-8",
    ),
    (codec.decode_commit, b"\x91" * 100_000, "too deep"),
]


@pytest.mark.parametrize(
    ("decoder", "encoded", "what"), MALFORMED, ids=[case[2] for case in MALFORMED]
)
def test_malformed_bytes_are_rejected(
    decoder: Callable[[bytes], object], encoded: bytes, what: str
) -> None:
    with pytest.raises(FormatError) as caught:
        decoder(encoded)
    assert caught.value.kind in str(decoder), what


@pytest.mark.parametrize(("item", "_"), VECTORS)
def test_every_truncation_is_rejected(item: File | Tree | Commit, _: str) -> None:
    encoded, _digest = encode(item)
    for length in range(len(encoded)):
        with pytest.raises(FormatError):
            decode(item, encoded[:length])


def test_many_files_at_once() -> None:
    files: list[File] = [RegularFile(0o644, n, 0, (), EMPTY_CONTENT, 0) for n in range(300)]
    files.append(Symlink(0, 0, (), b"target"))
    assert codec.read_files([codec.encode_file(file) for file in files]) == files
    assert codec.read_files([]) == []
    with pytest.raises(FormatError):
        codec.read_files([codec.encode_file(files[0]), b"\xc0"])
