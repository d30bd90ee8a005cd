# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the verbs of `admin` share: the sysroot that they work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import warn
from ostreefs.sysroot.session import changing, looking

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sysroot.session import Session


def add_sysroot_argument(parser: Parser) -> None:
    """The option of all of them."""
    parser.add_argument(
        "--sysroot", metavar="PATH", default="/", help="the root of the machine's disk (else /)"
    )


def sysroot_path(arguments: Arguments) -> Path:
    """The sysroot that the user means; its repository is the one in it."""
    if arguments.repo is not None:
        raise UsageError("admin works on the repository of a sysroot: say --sysroot=PATH")
    return Path(arguments.sysroot)


def change(arguments: Arguments) -> AbstractContextManager[Session]:
    """Be alone with the sysroot."""
    return changing(sysroot_path(arguments), on_wait=tell_wait)


def look(arguments: Arguments) -> AbstractContextManager[Session]:
    """Look at the sysroot, beside whoever changes it."""
    return looking(sysroot_path(arguments))


def tell_wait() -> None:
    """Say why nothing happens."""
    warn("somebody else changes this sysroot or its repository; waiting")
