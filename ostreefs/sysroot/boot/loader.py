# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rest needs of a boot loader, and what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class BootEntry(NamedTuple):
    """A deployment as the boot loader shows it; paths are as the loader sees them."""

    deployment: str
    title: str
    kernel: str
    initramfs: str
    """Empty for none."""
    options: str
    """The kernel's arguments, with the one that names the deployment."""


class Loader(Protocol):
    """Writes for one boot loader."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    @property
    def needs_kernel(self) -> bool:
        """Whether nothing can be deployed without a kernel."""

    def find_default(self) -> str | None:
        """The deployment that the loader boots, of ours; None when it has none of them."""

    def check(self, entries: Sequence[BootEntry]) -> None:
        """Raise `LoaderError` for entries that cannot be written for this loader."""

    def install(self, entries: Sequence[BootEntry]) -> None:
        """Have these entries and no others of ours, the first one being what boots.

        What boots changes in **one** step: a crash leaves a loader that boots what it did, or the
        first entry; with entries in both cases for all that have been there before and are to be
        there. What is written is durable when it ends. Nothing that is not ours is touched.
        """


class NoLoader:
    """For sysroots whose boot is somebody else's business; `current` alone says what boots.

    The step is the rename by which ``/ostree/current`` is swapped.
    """

    name = "none"
    needs_kernel = False

    @staticmethod
    def find_default() -> str | None:
        """Nobody but `current` says what boots."""
        return None

    @staticmethod
    def check(entries: Sequence[BootEntry]) -> None:
        """Anything will do."""

    @staticmethod
    def install(entries: Sequence[BootEntry]) -> None:
        """Nothing to write."""
