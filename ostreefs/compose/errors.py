# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may go wrong in a composition beside what the store reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import StoreError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs.compose.conflicts import Conflict

_SHOWN = 3


class ComposeError(StoreError):
    """A composition that cannot be made; nothing was committed."""


class RecipeError(ComposeError):
    """A recipe that cannot be understood; `line` is where, 0 for nowhere in particular."""

    def __init__(self, path: str, line: int, detail: str, *, hint: str | None = None) -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {detail}", hint=hint)
        self.path = path
        self.line = line
        self.detail = detail


class StepError(ComposeError):
    """A step that cannot be done; `step` is how the user would know it."""

    def __init__(self, step: str, detail: str, *, hint: str | None = None) -> None:
        super().__init__(f"{step}: {detail}", hint=hint)
        self.step = step
        self.detail = detail


class PackageError(ComposeError):
    """A file that is no package, or a damaged one."""

    hint: str | None = "download it again"

    def __init__(self, path: str, detail: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {detail}", hint=hint)
        self.path = path
        self.detail = detail


class ArchitectureError(ComposeError):
    """A package that was not built for the machine that the base is for."""

    def __init__(self, path: str, package: str, base: Sequence[str]) -> None:
        shown = " or ".join(base)
        super().__init__(
            f"{path} is a package for {package}, and the base is for {shown}",
            hint=f"take the package built for {base[0]}, or another base",
        )
        self.path = path
        self.package = package
        self.base = tuple(base)


class ConflictError(ComposeError):
    """Additions that disagree on what is at a path."""

    hint: str | None = (
        "--dry-run lists all of them; --on-conflict=last lets the later addition win,"
        " --on-conflict=first what was there before"
    )

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        shown = "; ".join(_show(conflict) for conflict in conflicts[:_SHOWN])
        more = f"; and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
        super().__init__(f"conflicts: {shown}{more}")
        self.conflicts = tuple(conflicts)


class CommandFailedError(ComposeError):
    """A command of ``--run`` that failed; `status` is as a shell gives it."""

    def __init__(self, command: str, status: int) -> None:
        told = f"was ended by signal {status - 128}" if status > 128 else f"failed with {status}"
        super().__init__(
            f"--run '{command}' {told}; nothing was committed",
            hint="its output is above; leave --run out to look at the tree that it found",
        )
        self.command = command
        self.status = status


def _show(conflict: Conflict) -> str:
    return f"{printable(conflict.path)}: {conflict.reason}"
