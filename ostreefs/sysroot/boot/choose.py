# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which boot loader a sysroot has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.boot.bls import BootEntries
from ostreefs.sysroot.boot.loader import NoLoader
from ostreefs.sysroot.errors import LoaderError
from ostreefs.sysroot.layout import read_settings

if TYPE_CHECKING:
    from ostreefs.sysroot.boot.loader import Loader
    from ostreefs.sysroot.layout import Sysroot

LOADERS = {
    "none": "nothing is written; 'current' says what boots",
    "bls": "entries of the Boot Loader Specification in boot/loader/entries",
}
"""What ``bootloader=`` may be, and what it means."""


def open_loader(sysroot: Sysroot, name: str | None = None) -> Loader:
    """The boot loader of this name, else that of the settings.

    Raises `LoaderError`, `SettingsError`.
    """
    name = read_settings(sysroot).bootloader if name is None else name
    if name == "none":
        return NoLoader()
    if name == "bls":
        return BootEntries(name, sysroot.boot / "loader/entries")
    raise LoaderError(name, "it is not known", hint=f"there are {', '.join(LOADERS)}")


def detect_loader(sysroot: Sysroot) -> str:
    """What to write for in a sysroot that is new: what is there already."""
    return "bls" if (sysroot.boot / "loader/entries").is_dir() else "none"
