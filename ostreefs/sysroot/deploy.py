# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deploying a commit: the sequence, each step of it small, named, and harmless until the last.

1. `plan_deployment` finds out everything that can go wrong, and writes nothing.
2. `_commit` adds mount points to the release if need be, and pins both commits.
3. `_make_tree` checks it out under a hidden name, makes it durable, and gives it its name.
4. `write_origin`: from here on it is a deployment, which nothing boots.
5. `ensure_copy`: kernel and initramfs, where the boot loader reads them.
6. `ensure_var`: what the release has at /var and the machine does not have yet.
7. `publish`: the step that counts.
8. `tidy`, and a prune: what is not wanted any more goes.

Dying before the deciding rename in 7 leaves what was; all that 2 to 5 have made is deleted by the
next command (`tidy`). Dying after it leaves the new deployment, whole. A table of it is in
``docs/internals/crash-safety.md``.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.boot.loader import BootEntry
from ostreefs.sysroot.deployments import Deployment, list_trees
from ostreefs.sysroot.errors import StepError
from ostreefs.sysroot.kargs import Changes, change_kargs, format_kargs
from ostreefs.sysroot.kernels import ensure_copy, find_kernel
from ostreefs.sysroot.layout import LITTER, choose_os, read_settings
from ostreefs.sysroot.mountpoints import add_mount_points, find_missing
from ostreefs.sysroot.names import free_name
from ostreefs.sysroot.origin import Origin, write_origin
from ostreefs.sysroot.protect import set_immutable
from ostreefs.sysroot.rebase.steps import read_steps
from ostreefs.sysroot.retention import choose_kept
from ostreefs.sysroot.room import Room, check, measure, measure_tree
from ostreefs.sysroot.tidy import pins_of
from ostreefs.sysroot.variable import ensure_var, is_var_empty
from ostreefs_store import durable
from ostreefs_store.checkouts.checkout import checkout
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.errors import NoKernelError
from ostreefs_store.pins import set_pin
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.traverse import find_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.sysroot.kernels import Kernel
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs.sysroot.session import Session
    from ostreefs.sysroot.tidy import Tidied
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Commit, Digest
    from ostreefs_store.repository import Repository

VERSION = "version"
_LINUX = "ostree.linux"
"""Metadata of commits, with ostree's keys: the version of the tree, and of its kernel."""


class Request(NamedTuple):
    """What is to be deployed, and how."""

    revision: str
    refspec: str | None = None
    """What upgrades follow; None for the revision, if that is a ref."""
    os: str | None = None
    kargs: Changes = Changes()
    retain: bool = False
    as_default: bool = True
    rebase: bool = True


class Plan(NamedTuple):
    """What will be deployed. `origin` names the release as what is deployed until it is known."""

    origin: Origin
    root: Digest
    kernel: Kernel | None
    room: Room


def plan_deployment(session: Session, request: Request) -> Plan:
    """Find out what a deployment takes, and whether it can be; nothing is written.

    The repository is in use. Raises `RevisionNotFoundError`, `OsNotFoundError`, `NoKernelError`,
    `MountPointError`, `KargError`, `LoaderError`, `StepError`, `RoomError`, `CorruptionError`.
    """
    if request.rebase:
        refuse_steps(session.sysroot)
    with session.repository.index.snapshot() as snapshot:
        release = resolve(snapshot, request.revision)
        commit = read_commit(snapshot, release)
        find_missing(snapshot, commit.root)
        kernel = _find_kernel(session, snapshot, commit)
        size = _measure(session, snapshot, commit.root)
        is_ref = snapshot.find_ref(request.revision) is not None
    room = measure(session.sysroot, size, kernel)
    check(session.sysroot, room)
    origin = _make_origin(session, request, release, commit)
    return Plan(
        origin._replace(
            refspec=request.refspec or (request.revision if is_ref else release.hex()),
            boot=kernel.folder if kernel is not None else "",
        ),
        commit.root,
        kernel,
        room,
    )


def _make_origin(session: Session, request: Request, release: Digest, commit: Commit) -> Origin:
    """The origin of a release, with what is taken over from the deployment that there is."""
    base = session.state.base
    usual = base.origin if base is not None else None
    kargs = change_kargs(usual.kargs if usual else (), request.kargs)
    session.loader.check([BootEntry("", "", "", "", format_kargs(kargs))])
    version = commit.metadata.get(VERSION, "")
    return Origin(
        refspec="",
        os=choose_os(read_settings(session.sysroot), request.os, usual.os if usual else None),
        version=version if isinstance(version, str) else "",
        release=release,
        commit=release,
        timestamp=int(time.time()),
        kargs=kargs,
    )


def _measure(session: Session, snapshot: Snapshot, root: Digest) -> int:
    """The bytes that the tree takes, and the copy of its /var if it will be the first."""
    size = measure_tree(snapshot, root, links=_links(session.repository))
    var = find_entry(snapshot, root, b"/var")
    if var is not None and var[0] and is_var_empty(session.sysroot):
        size += measure_tree(snapshot, var[1], links=False)
    return size


def refuse_steps(sysroot: Sysroot) -> None:
    """Raise `StepError` when there are steps: nobody shall take them for done."""
    for step in read_steps(sysroot.rebase):
        raise StepError(
            sysroot.rebase / step.name,
            "this version runs no steps",
            hint="say --no-rebase to deploy the release as it is",
        )


def _find_kernel(session: Session, snapshot: Snapshot, commit: Commit) -> Kernel | None:
    if not session.loader.needs_kernel:
        return None
    kernel = find_kernel_of(snapshot, commit)
    if kernel is None:
        raise NoKernelError("it has no kernel")
    return kernel


def find_kernel_of(snapshot: Snapshot, commit: Commit) -> Kernel | None:
    """The kernel of a commit, which its metadata may name. Raises `NoKernelError` as there."""
    version = commit.metadata.get(_LINUX)
    return find_kernel(snapshot, commit.root, version if isinstance(version, str) else None)


def deploy(
    session: Session, request: Request, progress: Callable[[int], None] | None = None
) -> tuple[Deployment, Tidied]:
    """Deploy a commit; the deployment, and what went for it. See the module for the promise."""
    sysroot, repository = session.sysroot, session.repository
    with repository.in_use(writing=True):
        plan = plan_deployment(session, request)
        deployment = _commit(session, plan)
        _make_tree(sysroot, repository, deployment, progress)
        assert deployment.origin is not None
        write_origin(sysroot.origin(deployment.name), deployment.origin)
        if plan.kernel is not None:
            ensure_copy(sysroot, repository, plan.kernel)
        ensure_var(sysroot, repository, plan.root)
        tidied = session.publish(_choose_order(session, deployment, request))
    return deployment, tidied


def _commit(session: Session, plan: Plan) -> Deployment:
    """Make the commit that is deployed, find its name, and pin it."""
    sysroot, repository, origin = session.sysroot, session.repository, plan.origin
    origin = origin._replace(commit=add_mount_points(repository, origin.release))
    name = free_name(origin.os, origin.version, origin.release, list_trees(sysroot))
    deployment = Deployment(name, sysroot.deployment(name), origin)
    with repository.index.transaction() as transaction:
        for pin, commit in pins_of(deployment):
            set_pin(transaction, pin, commit)
    return deployment


def _make_tree(
    sysroot: Sysroot,
    repository: Repository,
    deployment: Deployment,
    progress: Callable[[int], None] | None,
) -> None:
    """Check out a tree, whole and durable before it gets its name."""
    assert deployment.origin is not None
    with repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, deployment.origin.commit).root
    staged = sysroot.ostree / f"{LITTER[0]}{deployment.name}"
    checkout(repository, root, staged, checkout_options(), progress)
    fd = os.open(sysroot.ostree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        durable.sync_filesystem(fd)
    finally:
        os.close(fd)
    durable.rename_new(staged, deployment.path)
    durable.sync_directory(sysroot.ostree)
    set_immutable(deployment.path, immutable=True)


def _choose_order(session: Session, new: Deployment, request: Request) -> list[Deployment]:
    """The new deployment and those that stay, in their order."""
    old = list(session.state.deployments)
    ordered = [new, *old] if request.as_default else [*old, new]
    if request.retain:
        return ordered
    names = [deployment.name for deployment in ordered]
    pinned = {*session.state.pinned, new.name}
    kept = choose_kept(names, session.state.roles.booted, pinned)
    return [deployment for deployment in ordered if deployment.name in kept]


def checkout_options() -> CheckoutOptions:
    """As a deployment is checked out: an ordinary user can but have what his own files can be."""
    return CheckoutOptions(user=os.geteuid() != 0)


def _links(repository: Repository) -> bool:
    """Whether the files of a checkout are links to objects."""
    return checkout_options().user == (repository.config.mode == "bare-user")
