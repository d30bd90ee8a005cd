# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin verify` and `admin diff`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs.cli.admin.sysroot import add_sysroot_argument, change, look
from ostreefs.cli.diff import format_change
from ostreefs.cli.dispatch import EXIT_CORRUPTION
from ostreefs.cli.output import print_json, print_line, warn
from ostreefs.sysroot.errors import NoDeploymentError
from ostreefs.sysroot.origin import read_origin
from ostreefs.sysroot.verify import Verdict, repair_deployment, verify_deployment
from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.refs import read_commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sysroot.deployments import Deployment, State
    from ostreefs.sysroot.session import Session


def add_verify_arguments(parser: Parser) -> None:
    """Options of `admin verify`."""
    add_sysroot_argument(parser)
    parser.add_argument(
        "--repair", action="store_true", help="make deployments what their commits say"
    )
    parser.add_argument(
        "--from",
        dest="sources",
        metavar="DIR",
        action="append",
        default=[],
        help="look here for copies of what is damaged in the repository, too (may be repeated)",
    )
    parser.add_argument(
        "deployments",
        metavar="INDEX|NAME",
        nargs="*",
        help="deployments, by number or name (else all)",
    )


def run_verify(arguments: Arguments) -> int:
    """Compare deployments with their commits."""
    if arguments.repair:
        with change(arguments) as session, session.repository.in_use(writing=True):
            verdicts = _repair(session, arguments)
    else:
        with look(arguments) as session:
            verdicts = [
                verify_deployment(session.sysroot, session.repository, deployment)
                for deployment in _choose(session.state, arguments.deployments)
            ]
    if arguments.json:
        print_json({"deployments": [_describe(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            _print(verdict)
    return 0 if all(verdict.is_whole for verdict in verdicts) else EXIT_CORRUPTION


def _choose(state: State, wanted: Sequence[str]) -> Sequence[Deployment]:
    return [state.choose(word) for word in wanted] if wanted else state.deployments


def _repair(session: Session, arguments: Arguments) -> list[Verdict]:
    """Repair what is not whole; the verdicts afterwards."""
    sysroot, repository = session.sysroot, session.repository
    sources = [os.fsencode(source) for source in arguments.sources]
    for source in sources:
        os.listdir(source)  # one that is not there is told before the work, not after it
    verdicts: list[Verdict] = []
    for deployment in _choose(session.state, arguments.deployments):
        verdict = verify_deployment(sysroot, repository, deployment)
        if not verdict.is_whole:
            for outcome in repair_deployment(sysroot, repository, verdict, sources):
                if not outcome.repaired:
                    warn(f"object {outcome.problem.name} was not repaired: {outcome.detail}")
            verdict = verify_deployment(sysroot, repository, deployment)
        verdicts.append(verdict)
    return verdicts


def _print(verdict: Verdict) -> None:
    name = verdict.deployment.name
    if verdict.problem:
        print(f"{name}: {verdict.problem}")
        return
    print(f"{name}: {'whole' if verdict.is_whole else 'damaged'}")
    for found in verdict.changes:
        print_line(b"    " + format_change(found))
    for part in verdict.kernel:
        print(f"    its copy of {part} in boot is damaged")


def _describe(verdict: Verdict) -> dict[str, object]:
    return {
        "name": verdict.deployment.name,
        "whole": verdict.is_whole,
        "problem": verdict.problem or None,
        "kernel": verdict.kernel,
        "changes": [
            {"change": found.kind, "path": found.path, "modified": found.aspects}
            for found in verdict.changes
        ],
    }


# ---- diff ----


def add_diff_arguments(parser: Parser) -> None:
    """Options of `admin diff`."""
    add_sysroot_argument(parser)
    parser.add_argument(
        "deployment",
        metavar="INDEX|NAME",
        nargs="?",
        help="its number in 'admin status', or its name (else the current one)",
    )


def run_diff(arguments: Arguments) -> int:
    """Show how the deployed commit differs from its release."""
    with look(arguments) as session, session.repository.index.snapshot() as snapshot:
        if not session.state.deployments:
            raise NoDeploymentError
        deployment = session.state.choose(arguments.deployment or "0")
        origin = read_origin(session.sysroot.origin(deployment.name))
        release, deployed = (
            read_commit(snapshot, each).root for each in (origin.release, origin.commit)
        )
        changes = list(diff_trees(snapshot, release, deployed))
    if arguments.json:
        told = [{"change": c.kind, "path": c.path, "modified": c.aspects} for c in changes]
        ends = {"release": origin.release.hex(), "commit": origin.commit.hex()}
        print_json({**ends, "changes": told})
        return 0
    for found in changes:
        print_line(format_change(found))
    return 0
