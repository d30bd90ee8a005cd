# SPDX-License-Identifier: LGPL-2.1-or-later
"""Capabilities of files: from the text of cap_from_text(3), as rpm has it, to the xattr. Pure.

The attribute ``security.capability`` is ``struct vfs_cap_data`` of linux/capability.h, revision 2:
little-endian words, the first with the revision and whether the permitted ones are effective, then
permitted and inheritable, lower half and upper half.
"""

from __future__ import annotations

import re
import struct

NAME = "security.capability"

_NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid"),
    *("setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw"),
    *("ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct"),
    *("sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod"),
    *("lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog"),
    *("wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"),
)
"""In the order of their numbers."""

_ALL = (1 << len(_NAMES)) - 1
_REVISION = 0x02000000
_EFFECTIVE = 1
_CLAUSE = re.compile(r"([a-z0-9_,]*)((?:[=+-][eip]*)+)", re.ASCII)
_ACTION = re.compile(r"([=+-])([eip]*)", re.ASCII)


def parse_capabilities(text: str) -> bytes:
    """The value of the attribute. Raises `ValueError` for what is no such text."""
    sets = dict.fromkeys("eip", 0)
    for clause in text.split():
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise ValueError(f"'{text}' names no capabilities")
        mask = _mask(match[1])
        for operator, flags in _ACTION.findall(match[2]):
            for flag in sets:
                if operator == "=":
                    sets[flag] &= ~mask
                if flag in flags:
                    sets[flag] = sets[flag] & ~mask if operator == "-" else sets[flag] | mask
    permitted, inheritable = sets["p"], sets["i"]
    head = _REVISION | (_EFFECTIVE if sets["e"] else 0)
    halves = [half for low in (0, 32) for half in (permitted >> low, inheritable >> low)]
    return struct.pack("<5I", head, *(half & 0xFFFFFFFF for half in halves))


def _mask(names: str) -> int:
    if names in {"", "all"}:
        return _ALL
    mask = 0
    for name in names.split(","):
        short = name.removeprefix("cap_")
        if short not in _NAMES:
            raise ValueError(f"there is no capability '{name}'")
        mask |= 1 << _NAMES.index(short)
    return mask
