# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bytes for the kernel, against the sizes and places that its header file gives."""

import errno
import os
import stat
import struct

import pytest

from ostreefs.fuse import protocol
from ostreefs.fuse.nodes import Attributes
from ostreefs.fuse.protocol import Refused
from tests.support.requests import format_request

FILE = Attributes(1 << 62 | 5, stat.S_IFREG | 0o4750, 1000, 2000, 513, 0, 0, fixed=True)
DEVICE = Attributes(9, stat.S_IFCHR | 0o600, 0, 0, 0, 259, 65539, fixed=False)
FOREVER = 1 << 30


def test_sizes() -> None:
    assert protocol.REQUEST.size == 40
    assert len(protocol.format_entry(FILE)) == len(protocol.NO_ENTRY) == 128
    assert len(protocol.format_attributes(FILE)) == 104
    assert len(protocol.format_opened(1, 2)) == 16
    assert len(protocol.format_statfs(os.statvfs("/"), 255)) == 80
    assert len(protocol.format_greeting(1, 2, 3)) == 64
    assert len(protocol.format_error(7, errno.EIO)) == 16


def test_entry() -> None:
    entry = protocol.format_entry(FILE)
    assert struct.unpack_from("=QQQQII", entry) == (FILE.number, 0, FOREVER, FOREVER, 0, 0)
    assert struct.unpack_from("=QQQ", entry, 40) == (FILE.number, 513, 2)
    assert entry[64:100] == bytes(36)  # times
    found = struct.unpack_from("=IIIIIII", entry, 100)
    assert found == (stat.S_IFREG | 0o4750, 1, 1000, 2000, 0, 131072, 0)


def test_what_may_change_is_not_kept() -> None:
    assert struct.unpack_from("=QQ", protocol.format_entry(DEVICE), 16) == (0, 0)
    assert struct.unpack_from("=Q", protocol.format_attributes(DEVICE)) == (0,)
    assert struct.unpack_from("=QQ", protocol.format_listed(b"x", DEVICE, 1), 16) == (0, 0)
    assert struct.unpack_from("=Q", protocol.format_attributes(FILE)) == (FOREVER,)


def test_no_entry_is_kept() -> None:
    assert struct.unpack_from("=QQQQ", protocol.NO_ENTRY) == (0, 0, FOREVER, 0)


def test_devices_as_the_kernel_numbers_them() -> None:
    """12 bits of major and 20 of minor: ``new_encode_dev`` in the kernel's ``kdev_t.h``."""
    minor, major = 65539, 259
    expected = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
    assert struct.unpack_from("=I", protocol.format_entry(DEVICE), 116) == (expected,)
    assert struct.unpack_from("=I", protocol.format_listed(b"x", DEVICE, 1), 116) == (expected,)


@pytest.mark.parametrize("name", [b"n", b"seven77", b"eight888", b"x" * 255])
def test_listed(name: bytes) -> None:
    listed = protocol.format_listed(name, FILE, 77)
    assert listed[:128] == protocol.format_entry(FILE)
    assert struct.unpack_from("=QQII", listed, 128) == (FILE.number, 77, len(name), 8)
    assert listed[152:].rstrip(b"\0") == name
    assert len(listed) % 8 == 0
    assert len(listed) - 152 - len(name) < 8


def test_answers() -> None:
    assert protocol.format_answer(9, b"abc") == struct.pack("=IiQ", 19, 0, 9) + b"abc"
    assert protocol.format_header(9, 3) == struct.pack("=IiQ", 19, 0, 9)
    assert protocol.format_error(9, errno.EIO) == struct.pack("=IiQ", 16, -errno.EIO, 9)


def test_notices() -> None:
    told = protocol.format_invalid_entry(1, b"name")
    assert told == struct.pack("=IiQQII", 37, 3, 0, 1, 4, 0) + b"name\0"
    told = protocol.format_invalid_entry(1, b"name", expire=True)
    assert told == struct.pack("=IiQQII", 37, 3, 0, 1, 4, 1) + b"name\0"
    told = protocol.format_invalid_attributes(5)
    assert told == struct.pack("=IiQQqq", 40, 2, 0, 5, -1, 0)


def test_greeting() -> None:
    request = format_request(26, 0, struct.pack("=IIIIII", 7, 45, 131072, 0xF0, 1, 0) + bytes(40))
    assert protocol.parse_greeting(request) == (7, 45, 131072, 0xF0)
    answer = protocol.format_greeting(1 << 20, 0x30, 256)
    assert struct.unpack_from("=IIIIHHIIH", answer) == (7, 28, 1 << 20, 0x30, 0, 0, 4096, 1, 256)


@pytest.mark.parametrize(
    ("room", "expected"), [(0, struct.pack("=II", 5, 0)), (5, b"value"), (6, b"value")]
)
def test_values_of_a_size(room: int, expected: bytes) -> None:
    assert protocol.format_sized(b"value", room) == expected


def test_values_without_room() -> None:
    with pytest.raises(Refused) as caught:
        protocol.format_sized(b"value", 4)
    assert caught.value.errno == errno.ERANGE


def test_forgotten() -> None:
    body = struct.pack("=IIQQQQ", 2, 0, 5, 1, 6, 1 << 40)
    assert protocol.parse_forgotten(format_request(42, 0, body)) == [(5, 1), (6, 1 << 40)]
