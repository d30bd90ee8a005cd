# SPDX-License-Identifier: LGPL-2.1-or-later
"""Model <-> canonical bytes, and the digests of both. Pure.

Canonical bytes are msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) arrays in the
shortest form of each value; the map of a commit's metadata is sorted by key. A digest is BLAKE3 in
its key-derivation mode (https://github.com/BLAKE3-team/BLAKE3-specs, section 2.3) over the
canonical bytes, with one context string a kind, so that an object of one kind can never pass for
another. The digest of content is plain BLAKE3, the value that `b3sum` prints.

Every `decode_*` accepts canonical bytes alone: what it returns encodes to the bytes it was given,
and every name in it is valid. Anything else raises `FormatError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from blake3 import blake3

from ostreefs_store import names
from ostreefs_store.errors import FormatError, InvalidNameError
from ostreefs_store.model import (
    DIGEST_SIZE,
    EMPTY_CONTENT,
    BlockDevice,
    CharDevice,
    Commit,
    Digest,
    File,
    RegularFile,
    Symlink,
    Tree,
    TreeHead,
    Xattrs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

Entry = tuple[bytes, bool, Digest]
"""A `TreeEntry` as a plain tuple: name, whether it is a tree, digest."""

_encoder = msgspec.msgpack.Encoder(order="sorted")
_encode = _encoder.encode
_file_decoder: msgspec.msgpack.Decoder[File] = msgspec.msgpack.Decoder(File)
_files_decoder: msgspec.msgpack.Decoder[list[File]] = msgspec.msgpack.Decoder(list[File])
_ARRAY = b"\xdd"
"""How an array begins in msgpack whose length has four bytes."""

_tree_decoder = msgspec.msgpack.Decoder(Tree)
_tree_head_decoder = msgspec.msgpack.Decoder(TreeHead)
_entries_decoder = msgspec.msgpack.Decoder(tuple[int, int, int, Xattrs, list[Entry]])
_commit_decoder = msgspec.msgpack.Decoder(Commit)

FILE_CONTEXT = "ostreefs 2026-11-23 file object v1"
TREE_CONTEXT = "ostreefs 2026-11-23 tree object v1"
COMMIT_CONTEXT = "ostreefs 2026-11-23 commit object v1"

_file_hasher = blake3(derive_key_context=FILE_CONTEXT)
_tree_hasher = blake3(derive_key_context=TREE_CONTEXT)
_commit_hasher = blake3(derive_key_context=COMMIT_CONTEXT)

_ID_MAX = 2**32 - 2
_MAJOR_MAX = 2**12 - 1
_MINOR_MAX = 2**20 - 1
_SIZE_MAX = 2**63 - 1


def encode_file(file: File) -> bytes:
    """The canonical bytes of a file object."""
    return _encode(file)


def encode_entries(head: TreeHead, entries: list[Entry]) -> bytes:
    """The canonical bytes of a tree object from plain tuples, sorted by name."""
    return _encode((head.mode, head.uid, head.gid, head.xattrs, entries))


def encode_tree(tree: Tree) -> bytes:
    """The canonical bytes of a tree object; the caller has sorted the entries."""
    return _encode(tree)


def encode_commit(commit: Commit) -> bytes:
    """The canonical bytes of a commit object."""
    return _encode(commit)


class RegularHeads:
    """Canonical bytes of regular files under other metadata, without decoding those they had.

    A *head* is all of them that stands before the content digest and the size: mode, owner and
    xattrs. Bytes that begin with the head of one file have the same metadata as that file, since
    msgpack values tell where they end. A tree has few different heads; the last ones are kept.
    """

    def __init__(self) -> None:
        self._plain: dict[tuple[int, int, int], bytes] = {}
        self._seen: list[bytes] = []

    def renew(self, encoded: bytes, owner: tuple[int, int, int], xattrs: Xattrs) -> bytes | None:
        """The canonical bytes of a file under new metadata; None for what is no regular file.

        `owner` is mode, uid and gid. Raises `FormatError`.
        """
        head = _regular_head(*owner, xattrs) if xattrs else self._plain.get(owner)
        if head is None:
            head = self._plain[owner] = _regular_head(*owner, ())
        for old in self._seen:
            if encoded.startswith(old):
                return head + encoded[len(old) :]
        file = read_file(encoded)
        if not isinstance(file, RegularFile):
            return None
        old = _regular_head(file.mode, file.uid, file.gid, file.xattrs)
        if not encoded.startswith(old):
            raise FormatError("file", "not in canonical form")
        self._seen = [old, *self._seen[:_HEADS_SEEN]]
        return head + encoded[len(old) :]


_REGULAR = b"\x97\x00"
"""An array of seven, of which the first says that it is a regular file."""
_HEADS_SEEN = 7


def _regular_head(mode: int, uid: int, gid: int, xattrs: Xattrs) -> bytes:
    return b"".join((_REGULAR, _encode(mode), _encode(uid), _encode(gid), _encode(xattrs)))


def file_digest(encoded: bytes) -> Digest:
    """The digest that names a file object, from its canonical bytes."""
    hasher = _file_hasher.copy()
    hasher.update(encoded)
    return Digest(hasher.digest())


def tree_digest(encoded: bytes) -> Digest:
    """The digest that names a tree object, from its canonical bytes."""
    hasher = _tree_hasher.copy()
    hasher.update(encoded)
    return Digest(hasher.digest())


def commit_digest(encoded: bytes) -> Digest:
    """The commit id, from the commit's canonical bytes."""
    hasher = _commit_hasher.copy()
    hasher.update(encoded)
    return Digest(hasher.digest())


def content_digest(content: bytes | memoryview) -> Digest:
    """The digest of a file's bytes, as `b3sum` prints it."""
    return Digest(blake3(content).digest())


def read_file(encoded: bytes) -> File:
    """Decode a file object that this repository's index holds and has checked before."""
    try:
        return _file_decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        raise FormatError("file", str(error)) from None


def read_files(encoded: Sequence[bytes]) -> list[File]:
    """Decode many such file objects, in 60 % of the time of as many `read_file`."""
    array = _ARRAY + len(encoded).to_bytes(4, "big") + b"".join(encoded)
    try:
        return _files_decoder.decode(array)
    except msgspec.MsgspecError as error:
        raise FormatError("file", str(error)) from None


def read_tree(encoded: bytes) -> Tree:
    """Decode a tree object that this repository's index holds and has checked before."""
    try:
        return _tree_decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        raise FormatError("tree", str(error)) from None


def read_tree_head(encoded: bytes) -> TreeHead:
    """Decode the head of such a tree object, skipping over its entries."""
    try:
        return _tree_head_decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        raise FormatError("tree", str(error)) from None


def read_entries(encoded: bytes) -> tuple[TreeHead, list[Entry]]:
    """Decode such a tree object into plain tuples, in 60 % of the time of `read_tree`."""
    try:
        mode, uid, gid, xattrs, entries = _entries_decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        raise FormatError("tree", str(error)) from None
    return TreeHead(mode, uid, gid, xattrs), entries


def decode_file(encoded: bytes) -> File:
    """Decode and check a file object from outside."""
    file = _decode_canonical("file", _file_decoder, encoded)
    _check_owner("file", file.mode, file.uid, file.gid, file.xattrs)
    match file:
        case RegularFile():
            _require("file", condition=len(file.content) == DIGEST_SIZE, detail="content digest")
            _require("file", condition=0 <= file.size <= _SIZE_MAX, detail="size")
            is_empty = file.content == EMPTY_CONTENT
            _require("file", condition=is_empty == (file.size == 0), detail="size and content")
        case Symlink():
            _valid("file", names.check_symlink_target, file.target)
        case CharDevice() | BlockDevice():
            in_range = 0 <= file.major <= _MAJOR_MAX and 0 <= file.minor <= _MINOR_MAX
            _require("file", condition=in_range, detail="device number")
        case _:
            pass
    return file


def decode_tree(encoded: bytes) -> Tree:
    """Decode and check a tree object from outside: names valid, sorted and unique."""
    tree = _decode_canonical("tree", _tree_decoder, encoded)
    _check_owner("tree", tree.mode, tree.uid, tree.gid, tree.xattrs)
    previous = b""
    for entry in tree.entries:
        _valid("tree", names.check_file_name, entry.name)
        _require("tree", condition=entry.name > previous, detail="names not sorted and unique")
        _require("tree", condition=len(entry.digest) == DIGEST_SIZE, detail="entry digest")
        previous = entry.name
    return tree


def decode_commit(encoded: bytes) -> Commit:
    """Decode and check a commit object."""
    commit = _decode_canonical("commit", _commit_decoder, encoded)
    digests = (commit.root, *commit.parents)
    sizes_ok = all(len(digest) == DIGEST_SIZE for digest in digests)
    _require("commit", condition=sizes_ok, detail="digest size")
    _require("commit", condition=abs(commit.timestamp) < 2**62, detail="timestamp")
    return commit


def _decode_canonical(kind: str, decoder: msgspec.msgpack.Decoder[_T], encoded: bytes) -> _T:
    try:
        value = decoder.decode(encoded)
        again = _encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise FormatError(kind, str(error)) from None
    _require(kind, condition=again == encoded, detail="not in canonical form")
    return value


def _check_owner(kind: str, mode: int, uid: int, gid: int, xattrs: Xattrs) -> None:
    _require(kind, condition=0 <= mode <= 0o7777, detail="mode")
    _require(kind, condition=0 <= uid <= _ID_MAX and 0 <= gid <= _ID_MAX, detail="owner")
    previous = b""
    for name, value in xattrs:
        _require(kind, condition=name > previous, detail="xattrs not sorted and unique")
        try:
            names.check_xattr(name, value)
        except InvalidNameError as error:
            raise FormatError(kind, str(error)) from None
        previous = name


def _valid(kind: str, check: Callable[[bytes], None], value: bytes) -> None:
    try:
        check(value)
    except InvalidNameError as error:
        raise FormatError(kind, str(error)) from None


def _require(kind: str, *, condition: bool, detail: str) -> None:
    if not condition:
        raise FormatError(kind, detail)
