# SPDX-License-Identifier: LGPL-2.1-or-later
"""A filter for the kernel, seccomp(2): nobody inside may type into our terminal.

The command shares the terminal and its session, so that job control, ^C and the size of the
window are as anywhere. Whoever shares a terminal could put text into its input (TIOCSTI, and
TIOCLINUX on a console), which the shell outside would read and run after the command has ended
(CVE-2017-5226). These two requests of ioctl(2) fail with EPERM inside.
"""

from __future__ import annotations

import os
import struct

_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX; the same on every architecture below."""

_IOCTL = {
    "x86_64": ((0xC000003E, 16), (0xC000003E, 0x40000000 + 514), (0x40000003, 54)),
    "i686": ((0x40000003, 54),),
    "aarch64": ((0xC00000B7, 29), (0x40000028, 54)),
    "armv7l": ((0x40000028, 54),),
    "riscv64": ((0xC00000F3, 29),),
    "loongarch64": ((0xC0000102, 29),),
    "s390x": ((0x80000016, 54), (0x00000016, 54)),
}
"""Machine -> AUDIT_ARCH and number of ioctl for each kind of program that it runs."""

_ARCH, _NUMBER = 4, 0
_LOAD, _IS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1
"""SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with EPERM."""


def make_filter(machine: str | None = None) -> bytes | None:
    """The program, ``struct sock_filter`` by ``struct sock_filter``; None for other machines."""
    kinds = _IOCTL.get(machine or os.uname().machine)
    if kinds is None:
        return None
    # The lower half of the second argument; the kernel looks at no more of it.
    argument = 28 if machine == "s390x" else 24
    check = [
        _step(_LOAD, argument),
        _step(_IS, _REQUESTS[0], 1, 0),
        _step(_IS, _REQUESTS[1], 0, 1),
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]
    steps: list[bytes] = []
    for arch, number in kinds:
        steps += [
            _step(_LOAD, _ARCH),
            _step(_IS, arch, 0, 2 + len(check)),
            _step(_LOAD, _NUMBER),
            _step(_IS, number, 0, len(check)),
            *check,
        ]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
