# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boot loaders that read a menu from one file, which another file of theirs includes.

All our entries are in a file of our own, and **the atomic step is the rename by which that is
replaced**: the first entry in it is what boots, under a name that never changes, so that the
loader's own configuration can make it the default once and for all. The file that includes ours
gets one line, is otherwise left alone, and decides for itself what it boots by default.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.names import is_deployment_name
from ostreefs_store import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ostreefs.sysroot.boot.loader import BootEntry

DEFAULT_ID = "ostreefs"
"""What the first entry is called; the others have their deployments' names behind it."""

_HEAD = "# Written by 'ostreefs admin': change nothing here.\n# deployments: "


class Menu(NamedTuple):
    """How a loader wants it."""

    file: str
    """Our file."""
    host: str
    """The file that includes it."""
    start: str
    """What that one is made of when it is not there."""
    line: str
    """The line by which it does."""
    format_entry: Callable[[str, BootEntry], str]
    """The text of an entry, by its identifier."""


class MenuFile:
    """The writer; `folder` has both files."""

    needs_kernel = True

    def __init__(self, name: str, folder: Path, menu: Menu) -> None:
        self.name = name
        self._folder = folder
        self._menu = menu

    def find_default(self) -> str | None:
        """The deployment of the first entry."""
        try:
            text = (self._folder / self._menu.file).read_text("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return find_first(text)

    def check(self, entries: Sequence[BootEntry]) -> None:
        """Raise `LoaderError` for what the loader's language cannot say."""
        format_menu(self._menu, entries)

    def install(self, entries: Sequence[BootEntry]) -> None:
        """Replace our file if it is another one; then let it be included if it is not."""
        text = format_menu(self._menu, entries)
        if not self._folder.is_dir():
            durable.ensure_directory(self._folder)
            durable.sync_directory(self._folder.parent)
        for path in self._folder.glob(".tmp-*"):
            path.unlink()
        self._ensure(self._menu.file, text)
        try:
            host = (self._folder / self._menu.host).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            host = self._menu.start
        if self._menu.line not in host.splitlines():
            gap = "" if not host or host.endswith("\n") else "\n"
            self._ensure(self._menu.host, f"{host}{gap}{self._menu.line}\n")

    def _ensure(self, name: str, text: str) -> None:
        path, data = self._folder / name, text.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != data:
            mode = path.stat().st_mode & 0o777 if path.is_file() else 0o644
            durable.write_file(path, data, mode)


def format_menu(menu: Menu, entries: Sequence[BootEntry]) -> str:
    """The text of our file."""
    names = " ".join(entry.deployment for entry in entries)
    parts = [f"{_HEAD}{names}\n"]
    for number, entry in enumerate(entries):
        identifier = f"{DEFAULT_ID}-{entry.deployment}" if number else DEFAULT_ID
        parts.append(menu.format_entry(identifier, entry))
    return "\n".join(parts)


def find_first(text: str) -> str | None:
    """The deployment that our file has first."""
    found = re.search(r"^# deployments: (\S+)", text, re.MULTILINE)
    return found[1] if found is not None and is_deployment_name(found[1]) else None
