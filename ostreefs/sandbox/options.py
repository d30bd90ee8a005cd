# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a command is to be run inside a tree, and what the words of a command line mean for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ostreefs.sandbox.errors import SandboxError


class Bind(NamedTuple):
    """Something of this machine that is to be seen inside."""

    source: Path
    """Absolute."""
    target: str
    """Where inside, absolute."""
    writable: bool = True


class SandboxOptions(NamedTuple):
    """What ``ostreefs run`` can be told; the defaults are its own."""

    writable: bool = False
    """Put an overlay over the tree, for what is written."""
    upper: Path | None = None
    """The upper directory of that overlay, which is kept; else what is written is thrown away."""
    home: bool = True
    """Show the real /home, to be written to."""
    var: Path | None = None
    """A directory for /var; else a private one, with what the tree has there to be read."""
    network: bool = True
    """The network of this machine; else none but a loopback of its own."""
    binds: tuple[Bind, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """Variables besides those that are there anyway."""
    directory: str | None = None
    """Where it starts; else here, where that is to be seen inside, or at home."""
    user: str | None = None
    """``NAME``, ``UID`` or ``UID:GID``; else ourselves."""


def parse_bind(text: str, *, writable: bool) -> Bind:
    """A ``SRC[:DST]``; a colon in SRC has a backslash before it. Raises `SandboxError`."""
    source, _, target = text.replace("\\:", "\0").partition(":")
    path = Path(os.path.abspath(source.replace("\0", ":")))
    target = target.replace("\0", ":") or str(path)
    if not source or not target.startswith("/"):
        raise SandboxError(f"cannot bind '{text}'", hint="SRC[:DST], where DST begins with a '/'")
    return Bind(path, os.path.normpath(target), writable)


def parse_variable(text: str) -> tuple[str, str]:
    """A ``NAME=VALUE``, or a ``NAME`` of our own environment. Raises `SandboxError`."""
    name, equals, value = text.partition("=")
    if name and equals:
        return name, value
    if not name or name not in os.environ:
        raise SandboxError(
            f"there is no variable '{text}' to hand on", hint="--env=NAME=VALUE sets one"
        )
    return name, os.environ[name]
