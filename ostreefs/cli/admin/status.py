# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.admin.sysroot import add_sysroot_argument, sysroot_path
from ostreefs.cli.df import note_made
from ostreefs.cli.output import print_json
from ostreefs.sysroot.boot.choose import open_loader
from ostreefs.sysroot.deployments import read_state
from ostreefs.sysroot.layout import open_sysroot, read_settings
from ostreefs.text import format_size, format_time
from ostreefs_store.pruning.usage import find_group_uses
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs.sysroot.deployments import Deployment, State
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.pruning.usage import Use

_ABSENT = "(none)"


def add_status_arguments(parser: Parser) -> None:
    """Options of `admin status`."""
    add_sysroot_argument(parser)


def run_status(arguments: Arguments) -> int:
    """List the deployments, in their order."""
    sysroot = open_sysroot(sysroot_path(arguments))
    state = read_state(sysroot, open_loader(sysroot))
    uses = _find_uses(sysroot, state)
    if arguments.json:
        deployments = [
            _describe(number, deployment, state, uses.get(deployment.name))
            for number, deployment in enumerate(state.deployments)
        ]
        roles = state.roles._asdict()
        settings = read_settings(sysroot)
        print_json(
            {
                **roles,
                "interrupted": state.is_interrupted,
                "bootloader": settings.bootloader,
                "os": settings.os,
                "deployments": deployments,
            }
        )
        return 0
    if not state.deployments:
        print("No deployments.")
    for number, deployment in enumerate(state.deployments):
        print("\n".join(_format(number, deployment, state, uses.get(deployment.name))))
    return 0


def _find_uses(sysroot: Sysroot, state: State) -> dict[str, Use]:
    """What the commits of each deployment take."""
    groups = {
        deployment.name: {deployment.origin.commit, deployment.origin.release}
        for deployment in state.deployments
        if deployment.origin is not None
    }
    if not groups:
        return {}
    with Repository.open_best(sysroot.repository) as repository:
        with repository.index.snapshot() as snapshot:
            uses, made = find_group_uses(snapshot, groups)
        note_made(repository, made)
    return uses


def _words(deployment: Deployment, state: State) -> list[str]:
    words = state.roles.of(deployment.name)
    if deployment.origin is not None and deployment.origin.pinned:
        words.append("pinned")
    return words


def _format(number: int, deployment: Deployment, state: State, use: Use | None) -> Iterator[str]:
    """The lines of a deployment; a star marks the one that runs."""
    mark = "*" if deployment.name == state.roles.booted else " "
    words = _words(deployment, state)
    told = f" ({', '.join(words)})" if words else ""
    yield f"{mark} {number} {deployment.name}{told}"
    origin = deployment.origin
    if origin is None:
        yield f"    damaged origin: {deployment.damage}"
        return
    yield f"    Origin: {origin.refspec}"
    yield f"    Version: {origin.version or _ABSENT}"
    yield f"    Commit: {origin.commit.hex()}"
    if origin.commit != origin.release:
        yield f"    Release: {origin.release.hex()}"
    yield f"    Deployed: {format_time(origin.timestamp)}"
    if use is not None:
        shared, exclusive = format_size(use.shared.bytes), format_size(use.exclusive.bytes)
        yield f"    Size: {shared} shared, {exclusive} exclusive"


def _describe(
    number: int, deployment: Deployment, state: State, use: Use | None
) -> dict[str, object]:
    document: dict[str, object] = {
        "index": number,
        "name": deployment.name,
        "path": str(deployment.path),
        "roles": _words(deployment, state),
        "damage": deployment.damage or None,
    }
    origin = deployment.origin
    if origin is None:
        return document
    return document | {
        "os": origin.os,
        "version": origin.version,
        "refspec": origin.refspec,
        "commit": origin.commit.hex(),
        "release": origin.release.hex(),
        "timestamp": origin.timestamp,
        "pinned": origin.pinned,
        "kargs": origin.kargs,
        "boot": origin.boot or None,
        "size": None if use is None else use.total.bytes,
        "shared": None if use is None else use.shared.bytes,
        "exclusive": None if use is None else use.exclusive.bytes,
    }
