# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can keep a command from running inside a tree."""

from __future__ import annotations

from ostreefs_store.errors import StoreError


class SandboxError(StoreError):
    """A command that cannot be run in a tree; it has not been started."""


class CommandError(SandboxError):
    """The command itself is to blame; `status` is the exit status that a shell would give.

    That is 127 for one that is not there, and 126 for one that cannot be executed.
    """

    def __init__(self, command: str, reason: str, status: int, *, hint: str | None = None) -> None:
        super().__init__(f"cannot run '{command}': {reason}", hint=hint)
        self.command = command
        self.status = status
