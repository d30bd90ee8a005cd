# SPDX-License-Identifier: LGPL-2.1-or-later
"""A menu for extlinux and syslinux, and for U-Boot, which reads the same files.

::

    boot/extlinux/extlinux.conf    includes our menu (or boot/syslinux/syslinux.cfg)
    boot/extlinux/ostreefs.conf    our menu

``DEFAULT ostreefs`` in the first one makes our first entry the default; where we make that file,
it says so. https://wiki.syslinux.org/wiki/index.php?title=Config
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.boot.menufile import DEFAULT_ID, Menu

if TYPE_CHECKING:
    from ostreefs.sysroot.boot.loader import BootEntry

NAME = "syslinux"


def format_entry(identifier: str, entry: BootEntry) -> str:
    """An entry of the menu."""
    lines = [
        f"LABEL {identifier}",
        f"    MENU LABEL {entry.title.replace('^', '')}",
        f"    LINUX {entry.kernel}",
        *([f"    INITRD {entry.initramfs}"] if entry.initramfs else []),
        f"    APPEND {entry.options}",
    ]
    return "".join(f"{line}\n" for line in lines)


def make_menu(host: str) -> Menu:
    """The menu that a configuration of this name includes."""
    return Menu(
        file="ostreefs.conf",
        host=host,
        start=f"DEFAULT {DEFAULT_ID}\nPROMPT 0\nTIMEOUT 50\n",
        line="INCLUDE ostreefs.conf",
        format_entry=format_entry,
    )
