# SPDX-License-Identifier: LGPL-2.1-or-later
"""`run` and `shell`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import complain
from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.rooms import let_others_pass
from ostreefs.fuse.temporary import temporary_mount

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sandbox.options import SandboxOptions


def add_run_arguments(parser: Parser) -> None:
    """Options of `run`."""
    add_sandbox_arguments(parser)
    parser.add_argument("revision", metavar="REV", help="the commit to run it in")
    parser.add_argument("words", metavar="COMMAND", nargs="*", help="the command, best after --")


def add_shell_arguments(parser: Parser) -> None:
    """Options of `shell`."""
    add_sandbox_arguments(parser)
    parser.add_argument("revision", metavar="REV", help="the commit to start it in")
    parser.add_argument("words", metavar="ARGUMENT", nargs="*", help="for the shell, after --")


def add_sandbox_arguments(parser: Parser) -> None:
    """How a command is run inside a tree."""
    add = parser.add_argument
    add("--rw", action="store_true", help="let it write everywhere, and throw that away")
    add("--upper", metavar="DIR", help="with --rw, keep what it writes there")
    add("--no-home", action="store_true", help="without the real /home")
    add("--var", metavar="DIR", help="a directory for /var, instead of a private one")
    network = parser.add_mutually_exclusive_group()
    network.add_argument(
        "--network", action="store_true", help="with this machine's network (the default)"
    )
    network.add_argument("--no-network", action="store_true", help="without any network")
    add("--bind", metavar="SRC[:DST]", action="append", default=[], help="show SRC, writable")
    add("--ro-bind", metavar="SRC[:DST]", action="append", default=[], help="show SRC, read-only")
    add("--env", metavar="NAME[=VALUE]", action="append", default=[], help="set a variable")
    add("--chdir", metavar="DIR", help="start there")
    add("--user", metavar="NAME|UID[:GID]", help="run it as somebody else")


def run_run(arguments: Arguments) -> int:
    """Run a command inside a commit; its exit status."""
    if not arguments.words:
        raise UsageError("run needs a command: REV -- COMMAND")
    return _run(arguments, is_shell=False)


def run_shell(arguments: Arguments) -> int:
    """Start the user's shell inside a commit; its exit status."""
    return _run(arguments, is_shell=True)


def _run(arguments: Arguments, *, is_shell: bool) -> int:
    from ostreefs.sandbox.errors import CommandError  # noqa: PLC0415 -- see below

    options = read_sandbox_options(arguments)
    mount = temporary_mount(
        arguments.repository_path,
        arguments.revision,
        options=choose_mount_options(options),
        meanwhile=_import_sandbox,
    )
    try:
        with mount as tree:
            from ostreefs.sandbox.run import run_in_tree  # noqa: PLC0415 -- it has been by now

            if options.user is not None:
                let_others_pass(tree)
            return run_in_tree(tree, arguments.words, options, is_shell=is_shell)
    except CommandError as error:
        complain(str(error), error.hint)
        return error.status


def _import_sandbox() -> None:
    """Done while the daemon starts."""
    import ostreefs.sandbox.run  # noqa: F401, PLC0415 -- see above


def read_sandbox_options(arguments: Arguments) -> SandboxOptions:
    """What the options ask for."""
    from ostreefs.sandbox.options import (  # noqa: PLC0415 -- see above
        SandboxOptions,
        parse_bind,
        parse_variable,
    )

    if arguments.upper is not None and not arguments.rw:
        raise UsageError("--upper is for --rw")
    if arguments.chdir is not None and not arguments.chdir.startswith("/"):
        raise UsageError("--chdir needs a path that begins with a '/'")
    return SandboxOptions(
        writable=arguments.rw,
        upper=None if arguments.upper is None else Path(arguments.upper).absolute(),
        home=not arguments.no_home,
        var=None if arguments.var is None else Path(arguments.var).absolute(),
        network=not arguments.no_network,
        binds=(
            *(parse_bind(text, writable=True) for text in arguments.bind),
            *(parse_bind(text, writable=False) for text in arguments.ro_bind),
        ),
        environment=tuple(parse_variable(text) for text in arguments.env),
        directory=arguments.chdir,
        user=arguments.user,
    )


def choose_mount_options(options: SandboxOptions) -> MountOptions:
    """How a commit is to be mounted for a command.

    Root lets others in, whom a command may become. To anybody else, who is to write everywhere or
    to be root inside, the whole tree must look like his own.
    """
    shown = MountOptions(apart=options.writable)
    if os.geteuid() == 0:
        return shown._replace(libfuse=("allow_other",))
    if options.writable or options.user in {"root", "0", "0:0"}:
        return shown._replace(uid=os.geteuid(), gid=os.getegid())
    return shown
