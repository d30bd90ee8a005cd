# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin deploy`, `admin upgrade` and `admin switch`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from ostreefs.cli.admin.kargs import add_karg_arguments, karg_changes
from ostreefs.cli.admin.sysroot import add_sysroot_argument, change, look, tell_wait
from ostreefs.cli.output import ProgressBar, print_json
from ostreefs.sysroot.change import find_upgrade, prune_unused
from ostreefs.sysroot.deploy import Plan, Request, deploy, plan_deployment
from ostreefs.text import format_size
from ostreefs_store.names import check_ref

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sysroot.deployments import Deployment
    from ostreefs.sysroot.origin import Origin
    from ostreefs.sysroot.session import Session
    from ostreefs.sysroot.tidy import Tidied
    from ostreefs_store.model import Digest


def _add_common_arguments(parser: Parser) -> None:
    add_sysroot_argument(parser)
    add = parser.add_argument
    add("--os", metavar="OS", help="the operating system (else that which runs, or the only one)")
    add("--retain", action="store_true", help="keep all other deployments")
    add("--no-prune", action="store_true", help="do not prune the repository afterwards")
    add("--no-rebase", action="store_true", help="apply no step of rebase.d: the release as it is")
    add("--dry-run", action="store_true", help="say what would be deployed and what it takes")


def add_deploy_arguments(parser: Parser) -> None:
    """Options of `admin deploy`, with ostree's spellings."""
    _add_common_arguments(parser)
    parser.add_argument(
        "--not-as-default", action="store_true", help="let what boots now boot next, too"
    )
    add_karg_arguments(parser)
    parser.add_argument(
        "revision", metavar="REV", help="a ref, which upgrades follow, or a commit"
    )


def run_deploy(arguments: Arguments) -> int:
    """Deploy a commit."""
    request = _request(arguments, arguments.revision)
    request = request._replace(
        kargs=karg_changes(arguments), as_default=not arguments.not_as_default
    )
    with _open(arguments) as session:
        _deploy(session, request, arguments)
    return 0


def add_upgrade_arguments(parser: Parser) -> None:
    """Options of `admin upgrade`, with ostree's spellings."""
    _add_common_arguments(parser)
    _add_reboot_argument(parser)
    parser.add_argument(
        "--allow-downgrade", action="store_true", help="also to a commit with an older timestamp"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether there is something newer"
    )


def run_upgrade(arguments: Arguments) -> int:
    """Deploy what the ref names now, unless that is deployed."""
    with look(arguments) if arguments.check else _open(arguments) as session:
        origin, release = find_upgrade(session, allow_downgrade=arguments.allow_downgrade)
        is_newer = release != origin.release
        if not is_newer or arguments.check:
            _print_check(origin, release, arguments)
            return 0
        request = _request(arguments, release.hex())
        request = request._replace(refspec=origin.refspec, os=arguments.os or origin.os)
        _deploy(session, request, arguments)
    return _reboot(arguments)


def _print_check(origin: Origin, release: Digest, arguments: Arguments) -> None:
    is_newer = release != origin.release
    if arguments.json:
        found = {"refspec": origin.refspec, "release": release.hex()}
        print_json({**found, "available": is_newer, "deployed": None})
    elif is_newer:
        print(f"{origin.refspec}: {release.hex()} is available")
    else:
        print("No upgrade available.")


def add_switch_arguments(parser: Parser) -> None:
    """Options of `admin switch`, with ostree's spellings."""
    _add_common_arguments(parser)
    _add_reboot_argument(parser)
    parser.add_argument("ref", metavar="REF", help="the ref to follow from now on")


def run_switch(arguments: Arguments) -> int:
    """Deploy another ref."""
    check_ref(arguments.ref)
    with _open(arguments) as session:
        _deploy(session, _request(arguments, arguments.ref), arguments)
    return _reboot(arguments)


# ---- what they share ----


def _add_reboot_argument(parser: Parser) -> None:
    parser.add_argument(
        "-r", "--reboot", action="store_true", help="reboot when something was deployed"
    )


def _reboot(arguments: Arguments) -> int:
    """Have systemd reboot the machine, if asked; everything is on the disk."""
    if not arguments.reboot or arguments.dry_run:
        return 0
    sys.stdout.flush()
    return subprocess.run(["systemctl", "reboot"], check=False).returncode


def _open(arguments: Arguments) -> AbstractContextManager[Session]:
    return look(arguments) if arguments.dry_run else change(arguments)


def _request(arguments: Arguments, revision: str) -> Request:
    return Request(
        revision, os=arguments.os, retain=arguments.retain, rebase=not arguments.no_rebase
    )


def _deploy(session: Session, request: Request, arguments: Arguments) -> None:
    if arguments.dry_run:
        with session.repository.in_use():
            plan = plan_deployment(session, request)
        _print_plan(plan, arguments)
        return
    with ProgressBar("deploy", " files") as bar:
        deployment, tidied = deploy(session, request, bar.update)
    freed = 0
    if tidied.deployments and not arguments.no_prune:
        freed = prune_unused(session, tell_wait).freed
    _print_result(deployment, tidied, freed, arguments)


def _print_plan(plan: Plan, arguments: Arguments) -> None:
    room = plan.room
    if arguments.json:
        document = {"release": plan.origin.release.hex(), "version": plan.origin.version}
        print_json({**document, "os": plan.origin.os, "room": room._asdict()})
        return
    print(f"Would deploy {plan.origin.release.hex()}")
    print(f"Tree: {format_size(room.tree)}; {format_size(room.tree_free)} are free")
    print(f"Boot: {format_size(room.boot)}; {format_size(room.boot_free)} are free")


def _print_result(
    deployment: Deployment, tidied: Tidied, freed: int, arguments: Arguments
) -> None:
    if arguments.json:
        origin = deployment.origin
        assert origin is not None
        document: dict[str, object] = {
            "deployed": deployment.name,
            "release": origin.release.hex(),
            "commit": origin.commit.hex(),
            "refspec": origin.refspec,
            "removed": tidied.deployments,
            "freed": freed,
        }
        print_json(document)
        return
    print(f"Deployed {deployment.name}")
    for name in tidied.deployments:
        print(f"Deleted {name}")
