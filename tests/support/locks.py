# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that wait for each other."""

from pathlib import Path

from tests.support.mounts import wait_until


def wait_for_lock(pid: int) -> None:
    """Wait until a process waits for a lock, see proc_locks(5)."""
    wait_until(
        lambda: any(
            line.split()[1] == "->" and line.split()[5] == str(pid)
            for line in Path("/proc/locks").read_text().splitlines()
        ),
        "somebody to wait",
    )
