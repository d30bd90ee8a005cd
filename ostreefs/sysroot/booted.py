# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which deployment the machine runs.

The directory that is mounted as the root tells for certain, since a bind mount shows the inode of
what it binds. Where the root is something else on top (an overlay), the kernel's command line
tells: ``ostreefs=NAME``, if this sysroot is that of the machine. ``ostreefs=current`` says nothing
then, since what is current may have changed since the boot.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.sysroot.kargs import SELECTOR, find_last, parse_kargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs.sysroot.layout import Sysroot

COMMAND_LINE = Path("/proc/cmdline")


def find_booted(
    sysroot: Sysroot,
    names: Sequence[str],
    *,
    running: Path = Path("/"),
    command_line: Path = COMMAND_LINE,
) -> str | None:
    """The one of these deployments that runs, if any does."""
    root = running.stat()
    for name in names:
        try:
            found = sysroot.deployment(name).stat()
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (root.st_dev, root.st_ino):
            return name
    if not sysroot.root.samefile(running):
        return None
    selected = find_last(read_command_line(command_line), SELECTOR) or ""
    name = selected.removeprefix("/ostree/")
    return name if name in names else None


def read_command_line(path: Path = COMMAND_LINE) -> tuple[str, ...]:
    """The arguments of the running kernel; none where they cannot be read."""
    try:
        return parse_kargs(path.read_text("utf-8", "surrogateescape"))
    except OSError:
        return ()
