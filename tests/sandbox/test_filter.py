# SPDX-License-Identifier: LGPL-2.1-or-later
"""The filter against typing into the terminal, run as the kernel would run it."""

import struct

import pytest

from ostreefs.sandbox.filter import make_filter

ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
TIOCSTI, TIOCLINUX, TIOCGWINSZ = 0x5412, 0x541C, 0x5413
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7


def judge(code: bytes, arch: int, number: int, request: int) -> int:
    """Interpret the program for a call of ioctl, on a little-endian machine."""
    data = struct.pack("<IIQ6Q", number, arch, 0, 0, request, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("=HBBI", code))
    position, register = 0, 0
    while True:
        kind, if_true, if_false, value = steps[position]
        position += 1
        match kind:
            case 0x20:
                register = int.from_bytes(data[value : value + 4], "little")
            case 0x15:
                position += if_true if register == value else if_false
            case 0x06:
                return int(value)
            case _:
                pytest.fail(f"unknown code {kind}")


@pytest.mark.parametrize(
    ("machine", "arch", "number", "request_", "verdict"),
    [
        ("x86_64", X86_64, 16, TIOCSTI, REFUSED),
        ("x86_64", X86_64, 16, TIOCLINUX, REFUSED),
        ("x86_64", X86_64, 16, TIOCSTI | 1 << 32, REFUSED),
        ("x86_64", X86_64, 16, TIOCGWINSZ, ALLOWED),
        ("x86_64", X86_64, 54, TIOCSTI, ALLOWED),
        ("x86_64", X86_64, 0x40000000 + 514, TIOCSTI, REFUSED),
        ("x86_64", I386, 54, TIOCSTI, REFUSED),
        ("x86_64", I386, 16, TIOCSTI, ALLOWED),
        ("aarch64", AARCH64, 29, TIOCSTI, REFUSED),
        ("aarch64", AARCH64, 54, TIOCSTI, ALLOWED),
        ("x86_64", 1, 16, TIOCSTI, ALLOWED),
    ],
)
def test_what_it_refuses(
    machine: str, arch: int, number: int, request_: int, verdict: int
) -> None:
    code = make_filter(machine)
    assert code is not None
    assert judge(code, arch, number, request_) == verdict


def test_other_machines_have_none() -> None:
    assert make_filter("alpha") is None
    assert make_filter() is not None, "add this machine"
