# SPDX-License-Identifier: LGPL-2.1-or-later
"""A menu for the GRUB of a distribution.

::

    boot/grub/custom.cfg       read by what grub-mkconfig has written, without running it again
    boot/grub/ostreefs.cfg     our menu

``GRUB_DEFAULT=ostreefs`` in /etc/default/grub makes our first entry the default. GRUB puts the
kernel's arguments together itself: one with spaces it quotes as a whole, and a quote or backslash
in it it escapes, as no kernel understands.
https://www.gnu.org/software/grub/manual/grub/grub.html#Shell_002dlike-scripting
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ostreefs.sysroot.boot.menufile import Menu
from ostreefs.sysroot.errors import LoaderError
from ostreefs.sysroot.kargs import parse_kargs

if TYPE_CHECKING:
    from ostreefs.sysroot.boot.loader import BootEntry

NAME = "grub2"
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+-]+", re.ASCII)


def quote(word: str) -> str:
    """A word of GRUB's language. Raises `LoaderError` for one that cannot be passed on."""
    unquoted = word.replace('"', "")
    if "'" in unquoted or "\\" in unquoted or not unquoted.isprintable():
        raise LoaderError(NAME, f"it cannot pass {word!r} on to a kernel")
    return unquoted if _PLAIN.fullmatch(unquoted) else f"'{unquoted}'"


def format_entry(identifier: str, entry: BootEntry) -> str:
    """A menu entry. The folder of the kernel is found by its name, which no other disk has."""
    title = entry.title.replace("'", "").replace("\\", "")
    options = " ".join(map(quote, parse_kargs(entry.options)))
    lines = [
        f"menuentry '{title}' --class gnu-linux --class os --id '{identifier}' {{",
        f"    search --no-floppy --set=root --file {entry.kernel}",
        f"    linux {entry.kernel} {options}",
        *([f"    initrd {entry.initramfs}"] if entry.initramfs else []),
        "}",
    ]
    return "".join(f"{line}\n" for line in lines)


MENU = Menu(
    file="ostreefs.cfg",
    host="custom.cfg",
    start="",
    line="if [ -f ${config_directory}/ostreefs.cfg ]; then"
    " source ${config_directory}/ostreefs.cfg;"
    " elif [ -f $prefix/ostreefs.cfg ]; then source $prefix/ostreefs.cfg; fi",
    format_entry=format_entry,
)
