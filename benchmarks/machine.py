# SPDX-License-Identifier: LGPL-2.1-or-later
"""Describe the machine, and empty its caches."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from benchmarks.measure import BenchmarkError, run_quietly

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def describe_machine() -> dict[str, str | int]:
    """Processor, cores, memory, kernel, distribution and Python."""
    return {
        "cores": os.cpu_count() or 1,
        "processor": _after_colon(Path("/proc/cpuinfo"), "model name"),
        "memory": f"{_memory_bytes() / 1e9:.1f} GB",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "not root",
    }


def describe_filesystem(path: Path) -> str:
    """Type and mount options of the filesystem that holds a directory."""
    best = ("", "unknown", "")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options, *_ = line.split(" ")
        if path.resolve().is_relative_to(where) and len(where) >= len(best[0]):
            best = (where, kind, options)
    return f"{best[1]} ({best[2]})"


def drop_caches() -> None:
    """Write back and drop the page cache, dentries and inodes of the whole machine.

    Raises:
        BenchmarkError: It takes root, or sudo.
    """
    os.sync()
    _drop(3)


def drop_inodes() -> None:
    """Drop the dentries and inodes of the whole machine that nobody uses, as `drop_caches`."""
    _drop(2)


def _drop(what: int) -> None:
    if os.geteuid() == 0:
        _DROP_CACHES.write_text(f"{what}\n", encoding="ascii")
        return
    if shutil.which("sudo") is None:
        raise BenchmarkError("dropping caches needs root or sudo")
    run_quietly("sudo", "sh", "-c", f"echo {what} > {_DROP_CACHES}")


def unmount_command() -> tuple[str, ...]:
    """What unmounts a FUSE mount, before the mount point; for root, any mount."""
    return ("umount",) if os.geteuid() == 0 else ("fusermount3", "-u")


def find_ours() -> tuple[str, ...]:
    """The command that starts ostreefs: the script beside this interpreter, or the module."""
    script = Path(sys.executable).parent / "ostreefs"
    return (str(script),) if script.exists() else (sys.executable, "-m", "ostreefs")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _after_colon(path: Path, key: str) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"
