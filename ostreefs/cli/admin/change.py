# SPDX-License-Identifier: LGPL-2.1-or-later
"""The verbs of `admin` about deployments that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.admin.kargs import add_karg_arguments, karg_changes
from ostreefs.cli.admin.sysroot import add_sysroot_argument, change, look, tell_wait
from ostreefs.cli.output import print_json
from ostreefs.sysroot.change import (
    clean_up,
    find_rollback,
    prune_unused,
    set_default,
    set_kargs,
    set_pinned,
    undeploy,
)
from ostreefs.sysroot.errors import NoDeploymentError
from ostreefs.sysroot.kargs import Changes, format_kargs
from ostreefs.sysroot.origin import read_origin
from ostreefs.text import format_size

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sysroot.deployments import Deployment, State

_WHICH = "its number in 'admin status', or its name"


def _add_deployment_argument(parser: Parser) -> None:
    add_sysroot_argument(parser)
    parser.add_argument("deployment", metavar="INDEX|NAME", help=_WHICH)


# ---- which boots next ----


def add_rollback_arguments(parser: Parser) -> None:
    """Options of `admin rollback`."""
    add_sysroot_argument(parser)


def run_rollback(arguments: Arguments) -> int:
    """Boot the previous deployment next."""
    with change(arguments) as session:
        deployment = find_rollback(session)
        set_default(session, deployment)
    return _tell_next(deployment, arguments)


def add_set_default_arguments(parser: Parser) -> None:
    """Options of `admin set-default`."""
    _add_deployment_argument(parser)


def run_set_default(arguments: Arguments) -> int:
    """Boot this one next."""
    with change(arguments) as session:
        deployment = session.state.choose(arguments.deployment)
        set_default(session, deployment)
    return _tell_next(deployment, arguments)


def _tell_next(deployment: Deployment, arguments: Arguments) -> int:
    if arguments.json:
        print_json({"current": deployment.name})
    else:
        print(f"Next boot: {deployment.name}")
    return 0


# ---- which stay ----


def add_undeploy_arguments(parser: Parser) -> None:
    """Options of `admin undeploy`."""
    _add_deployment_argument(parser)


def run_undeploy(arguments: Arguments) -> int:
    """Delete a deployment."""
    with change(arguments) as session:
        deployment = session.state.choose(arguments.deployment)
        undeploy(session, deployment)
    if arguments.json:
        print_json({"removed": [deployment.name]})
    else:
        print(f"Deleted {deployment.name}")
    return 0


def add_pin_arguments(parser: Parser) -> None:
    """Options of `admin pin`, with ostree's spellings."""
    parser.add_argument("-u", "--unpin", action="store_true", help="let it go in its turn")
    _add_deployment_argument(parser)


def run_pin(arguments: Arguments) -> int:
    """Keep a deployment."""
    return _set_pinned(arguments, pinned=not arguments.unpin)


def add_unpin_arguments(parser: Parser) -> None:
    """Options of `admin unpin`."""
    _add_deployment_argument(parser)


def run_unpin(arguments: Arguments) -> int:
    """Let a deployment go in its turn."""
    return _set_pinned(arguments, pinned=False)


def _set_pinned(arguments: Arguments, *, pinned: bool) -> int:
    with change(arguments) as session:
        deployment = session.state.choose(arguments.deployment)
        set_pinned(session, deployment, pinned=pinned)
    if arguments.json:
        print_json({"deployment": deployment.name, "pinned": pinned})
    return 0


def add_cleanup_arguments(parser: Parser) -> None:
    """Options of `admin cleanup`."""
    add_sysroot_argument(parser)
    parser.add_argument(
        "--no-prune", action="store_true", help="do not prune the repository afterwards"
    )


def run_cleanup(arguments: Arguments) -> int:
    """Delete what is not needed."""
    with change(arguments) as session:
        tidied = clean_up(session)
        freed = 0 if arguments.no_prune else prune_unused(session, tell_wait).freed
    if arguments.json:
        print_json({"removed": tidied.deployments, "kernels": tidied.kernels, "freed": freed})
        return 0
    for name in tidied.deployments:
        print(f"Deleted {name}")
    print(f"Freed {format_size(freed)} in the repository")
    return 0


# ---- the kernel's arguments ----


def add_kargs_arguments(parser: Parser) -> None:
    """Options of `admin kargs`, with the spellings of `admin deploy`."""
    add_sysroot_argument(parser)
    add_karg_arguments(parser)
    parser.add_argument(
        "deployment", metavar="INDEX|NAME", nargs="?", help=f"{_WHICH} (else the current one)"
    )


def run_kargs(arguments: Arguments) -> int:
    """Show or change the kernel's arguments."""
    changes = karg_changes(arguments)
    if changes == Changes():
        with look(arguments) as session:
            deployment = _choose(session.state, arguments.deployment)
            kargs = read_origin(session.sysroot.origin(deployment.name)).kargs
    else:
        with change(arguments) as session:
            deployment = _choose(session.state, arguments.deployment)
            kargs = set_kargs(session, deployment, changes)
    if arguments.json:
        print_json({"deployment": deployment.name, "kargs": kargs})
    else:
        print(format_kargs(kargs))
    return 0


def _choose(state: State, wanted: str | None) -> Deployment:
    """The deployment that is meant, without a word the current one."""
    if wanted is not None:
        return state.choose(wanted)
    if not state.deployments:
        raise NoDeploymentError
    return state.deployments[0]
