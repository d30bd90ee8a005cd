# SPDX-License-Identifier: LGPL-2.1-or-later
"""POSIX ACLs between the text of tar archives and the bytes of ``system.posix_acl_*``. Pure.

The bytes (linux/posix_acl_xattr.h): a version, 2, as 32 bits, then for each entry a tag and
permissions of 16 bits and an id of 32 bits, all little-endian. The text (acl(5), and the
``SCHILY.acl`` records of star): ``user::rw-,user:1000:r--,…``, separated by commas or newlines.
GNU tar writes ids as numbers, star and bsdtar write a name and add the number as a fourth field.
"""

from __future__ import annotations

import struct

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20

Entry = tuple[int, int, int]
"""(tag, id, permissions); the id is `NO_ID` but for a named user or group."""

NO_ID = 0xFFFFFFFF
_VERSION = struct.pack("<I", 2)
_LAYOUT = struct.Struct("<HHI")
_WORDS = {
    "user": (USER_OBJ, USER),
    "group": (GROUP_OBJ, GROUP),
    "mask": (MASK, None),
    "other": (OTHER, None),
}
_SHORT = {word[0]: word for word in _WORDS}
_ONCE = (USER_OBJ, GROUP_OBJ, OTHER)
_BITS = {"r": 4, "w": 2, "x": 1, "-": 0}


def parse_acl(text: str) -> bytes:
    """The value of the attribute for a text, its entries in the kernel's order.

    Raises `ValueError` for a text that is no whole ACL, or names somebody without a number.
    """
    lines = (line.partition("#")[0] for line in text.replace(",", "\n").split("\n"))
    entries = sorted(_parse_entry(line.strip()) for line in lines if line.strip())
    _check(entries)
    return _VERSION + b"".join(_LAYOUT.pack(tag, bits, id_) for tag, id_, bits in entries)


def _parse_entry(text: str) -> Entry:
    fields = [field.strip() for field in text.removeprefix("default:").split(":")]
    word = _SHORT.get(fields[0], fields[0])
    if word not in _WORDS:
        raise ValueError(f"'{text}' begins with no kind of entry")
    if len(fields) == 2:  # as in "other:r--"
        fields.insert(1, "")
    if len(fields) not in {3, 4}:
        raise ValueError(f"'{text}' has not three fields")
    plain, named = _WORDS[word]
    bits = sum(_BITS.get(letter, 8) for letter in set(fields[2]))
    if bits > 7:
        raise ValueError(f"'{text}' has no permissions such as 'rw-'")
    if not fields[1]:
        return plain, NO_ID, bits
    number = fields[-1] if len(fields) == 4 else fields[1]
    if named is None or not (number.isascii() and number.isdigit() and int(number) < NO_ID):
        raise ValueError(f"'{text}' does not say whom it is for by a number")
    return named, int(number), bits


def _check(entries: list[Entry]) -> None:
    """Raise `ValueError` for what the kernel would not take."""
    tags = [tag for tag, _, _ in entries]
    whom = [(tag, id_) for tag, id_, _ in entries]
    if len(set(whom)) != len(whom):
        raise ValueError("two entries are for the same")
    if any(tag not in tags for tag in _ONCE):
        raise ValueError("it lacks an entry for the owner, the group or others")
    if MASK not in tags and (USER in tags or GROUP in tags):
        raise ValueError("it has entries for somebody, and no mask")


def format_acl(value: bytes) -> str | None:
    """The text for a value of the attribute; None for one that no text gives."""
    entries = _unpack(value)
    if entries is None:
        return None
    words = {tag: word for word, tags in _WORDS.items() for tag in tags}
    text = ",".join(
        f"{words.get(tag, '?')}:{'' if id_ == NO_ID else id_}:{_format_bits(bits)}"
        for tag, id_, bits in entries
    )
    try:
        return text if parse_acl(text) == value else None
    except ValueError:
        return None


def _format_bits(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))


def implied_mode(value: bytes) -> int | None:
    """The nine permission bits that a file with this access ACL has; None for no valid one."""
    entries = _unpack(value)
    if entries is None:
        return None
    bits = {tag: bits & 7 for tag, _, bits in entries}
    try:
        return bits[USER_OBJ] << 6 | bits.get(MASK, bits[GROUP_OBJ]) << 3 | bits[OTHER]
    except KeyError:
        return None


def is_minimal(value: bytes) -> bool:
    """Whether an ACL says no more than a mode does: the kernel keeps no attribute for it."""
    return len(value) == len(_VERSION) + len(_ONCE) * _LAYOUT.size


def _unpack(value: bytes) -> list[Entry] | None:
    body = value.removeprefix(_VERSION)
    if len(body) == len(value) or len(body) % _LAYOUT.size:
        return None
    return [(tag, id_, bits) for tag, bits, id_ in _LAYOUT.iter_unpack(body)]
