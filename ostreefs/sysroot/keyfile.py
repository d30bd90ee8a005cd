# SPDX-License-Identifier: LGPL-2.1-or-later
"""Key files, as GLib has them and ostree uses for its origins. Pure.

https://docs.gtk.org/glib/struct.KeyFile.html: groups in brackets, ``KEY=VALUE``, comments after
``#``; a backslash escapes itself, a newline, a tab, and a space that a value begins with.
"""

from __future__ import annotations

import re

Groups = dict[str, dict[str, str]]
"""Group -> key -> value, in the order of the file."""

_GROUP = re.compile(r"\[([^\[\]\x00-\x1f\x7f]+)\]")
_KEY = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_ESCAPES = {"\\": "\\", "s": " ", "n": "\n", "t": "\t", "r": "\r"}
_UNESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def parse_keyfile(text: str) -> Groups:
    """What a key file says. Raises `ValueError` with a line for a person."""
    groups: Groups = {}
    group: dict[str, str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        header = _GROUP.fullmatch(line.strip())
        if header is not None:
            group = groups.setdefault(header[1], {})
            continue
        key, found, value = line.partition("=")
        key = key.strip()
        if group is None or not found or not _KEY.fullmatch(key) or key in group:
            raise ValueError(f"line {number} is no group, and no new KEY=VALUE in one")
        group[key] = _unescape(value.lstrip(" "), number)
    return groups


def format_keyfile(groups: Groups, comment: str = "") -> str:
    """The text that `parse_keyfile` reads; groups without keys are left out."""
    parts = [f"# {comment}\n"] if comment else []
    for name, keys in groups.items():
        if keys:
            lines = [f"{key}={_escape(value)}\n" for key, value in keys.items()]
            parts.append("".join([f"[{name}]\n", *lines]))
    return "\n".join(parts)


def _unescape(value: str, number: int) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise ValueError(f"line {number} has an escape that means nothing")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.?)", replace, value)


def _escape(value: str) -> str:
    escaped = "".join(_UNESCAPES.get(character, character) for character in value)
    return "\\s" + escaped[1:] if escaped.startswith(" ") else escaped
