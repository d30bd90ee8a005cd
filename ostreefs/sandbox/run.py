# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a command inside a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ostreefs.sandbox.options import SandboxOptions


def run_in_tree(
    tree: Path,
    command: Sequence[str],
    options: SandboxOptions | None = None,
    *,
    streams: tuple[int, int, int] = (0, 1, 2),
) -> int:
    """Run a command with a directory as its root; its exit status, 128+N for a signal N.

    `streams` are the descriptors of its standard input, output and errors. Everything that was
    made for it is gone when this returns, and also after we are killed. Raises `CommandError` for
    a command that is not there (status 127) or cannot be executed (126), `SandboxError` for all
    else that keeps it from being started.
    """
    raise NotImplementedError
