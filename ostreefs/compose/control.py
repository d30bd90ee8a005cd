# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's control data (deb-control(5)), and dpkg's list of what is installed. Pure.

A paragraph has a field a line, ``Name: value``; lines that begin with a blank go on with the
field before. Paragraphs have an empty line between them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.compose.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD = re.compile(r"^([!-9;-~]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9.+~:-]+", re.ASCII)
_OF_STATUS = {"status", "conffiles", "config-version"}


class Control(NamedTuple):
    """The control fields of a package, and those that every one has."""

    name: str
    version: str
    architecture: str
    fields: tuple[tuple[str, str], ...]

    @property
    def info_name(self) -> str:
        """What dpkg's files about it are called before the dot."""
        is_same = dict(self.fields).get("Multi-Arch", "").strip() == "same"
        return f"{self.name}:{self.architecture}" if is_same else self.name


def parse_control(data: bytes, path: str) -> Control:
    """Parse the control file of a package. Raises `PackageError`."""
    text = data.decode("utf-8", "surrogateescape").strip("\n")
    fields = tuple((match[1], match[2].rstrip()) for match in _FIELD.finditer(text))
    found = {name.lower(): value.strip() for name, value in fields}
    for key, allowed in (("package", _NAME), ("version", _WORD), ("architecture", _WORD)):
        if not allowed.fullmatch(found.get(key, "")):
            raise PackageError(path, f"its control file says '{found.get(key, '')}' as its {key}")
    return Control(found["package"], found["version"], found["architecture"], fields)


def register(status: bytes, control: Control, state: str, conffiles: Mapping[str, str]) -> bytes:
    """The text of dpkg's ``status`` with a package in this state, in place of an older version.

    `conffiles` are paths with the MD5 of what the package has there.
    """
    lines = [f"Package: {control.name}", f"Status: install ok {state}"]
    for name, value in control.fields:
        if name.lower() != "package" and name.lower() not in _OF_STATUS:
            lines.append(f"{name}: {value}" if value else f"{name}:")
    if conffiles:
        lines += ["Conffiles:", *(f" {path} {md5}" for path, md5 in conffiles.items())]
    stanza = "\n".join(lines).encode("utf-8", "surrogateescape")
    kept = [
        paragraph
        for paragraph in re.split(rb"\n(?:[ \t]*\n)+", status.strip(b"\n"))
        if paragraph and not _is_same(paragraph, control)
    ]
    return b"\n\n".join([*kept, stanza]) + b"\n\n"


def is_unpacked(status: bytes, name: str) -> bool:
    """Whether dpkg's ``status`` has a package that was unpacked and not configured."""
    wanted = rb"^Package:[ \t]*%b[ \t]*\n(?:.+\n)*?Status:.*unpacked[ \t]*$"
    return re.search(wanted % re.escape(name.encode()), status, re.MULTILINE) is not None


def _is_same(paragraph: bytes, control: Control) -> bool:
    """Whether a paragraph is about this package, or if "same" about this architecture of it."""
    if not re.search(
        rb"^Package:[ \t]*%b[ \t]*$" % re.escape(control.name.encode()), paragraph, re.MULTILINE
    ):
        return False
    if not re.search(rb"^Multi-Arch:[ \t]*same[ \t]*$", paragraph, re.MULTILINE):
        return True
    arch = re.escape(control.architecture.encode())
    return bool(re.search(rb"^Architecture:[ \t]*%b[ \t]*$" % arch, paragraph, re.MULTILINE))
