# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel's arguments: their line, and changes to them with ostree's meanings. Pure.

Double quotes keep spaces together, as the kernel has it (``next_arg`` in its ``lib/cmdline.c``);
an argument stays as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.errors import KargError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SELECTOR = "ostreefs"
"""The argument that says which deployment to boot; it is ours alone."""

_OF_THE_LOADER = {"BOOT_IMAGE", "initrd", SELECTOR}


class Changes(NamedTuple):
    """What to do, in this order: `start` anew (None: from what there is), delete, set, append."""

    start: tuple[str, ...] | None = None
    delete: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    append: tuple[str, ...] = ()


def parse_kargs(line: str) -> tuple[str, ...]:
    """The arguments of a command line."""
    arguments: list[str] = []
    current = ""
    quoted = False
    for character in line:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            if current:
                arguments.append(current)
            current = ""
        else:
            current += character
    return (*arguments, current) if current else tuple(arguments)


def format_kargs(arguments: Iterable[str]) -> str:
    """The command line of these arguments."""
    return " ".join(arguments)


def find_last(arguments: Iterable[str], name: str) -> str | None:
    """The value of an argument; the last one counts."""
    values = [value for key, found, value in _split_all(arguments) if key == name and found]
    return values[-1] if values else None


def from_running(arguments: Iterable[str]) -> tuple[str, ...]:
    """Those of the running kernel's arguments that are not what the boot loader added."""
    return tuple(a for a in arguments if a.partition("=")[0] not in _OF_THE_LOADER)


def change_kargs(arguments: Sequence[str], changes: Changes) -> tuple[str, ...]:
    """The arguments after changes. Raises `KargError`."""
    changed = list(arguments if changes.start is None else changes.start)
    for word in changes.delete:
        changed.remove(_find(changed, word))
    for word in changes.replace:
        _check(word)
        changed = _replace(changed, word)
    for word in changes.append:
        _check(word)
        changed.append(word)
    return tuple(changed)


def _split_all(arguments: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    return (argument.partition("=") for argument in arguments)


def _check(word: str) -> None:
    name = word.partition("=")[0]
    if not name or parse_kargs(word) != (word,) or not word.isprintable():
        raise KargError(word, 'it is not one argument; quote a value with spaces: NAME="a b"')
    if name == SELECTOR:
        raise KargError(word, "each deployment has its own; choose with 'admin set-default'")


def _find(arguments: Sequence[str], word: str) -> str:
    """The argument that is meant by NAME=VALUE, or by NAME when there is one of it."""
    if word in arguments:
        return word
    name, has_value, _ = word.partition("=")
    found = [argument for argument in arguments if argument.partition("=")[0] == name]
    if has_value or not found:
        raise KargError(word, "there is no such argument to delete")
    if len(found) > 1:
        raise KargError(word, f"there are several of it, {', '.join(found)}: say which")
    return found[0]


def _replace(arguments: Sequence[str], word: str) -> list[str]:
    """The word in the place of the first argument of its name; the others of it go."""
    name = word.partition("=")[0]
    replaced: list[str] = []
    is_done = False
    for argument in arguments:
        if argument.partition("=")[0] != name:
            replaced.append(argument)
        elif not is_done:
            replaced.append(word)
            is_done = True
    return replaced if is_done else [*replaced, word]
