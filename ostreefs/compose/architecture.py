# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which machine a tree is for, and whether a package is for the same one.

dpkg knows: its own entry in ``status`` has the native architecture, and ``arch`` lists those that
were added. Elsewhere a program that every system has tells by its ELF header (elf(5)): class,
byte order and machine.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.compose.errors import ArchitectureError

if TYPE_CHECKING:
    from ostreefs.compose.tree import MadeTree

_PROGRAMS = (b"usr/bin/sh", b"bin/sh", b"usr/bin/env", b"usr/lib/systemd/systemd", b"sbin/init")
_STATUS, _FOREIGN = b"var/lib/dpkg/status", b"var/lib/dpkg/arch"
_OF_DPKG = re.compile(
    rb"^Package:[ \t]*dpkg[ \t]*\n(?:.+\n)*?Architecture:[ \t]*(\S+)", re.MULTILINE
)
_ANY = {"all", "noarch", "any"}


class Machine(NamedTuple):
    """What an ELF header says: the machine's number, 64 bits or 32, the byte order."""

    number: int
    is_64: bool = True
    is_big: bool = False


_MACHINES: dict[Machine, tuple[str, ...]] = {
    Machine(62): ("amd64", "x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4"),
    Machine(3, is_64=False): ("i386", "i486", "i586", "i686"),
    Machine(62, is_64=False): ("x32",),
    Machine(183): ("arm64", "aarch64"),
    Machine(40, is_64=False): ("armhf", "armel", "armv7hl", "armv7hnl", "armv6hl", "armv5tel"),
    Machine(243): ("riscv64",),
    Machine(21): ("ppc64el", "ppc64le"),
    Machine(21, is_big=True): ("ppc64",),
    Machine(20, is_64=False, is_big=True): ("powerpc", "ppc"),
    Machine(22, is_big=True): ("s390x",),
    Machine(258): ("loong64", "loongarch64"),
    Machine(8): ("mips64el",),
    Machine(8, is_64=False): ("mipsel",),
}
_ALSO_RUN = {Machine(62): Machine(3, is_64=False)}
"""What rpm-based systems install beside their own packages without being told."""


def check_architecture(tree: MadeTree, path: str, package: str, kind: str) -> None:
    """Raise `ArchitectureError` for a package that is not for the machine of a tree.

    Nothing is known of a tree that has neither dpkg's database nor programs.
    """
    if package in _ANY:
        return
    known = _of_dpkg(tree) if kind == "deb" else ()
    if known:
        if package not in known:
            raise ArchitectureError(path, package, known)
        return
    machine = next((m for program in _PROGRAMS if (m := _read_machine(tree, program))), None)
    if machine is None or machine not in _MACHINES:
        return
    names = _MACHINES[machine]
    if kind == "rpm" and machine in _ALSO_RUN:
        names += _MACHINES[_ALSO_RUN[machine]]
    if package not in names:
        raise ArchitectureError(path, package, names[0 if kind == "deb" else 1 :][:1] or names[:1])


def _of_dpkg(tree: MadeTree) -> tuple[str, ...]:
    """The native architecture, and those that were added."""
    native = _OF_DPKG.search(tree.read(_STATUS) or b"")
    if native is None:
        return ()
    found = [native[1].decode("ascii", "replace")]
    for line in (tree.read(_FOREIGN) or b"").decode("ascii", "replace").split():
        if line not in found:
            found.append(line)
    return tuple(found)


def _read_machine(tree: MadeTree, program: bytes) -> Machine | None:
    start = tree.read(program, 20) or b""
    if len(start) < 20 or not start.startswith(b"\x7fELF"):
        return None
    is_big = start[5] == 2
    (number,) = struct.unpack_from(">H" if is_big else "<H", start, 18)
    return Machine(number, is_64=start[4] == 2, is_big=is_big)
