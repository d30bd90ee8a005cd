# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error that a caller may expect from a sysroot, beside those of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import CorruptionError, StoreError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class DeployError(StoreError):
    """An expected failure of what is done to a sysroot."""


class NotASysrootError(DeployError):
    """A path where no deployments can be."""

    hint: str | None = "make one with 'ostreefs admin init-fs PATH'"

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path} is not an ostreefs sysroot: {detail}")
        self.path = path


class SettingsError(DeployError):
    """``sysroot.conf`` says something that nobody can understand."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}", hint="correct the file by hand")
        self.path = path


class OsNotFoundError(DeployError):
    """An operating system that the sysroot does not know, or one that must be told."""

    def __init__(self, name: str | None, known: Sequence[str]) -> None:
        if name is not None:
            told = f"there is no operating system '{name}' in this sysroot"
        elif known:
            told = f"there are several operating systems: {', '.join(known)}"
        else:
            told = "there is no operating system in this sysroot"
        hint = "name one with --os=" if known else "add one with 'ostreefs admin os-init OS'"
        super().__init__(told, hint=hint)
        self.name = name
        self.known = tuple(known)


class OriginError(CorruptionError):
    """An origin file that cannot be read as one."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"the origin {path} cannot be read: {detail}",
            hint="correct it by hand, or remove the deployment with 'ostreefs admin undeploy'",
        )
        self.path = path
        self.detail = detail


class DeploymentNotFoundError(DeployError):
    """A deployment that is not there."""

    hint: str | None = "'ostreefs admin status' lists the deployments"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is no deployment '{wanted}'")
        self.wanted = wanted


class NoDeploymentError(DeployError):
    """A sysroot in which nothing is deployed, or nothing that could be meant."""

    hint: str | None = "deploy something with 'ostreefs admin deploy REV'"

    def __init__(
        self, detail: str = "nothing is deployed yet", *, hint: str | None = None
    ) -> None:
        super().__init__(detail, hint=hint)


class DeploymentInUseError(DeployError):
    """A deployment that may not go."""

    def __init__(self, name: str, reason: str, hint: str) -> None:
        super().__init__(f"deployment '{name}' is {reason}", hint=hint)
        self.name = name
        self.reason = reason


class RoomError(DeployError):
    """Less room than a deployment needs; sizes in bytes."""

    def __init__(self, place: Path, needed: int, free: int) -> None:
        super().__init__(
            f"the deployment needs {_mib(needed)} in {place}, and {_mib(free)} are free",
            hint="'ostreefs admin status' shows what deployments take, 'admin undeploy' and"
            " 'admin cleanup' make room; nothing was written",
        )
        self.place = place
        self.needed = needed
        self.free = free


class StepError(DeployError):
    """A file of rebase.d that is no step."""

    def __init__(self, path: Path, detail: str, *, hint: str | None = None) -> None:
        hint = hint or "correct it, or deploy without any step by --no-rebase"
        super().__init__(f"step {path}: {detail}", hint=hint)
        self.path = path
        self.detail = detail


class MountPointError(DeployError):
    """Something else where a directory must be, for other filesystems to be mounted there."""

    def __init__(self, path: bytes) -> None:
        super().__init__(
            f"{printable(path)} of the commit is no directory, and must be one to boot",
            hint="commit a tree with a directory there",
        )
        self.path = path


class DowngradeError(DeployError):
    """An upgrade to a commit that is older than what is deployed."""

    hint: str | None = "say --allow-downgrade if that is meant"

    def __init__(self, ref: str, newer: int, older: int) -> None:
        super().__init__(
            f"the commit that '{ref}' names is older ({older}) than the one deployed ({newer})"
        )
        self.ref = ref
        self.newer = newer
        self.older = older


class KargError(DeployError):
    """A change of the kernel's arguments that cannot be made."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"kernel argument '{argument}': {reason}")
        self.argument = argument
        self.reason = reason


class LoaderError(DeployError):
    """A boot loader that is unknown, or whose files are not as we can use them."""

    def __init__(self, loader: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"boot loader '{loader}': {reason}", hint=hint)
        self.loader = loader
        self.reason = reason


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
