# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which names are allowed. Pure; whoever sends a name, it passes through here."""

from __future__ import annotations

import re

from ostreefs_store.errors import InvalidNameError

NAME_MAX = 255
XATTR_NAME_MAX = 255
XATTR_VALUE_MAX = 65536
SYMLINK_MAX = 4095
REF_MAX = 255

RESERVED_XATTR_PREFIX = b"user.ostreefs."
"""Attributes that a mount makes up; they are never part of an object."""

_REF = re.compile(r"[A-Za-z0-9_][-._A-Za-z0-9+]*(/[A-Za-z0-9_][-._A-Za-z0-9+]*)*", re.ASCII)
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


def check_file_name(name: bytes) -> None:
    """Raise `InvalidNameError` unless `name` can stand in a directory."""
    if not name or name in {b".", b".."}:
        raise InvalidNameError("file name", name, "it has a meaning of its own")
    if b"/" in name or b"\0" in name:
        raise InvalidNameError("file name", name, "it holds a slash or a NUL byte")
    if len(name) > NAME_MAX:
        raise InvalidNameError("file name", name, f"it is longer than {NAME_MAX} bytes")


def check_xattr(name: bytes, value: bytes) -> None:
    """Raise `InvalidNameError` unless Linux could hold this extended attribute."""
    if not name or b"\0" in name or len(name) > XATTR_NAME_MAX:
        raise InvalidNameError("xattr name", name, f"it has not 1 to {XATTR_NAME_MAX} bytes")
    if name.startswith(RESERVED_XATTR_PREFIX):
        raise InvalidNameError("xattr name", name, "the prefix is reserved for mounts")
    if len(value) > XATTR_VALUE_MAX:
        raise InvalidNameError("xattr", name, f"its value is longer than {XATTR_VALUE_MAX} bytes")


def check_symlink_target(target: bytes) -> None:
    """Raise `InvalidNameError` unless Linux could hold this symbolic link."""
    if not target or b"\0" in target or len(target) > SYMLINK_MAX:
        raise InvalidNameError("symlink target", target, f"it has not 1 to {SYMLINK_MAX} bytes")


def check_ref(ref: str) -> None:
    """Raise `InvalidNameError` unless `ref` is a ref's name.

    As in ostree: segments of letters, digits and ``-._`` (and ``+``), with slashes between them,
    each starting with a letter, a digit or an underscore.
    """
    if len(ref) > REF_MAX:
        raise InvalidNameError("ref", ref, f"it is longer than {REF_MAX} characters")
    if not _REF.fullmatch(ref):
        raise InvalidNameError(
            "ref", ref, "use letters, digits and -._+ in parts that a slash separates"
        )
    if looks_like_commit_id(ref):
        raise InvalidNameError("ref", ref, "it could be mistaken for a commit id")


def looks_like_commit_id(text: str) -> bool:
    """Whether `text` is a full commit id: 64 digits of lower-case hex."""
    return len(text) == 64 and is_hex(text)


def is_hex(text: str) -> bool:
    """Whether `text` is one or more digits of lower-case hex."""
    return _HEX.fullmatch(text) is not None
