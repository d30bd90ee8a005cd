# SPDX-License-Identifier: LGPL-2.1-or-later
"""Entries of the Boot Loader Specification, for systemd-boot and for GRUBs that read them.

https://uapi-group.org/specifications/specs/boot_loader_specification/

::

    boot/loader/entries/
      ostreefs-001002-gnomeos-3.3-51f2cc40.conf       what boots: the highest number
      ostreefs-001001-gnomeos-3.2-7e9788a2.conf

The number stands in the name, by which GRUB sorts, and as ``version``, by which systemd-boot sorts
what has one ``sort-key``. So the deployment to boot is the one whose entry has the highest number,
and **the atomic step is the rename of one file**: the entry of a deployment that is to boot next
is written anew with a number above all others. That needs no symbolic link, holds on FAT as on any
other filesystem, and leaves alone the folder and what else is in it. Until the old entry of the
same deployment is deleted there are two of it, which boot the same.

Where a loader counts, it renames ``NAME.conf`` to ``NAME+2-1.conf``; such names are ours, too.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.names import is_deployment_name
from ostreefs_store import durable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ostreefs.sysroot.boot.loader import BootEntry

_FIRST = 1000
_NAME = re.compile(r"ostreefs-([0-9]{6,})-(.+?)(?:\+[0-9]+(?:-[0-9]+)?)?\.conf", re.ASCII)
_SORT_KEY = "ostreefs"


class Present(NamedTuple):
    """An entry that is there."""

    number: int
    deployment: str
    file: str
    text: str


class Plan(NamedTuple):
    """What to write, in this order, and what to delete then: files below ``entries``."""

    write: tuple[tuple[str, str], ...]
    delete: tuple[str, ...]


class BootEntries:
    """The writer; `folder` is ``boot/loader/entries``."""

    needs_kernel = True

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def find_default(self) -> str | None:
        """The deployment with the highest number."""
        present = self._read()
        return max(present).deployment if present else None

    @staticmethod
    def check(entries: Sequence[BootEntry]) -> None:
        """Anything of one line will do, and arguments are."""

    def install(self, entries: Sequence[BootEntry]) -> None:
        """Write what is not there as it should be, the default first; then delete the rest."""
        for path in (self._folder.parent, self._folder):
            if not path.is_dir():
                durable.ensure_directory(path)
                durable.sync_directory(path.parent)
        for path in self._folder.glob(".tmp-*"):
            path.unlink()
        plan = plan_entries(self._read(), entries)
        for file, text in plan.write:
            durable.write_file(self._folder / file, text.encode())
        for file in plan.delete:
            with suppress(FileNotFoundError):
                (self._folder / file).unlink()
            durable.trace("bls:deleted")
        if plan.delete:
            durable.sync_directory(self._folder)

    def _read(self) -> list[Present]:
        try:
            files = sorted(path.name for path in self._folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        found: list[Present] = []
        for file in files:
            parsed = parse_file_name(file)
            if parsed is not None:
                text = (self._folder / file).read_text("utf-8", "replace")
                found.append(Present(*parsed, file, text))
        return found


def parse_file_name(file: str) -> tuple[int, str] | None:
    """Number and deployment of an entry of ours; None for every other file."""
    match = _NAME.fullmatch(file)
    if match is None or not is_deployment_name(match[2]):
        return None
    return int(match[1]), match[2]


def format_file_name(number: int, deployment: str) -> str:
    """The name of an entry."""
    return f"ostreefs-{number:06}-{deployment}.conf"


def format_entry(number: int, entry: BootEntry) -> str:
    """The text of an entry."""
    keys = {
        "title": entry.title,
        "version": str(number),
        "sort-key": _SORT_KEY,
        "options": entry.options,
        "linux": entry.kernel,
        "initrd": entry.initramfs,
    }
    return "".join(f"{key} {value}\n" for key, value in keys.items() if value)


def plan_entries(present: Iterable[Present], entries: Sequence[BootEntry]) -> Plan:
    """What leads from the entries that are there to those that are wanted, the first to boot.

    The last ones that are right and in their order stay; those before them get new numbers, above
    all that there are, and are written from the first one on: the first write decides what boots.
    """
    there = sorted(present, reverse=True)
    kept: list[Present] = []
    for entry in reversed(entries):
        above = kept[-1].number if kept else -1
        right = (p for p in there if p.number > above and p.text == format_entry(p.number, entry))
        found = min(right, default=None)
        if found is None or found.deployment != entry.deployment:
            break
        kept.append(found)
    if len(kept) == len(entries) and kept and there[0] != kept[-1]:
        kept.pop()  # what boots is below something that goes: deleting would be the step
    new = entries[: len(entries) - len(kept)]
    top = max([_FIRST - 1, *(p.number for p in there)]) + len(new)
    write = [
        (format_file_name(top - place, entry.deployment), format_entry(top - place, entry))
        for place, entry in enumerate(new)
    ]
    files = {p.file for p in kept}
    return Plan(tuple(write), tuple(p.file for p in there if p.file not in files))
