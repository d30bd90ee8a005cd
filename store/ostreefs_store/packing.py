# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the index stores trees: as they are, or compressed where that saves a page.

A tree of some fifty entries and more does not fit into a page of LMDB beside others, and takes
whole pages of its own. Digests do not compress, but what is around them does, so that a directory
of a hundred files fits into one page instead of two. Canonical bytes begin with a msgpack array
(0x95), a frame of Zstandard (RFC 8878) with 0x28.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ostreefs_store.errors import FormatError

if TYPE_CHECKING:
    import zstandard

_FRAME = b"\x28"
_SMALL = 2000
"""Bytes of a value that share a page with others."""
_PAGE, _PAGE_HEADER = 4096, 16
_SIZE_MAX = 1 << 30
"""Bytes of a tree that are believed: some ten million entries."""


def pack(encoded: bytes) -> bytes:
    """What is stored for the canonical bytes of a tree."""
    before = _pages(encoded)
    if not before:
        return encoded
    packed: bytes = _compressor().compress(encoded)
    return packed if _pages(packed) < before else encoded


def unpack(stored: bytes, *, strict: bool = True) -> bytes:
    """The canonical bytes of a tree.

    Raises `FormatError` for a frame that is damaged, or gives it back unless `strict`.
    """
    if stored[:1] != _FRAME:
        return stored
    try:
        return _decompressed(stored)
    except FormatError:
        if strict:
            raise
        return stored


def _decompressed(stored: bytes) -> bytes:
    import zstandard  # noqa: PLC0415 -- 5 ms that most commands need not pay

    try:
        size = zstandard.frame_content_size(stored)
        unpacked: bytes = _decompressor().decompress(stored) if 0 < size <= _SIZE_MAX else b""
    except zstandard.ZstdError as error:
        raise FormatError("tree", f"its stored form is damaged: {error}") from None
    if not unpacked:
        raise FormatError("tree", "its stored form is damaged: no believable size")
    return unpacked


def _pages(value: bytes) -> int:
    """How many pages of its own a value takes."""
    return 0 if len(value) <= _SMALL else -(-(len(value) + _PAGE_HEADER) // _PAGE)


@cache
def _compressor() -> zstandard.ZstdCompressor:
    import zstandard  # noqa: PLC0415 -- see `_decompressed`

    return zstandard.ZstdCompressor(level=1)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    import zstandard  # noqa: PLC0415 -- see `_decompressed`

    return zstandard.ZstdDecompressor()
