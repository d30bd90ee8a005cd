# SPDX-License-Identifier: LGPL-2.1-or-later
"""Telling a supervisor again and again that we live, as sd_watchdog_enabled(3) has it.

It is told from the loop that answers requests: when that hangs, nothing is told, and systemd ends
the process by SIGABRT and starts another one.
"""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

import trio

from ostreefs.fuse.notify import notify

if TYPE_CHECKING:
    from collections.abc import Mapping


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds from one sign of life to the next, half of what is allowed; None if none is due."""
    allowed = environment.get("WATCHDOG_USEC", "")
    if not (allowed.isascii() and allowed.isdigit()) or int(allowed) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(allowed) / 2 / 1_000_000


async def keep_telling() -> None:
    """Tell it for as long as the loop runs; ends at once where nobody wants to know."""
    interval = watchdog_interval(os.environ, os.getpid())
    if interval is None:
        return
    faulthandler.enable()  # where it hung is said in the journal when the SIGABRT comes
    while True:
        notify("WATCHDOG=1")
        await trio.sleep(interval)
