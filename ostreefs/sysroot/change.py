# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changing what there is: which deployment boots, which ones stay, with which arguments.

A rollback is no different from an upgrade: the same step, `publish`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.sysroot.errors import DeploymentInUseError, DowngradeError, NoDeploymentError
from ostreefs.sysroot.kargs import change_kargs
from ostreefs.sysroot.origin import read_origin, write_origin
from ostreefs.sysroot.publish import make_entries
from ostreefs.sysroot.retention import choose_kept
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.sysroot.deployments import Deployment
    from ostreefs.sysroot.kargs import Changes
    from ostreefs.sysroot.origin import Origin
    from ostreefs.sysroot.session import Session
    from ostreefs.sysroot.tidy import Tidied
    from ostreefs_store.model import Digest
    from ostreefs_store.pruning.prune import Report

_PRUNED = Rules(refs_only=True)
"""What a sysroot keeps: what refs lead to, by the repository's policies, and what is pinned."""


def set_default(session: Session, deployment: Deployment) -> None:
    """Let a deployment boot next; the others keep their order."""
    others = [d for d in session.state.deployments if d.name != deployment.name]
    session.publish([deployment, *others])


def find_rollback(session: Session) -> Deployment:
    """The deployment that a rollback makes current. Raises `NoDeploymentError`."""
    found = session.state.find(session.state.roles.rollback)
    if found is None:
        raise NoDeploymentError("there is no other deployment to go back to")
    return found


def undeploy(session: Session, deployment: Deployment) -> Tidied:
    """Delete a deployment. When it is the current one, the next in the order boots.

    Raises `DeploymentInUseError` for the booted one, a pinned one, and the only one.
    """
    name = deployment.name
    if name == session.state.roles.booted:
        raise DeploymentInUseError(name, "booted", "boot another one first")
    if deployment.origin is not None and deployment.origin.pinned:
        raise DeploymentInUseError(name, "pinned", f"'ostreefs admin unpin {name}' first")
    others = [d for d in session.state.deployments if d.name != name]
    if not others:
        raise DeploymentInUseError(name, "the only one", "deploy another one first")
    return session.publish(others)


def clean_up(session: Session) -> Tidied:
    """Delete the deployments that are not current, the rollback, booted or pinned."""
    state = session.state
    kept = choose_kept(state.names, state.roles.booted, state.pinned)
    return session.publish([d for d in state.deployments if d.name in kept])


def prune_unused(session: Session, on_wait: Callable[[], None] | None = None) -> Report:
    """Delete what no deployment, ref or pin needs, as ostree does after a deploy."""
    return prune(session.repository, _PRUNED, on_wait=on_wait)


# ---- origins ----


def set_pinned(session: Session, deployment: Deployment, *, pinned: bool) -> None:
    """Let a deployment stay whatever comes, or not. Raises `OriginError`."""
    path = session.sysroot.origin(deployment.name)
    origin = read_origin(path)
    if origin.pinned != pinned:
        write_origin(path, origin._replace(pinned=pinned))


def set_kargs(session: Session, deployment: Deployment, changes: Changes) -> tuple[str, ...]:
    """Change the kernel's arguments of a deployment; what they are then.

    Dying between the origin and the boot loader's entry leaves an entry with the old arguments,
    which the next command writes anew. Raises `KargError`, `LoaderError`,
    `OriginError`.
    """
    path = session.sysroot.origin(deployment.name)
    origin = read_origin(path)
    origin = origin._replace(kargs=change_kargs(origin.kargs, changes))
    changed = deployment._replace(origin=origin)
    wanted = [changed if d.name == deployment.name else d for d in session.state.deployments]
    entries = make_entries(session.sysroot, wanted)
    session.loader.check(entries)
    write_origin(path, origin)
    session.loader.install(entries)
    return origin.kargs


# ---- what an upgrade leads to ----


def find_upgrade(session: Session, *, allow_downgrade: bool = False) -> tuple[Origin, Digest]:
    """The origin that an upgrade starts from, and the release that it leads to: perhaps the same.

    Raises `NoDeploymentError`, `RevisionNotFoundError`, `DowngradeError`.
    """
    state = session.state
    base = state.base
    if base is None:
        raise NoDeploymentError
    origin = base.origin or read_origin(session.sysroot.origin(base.name))
    if origin.ref is None:
        raise NoDeploymentError(
            f"deployment '{base.name}' follows no ref: it was deployed by its commit id",
            hint="name a ref with 'ostreefs admin switch REF'",
        )
    current = state.find(state.roles.current)
    with session.repository.index.snapshot() as snapshot:
        release = resolve(snapshot, origin.ref)
        if (
            current is not None
            and current.origin is not None
            and current.origin.release == release
        ):
            return current.origin, release
        new = read_commit(snapshot, release).timestamp
        there = snapshot.find_commit(origin.release)
        old = read_commit(snapshot, origin.release).timestamp if there is not None else new
    if new < old and not allow_downgrade:
        raise DowngradeError(origin.ref, old, new)
    return origin, release
