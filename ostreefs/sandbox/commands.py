# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether a command can be run inside, found out before it is tried.

bwrap(1) says of all that goes wrong the same, with exit status 1.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.sandbox.errors import CommandError

if TYPE_CHECKING:
    from ostreefs.sandbox.rooted import View

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where commands are looked for inside."""

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_ELF = b"\x7fELF"
_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
"""ELF's numbers of architectures, see elf(5)."""
_ALSO_RUNS = {"x86_64": {"i386"}, "aarch64": {"arm"}}
_OURS = {"i686": "i386", "i586": "i386", "armv7l": "arm", "armv8l": "arm", "ppc64le": "ppc64"}
_RUN_IT = "if it is a script, name its interpreter before it, such as /bin/sh"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def check_command(view: View, command: str, directory: str, path: str = PATH) -> None:
    """Raise `CommandError` unless a command is there that this machine can execute."""
    place = _find(view, command, directory, path)
    status = view.find_status(place) if command else None
    if status is None or view.find_host(place) is None:
        raise CommandError(
            command,
            "there is no such command in the tree",
            _NOT_FOUND,
            hint=f"it is looked for in {path}"
            if "/" not in command
            else "the path is one inside the tree; 'ostreefs ls REV PATH' lists what is there",
        )
    if stat.S_ISDIR(status.st_mode):
        raise CommandError(
            command,
            "it is a directory",
            _NOT_EXECUTABLE,
            hint="name a program; --chdir=DIR is for where it begins",
        )
    if not status.st_mode & 0o111:
        raise CommandError(command, "it is not executable", _NOT_EXECUTABLE, hint=_RUN_IT)
    _check_format(view, command, place)


def _find(view: View, command: str, directory: str, path: str) -> str:
    """Where a command is, or where it would be if it were there."""
    if "/" in command:
        return view.resolve(f"{directory}/{command}" if command[0] != "/" else command)
    found = []
    for folder in path.split(":"):
        place = view.resolve(f"{folder}/{command}")
        status = view.find_status(place)
        if status is not None and stat.S_ISREG(status.st_mode):
            found.append((status.st_mode & 0o111 == 0, place))
    return min(found, default=(True, f"/{command}"), key=lambda one: one[0])[1]


def _check_format(view: View, command: str, place: str) -> None:
    head = view.read(place, 256) or b""
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        inner = view.resolve(interpreter)
        if view.find_status(inner) is None:
            raise CommandError(
                command,
                f"the tree lacks its interpreter {interpreter}",
                _NOT_EXECUTABLE,
                hint="add it to the tree, or name an interpreter that is there yourself",
            )
        head = view.read(inner, 256) or b""
    machine = find_machine(head)
    if machine is not None and not _can_run(machine, os.uname().machine, head):
        raise CommandError(
            command,
            f"it is a program for {machine}, and this machine is {os.uname().machine}",
            _NOT_EXECUTABLE,
            hint="the package qemu-user-static has Linux run programs of other architectures",
        )


def find_machine(head: bytes) -> str | None:
    """The architecture of an ELF program by its first 20 bytes; None for what is no program."""
    if not head.startswith(_ELF) or len(head) < 20:
        return None
    number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    return _MACHINES.get(number, f"another architecture (ELF machine {number})")


def _can_run(machine: str, here: str, head: bytes) -> bool:
    ours = _OURS.get(here, here)
    if ours not in _MACHINES.values() or machine in {ours, *_ALSO_RUNS.get(ours, ())}:
        return True
    return any(_is_registered(text, head) for text in _read_handlers())


def _read_handlers() -> list[str]:
    """What the kernel has others run for it, see its documentation of binfmt_misc."""
    try:
        return [
            file.read_text()
            for file in _BINFMT.iterdir()
            if file.name not in {"register", "status"}
        ]
    except OSError:
        return []


def _is_registered(text: str, head: bytes) -> bool:
    lines = text.splitlines()
    facts = dict(line.split(" ", 1) for line in lines if " " in line)
    if "enabled" not in lines or "magic" not in facts:
        return False
    magic = bytes.fromhex(facts["magic"])
    mask = bytes.fromhex(facts.get("mask", "ff" * len(magic)))
    offset = int(facts.get("offset", "0"))
    part = head[offset : offset + len(magic)]
    return len(part) == len(magic) and all(
        byte & m == wanted & m for byte, m, wanted in zip(part, mask, magic, strict=True)
    )
