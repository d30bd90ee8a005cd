# SPDX-License-Identifier: LGPL-2.1-or-later
"""The options about the kernel's arguments, with ostree's spellings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.booted import read_command_line
from ostreefs.sysroot.kargs import Changes, from_running

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


def add_karg_arguments(parser: Parser) -> None:
    """Options of `deploy` and others."""
    add = parser.add_argument
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--karg-none", action="store_true", help="take over no arguments of the kernel"
    )
    start.add_argument(
        "--karg-proc-cmdline",
        action="store_true",
        help="take over the arguments of the running kernel",
    )
    add(
        "--karg",
        action="append",
        default=[],
        metavar="KARG",
        help="set an argument, NAME or NAME=VALUE, in the place of all of its name",
    )
    add(
        "--karg-append",
        action="append",
        default=[],
        metavar="KARG",
        help="add an argument, also beside one of its name",
    )
    add(
        "--karg-delete",
        action="append",
        default=[],
        metavar="KARG",
        help="take out an argument; its NAME will do where there is one of it",
    )


def karg_changes(arguments: Arguments) -> Changes:
    """What these options say."""
    start: tuple[str, ...] | None = None
    if arguments.karg_none:
        start = ()
    elif arguments.karg_proc_cmdline:
        start = from_running(read_command_line())
    return Changes(
        start,
        tuple(arguments.karg_delete),
        tuple(arguments.karg),
        tuple(arguments.karg_append),
    )
