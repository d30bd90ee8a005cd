# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which boot loader a sysroot has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.boot import grub, syslinux
from ostreefs.sysroot.boot.bls import BootEntries
from ostreefs.sysroot.boot.loader import NoLoader
from ostreefs.sysroot.boot.menufile import MenuFile
from ostreefs.sysroot.errors import LoaderError
from ostreefs.sysroot.layout import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs.sysroot.boot.loader import Loader
    from ostreefs.sysroot.layout import Sysroot

LOADERS = {
    "none": "nothing is written, and 'current' says what boots",
    "bls": "entries of the Boot Loader Specification",
    grub.NAME: "a menu that GRUB includes",
    syslinux.NAME: "a menu that extlinux, syslinux or U-Boot includes",
}
"""What ``bootloader=`` may be, and what it means."""

_GRUB_FOLDERS = ("grub", "grub2")
_SYSLINUX_FILES = ("extlinux/extlinux.conf", "syslinux/syslinux.cfg")


def open_loader(sysroot: Sysroot, name: str | None = None) -> Loader:
    """The boot loader of this name, else that of the settings.

    Raises `LoaderError`, `SettingsError`.
    """
    name = read_settings(sysroot).bootloader if name is None else name
    if name == "none":
        return NoLoader()
    if name == "bls":
        return BootEntries(name, sysroot.boot / "loader/entries")
    if name == grub.NAME:
        return MenuFile(name, _find_grub(sysroot) or sysroot.boot / _GRUB_FOLDERS[0], grub.MENU)
    if name == syslinux.NAME:
        host = _find_syslinux(sysroot) or sysroot.boot / _SYSLINUX_FILES[0]
        return MenuFile(name, host.parent, syslinux.make_menu(host.name))
    raise LoaderError(name, "it is not known", hint=f"there are {', '.join(LOADERS)}")


def detect_loader(sysroot: Sysroot) -> str:
    """What to write for in a sysroot that is new: what is there already."""
    if (sysroot.boot / "loader/entries").is_dir():
        return "bls"
    if _find_grub(sysroot) is not None:
        return grub.NAME
    return syslinux.NAME if _find_syslinux(sysroot) is not None else "none"


def _find_grub(sysroot: Sysroot) -> Path | None:
    """The folder of a GRUB that is there."""
    folders = [sysroot.boot / name for name in _GRUB_FOLDERS]
    return next((folder for folder in folders if (folder / "grub.cfg").exists()), None)


def _find_syslinux(sysroot: Sysroot) -> Path | None:
    """The configuration of an extlinux or syslinux that is there."""
    files = [sysroot.boot / name for name in _SYSLINUX_FILES]
    return next((file for file in files if file.is_file()), None)
