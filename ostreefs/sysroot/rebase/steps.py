# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding the steps of rebase.d, in their order.

A step is a file ``NN-name``, a program, or ``NN-name.toml``, see `declarations`. They follow each
other by their names, as the numbers say. A file that is neither is an error, so that nobody takes
a step for done that never was; files that begin with a dot or end with ``~`` are those of editors.
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from ostreefs.sysroot.errors import StepError
from ostreefs.sysroot.rebase.declarations import Declarations, parse_declarations
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[0-9]{2,}-[A-Za-z0-9._+-]+", re.ASCII)
_SUFFIX = ".toml"


class Step(NamedTuple):
    """A step; `declarations` None for a program. The digest is that of its content."""

    name: str
    digest: Digest
    declarations: Declarations | None


def read_steps(folder: Path) -> tuple[Step, ...]:
    """The steps of a folder, in their order; none where there is no folder.

    Raises `StepError` for what is no step, `OSError`.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return ()
    return tuple(_read(folder / name) for name in names if not _is_passed_over(name))


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.endswith("~")


def _read(path: Path) -> Step:
    if not _NAME.fullmatch(path.name):
        raise StepError(path, "its name is not made of two digits, a dash and a name")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StepError(path, "it is no file")
    data = path.read_bytes()
    digest = Digest(blake3(data).digest())
    if path.name.endswith(_SUFFIX):
        try:
            return Step(path.name, digest, parse_declarations(data.decode("utf-8")))
        except ValueError as error:  # wrong TOML and wrong UTF-8 are some
            raise StepError(path, str(error)) from None
    if not found.st_mode & 0o111:
        raise StepError(path, "it is not executable, and its name does not end with .toml")
    return Step(path.name, digest, None)
