# SPDX-License-Identifier: LGPL-2.1-or-later
r"""What a step can say without a program: the ``.toml`` files of rebase.d. Pure.

::

    hostname = "box"
    timezone = "Europe/Berlin"
    locale = "de_DE.UTF-8"
    enable = ["sshd.service"]            units of systemd
    disable = ["bluetooth.service"]
    remove = ["/etc/motd"]               files, or directories with all that is in them

    [[file]]                             is made, or replaced
    path = "/etc/sudoers.d/wheel"
    content = "%wheel ALL=(ALL) ALL\n"
    mode = "0440"                        else that of the file that is there, or 0644

    [[line]]                             is there in the end, once
    path = "/etc/ssh/sshd_config"
    line = "PermitRootLogin no"
    match = "^#?PermitRootLogin "        the line that it replaces, else it is added at the end

    [[symlink]]
    path = "/etc/alternatives/editor"
    target = "/usr/bin/vim"

A step is applied as if its keys stood in the order above, whatever their order in the file. What
is not known is an error: nothing that a step says is passed over.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer|mount|path|swap|slice)")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", re.ASCII)
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z0-9_.@-]+", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)


class FileDeclaration(NamedTuple):
    """A file that a step makes; `mode` None for that of the file that is there."""

    path: bytes
    content: bytes
    mode: int | None


class LineDeclaration(NamedTuple):
    """A line that a file has."""

    path: bytes
    line: str
    match: str | None


class SymlinkDeclaration(NamedTuple):
    """A symbolic link that a step makes."""

    path: bytes
    target: bytes


class Declarations(NamedTuple):
    """All that a step says."""

    hostname: str | None = None
    timezone: str | None = None
    locale: str | None = None
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    remove: tuple[bytes, ...] = ()
    file: tuple[FileDeclaration, ...] = ()
    line: tuple[LineDeclaration, ...] = ()
    symlink: tuple[SymlinkDeclaration, ...] = ()


def parse_declarations(text: str) -> Declarations:
    """Read a step. Raises `ValueError` with a line for a person."""
    document = tomllib.loads(text)
    _require_known(document, _READERS, "")
    return Declarations(**{key: _READERS[key](value, key) for key, value in document.items()})


def _require_known(table: Mapping[str, object], known: Mapping[str, object], where: str) -> None:
    for key in table:
        if key not in known:
            told = f" in [[{where}]]" if where else ""
            raise ValueError(f"there is no '{key}'{told}; there are {', '.join(known)}")


# ---- values ----


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{key} is no text")
    return value


def _word(pattern: re.Pattern[str], what: str) -> Callable[[object, str], str]:
    def read(value: object, key: str) -> str:
        text = _text(value, key)
        if not pattern.fullmatch(text):
            raise ValueError(f"{key}: {text!r} is no {what}")
        return text

    return read


def _list(read: Callable[[object, str], Any]) -> Callable[[object, str], tuple[Any, ...]]:
    def read_all(value: object, key: str) -> tuple[Any, ...]:
        if isinstance(value, list):
            return tuple(read(item, key) for item in value)
        raise ValueError(f"{key} is no list")

    return read_all


def _path(value: object, key: str) -> bytes:
    """An absolute path that stays within the tree, without a slash at its end."""
    text = _text(value, key)
    parts = text.split("/")[1:]
    if not text.startswith("/") or not parts[-1] or {"", ".", ".."} & {*parts}:
        raise ValueError(f"{key}: {text!r} is no path that begins with / and has plain names")
    return text.encode("utf-8", "surrogateescape")


def _mode(value: object, key: str) -> int:
    text = _text(value, key)
    if not _MODE.fullmatch(text):
        raise ValueError(f"{key}: {text!r} is no mode such as '0644'")
    return int(text, 8)


def _one_line(value: object, key: str) -> str:
    text = _text(value, key)
    if "\n" in text:
        raise ValueError(f"{key} has more than one line")
    return text


def _pattern(value: object, key: str) -> str:
    text = _one_line(value, key)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{key}: {text!r} is no regular expression: {error}") from None
    return text


# ---- tables ----

_Readers = dict[str, "Callable[[object, str], Any]"]

_FILE: _Readers = {"path": _path, "content": _text, "mode": _mode}
_LINE: _Readers = {"path": _path, "line": _one_line, "match": _pattern}
_SYMLINK: _Readers = {"path": _path, "target": _text}


def _table(value: object, key: str, readers: _Readers, needed: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(value, dict):
        _require_known(value, readers, key)
        for name in needed:
            if name not in value:
                raise ValueError(f"[[{key}]] without {name}")
        return {name: readers[name](item, name) for name, item in value.items()}
    raise ValueError(f"{key} is no table: write [[{key}]]")


def _file(value: object, key: str) -> FileDeclaration:
    found = _table(value, key, _FILE, ("path", "content"))
    return FileDeclaration(found["path"], found["content"].encode(), found.get("mode"))


def _line(value: object, key: str) -> LineDeclaration:
    found = _table(value, key, _LINE, ("path", "line"))
    return LineDeclaration(found["path"], found["line"], found.get("match"))


def _symlink(value: object, key: str) -> SymlinkDeclaration:
    found = _table(value, key, _SYMLINK, ("path", "target"))
    return SymlinkDeclaration(found["path"], found["target"].encode())


_READERS: _Readers = {
    "hostname": _word(_HOSTNAME, "host name"),
    "timezone": _word(_TIMEZONE, "time zone"),
    "locale": _word(_LOCALE, "locale"),
    "enable": _list(_word(_UNIT, "unit")),
    "disable": _list(_word(_UNIT, "unit")),
    "remove": _list(_path),
    "file": _list(_file),
    "line": _list(_line),
    "symlink": _list(_symlink),
}


# ---- lines ----


def apply_line(text: str, declaration: LineDeclaration) -> str:
    """A file's text with the line in it, once: in the place of what it replaces, or at the end."""
    lines = text.splitlines()
    pattern = re.compile(declaration.match) if declaration.match is not None else None
    kept: list[str] = []
    is_there = False
    for line in lines:
        is_meant = line == declaration.line or (pattern is not None and pattern.search(line))
        if not is_meant:
            kept.append(line)
        elif not is_there:
            kept.append(declaration.line)
            is_there = True
    if not is_there:
        kept.append(declaration.line)
    return "".join(f"{line}\n" for line in kept)
