# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deleting: deployments that are not wanted any more, and everything that a crash left.

What is not in the order is not wanted, so the order has gone before: nothing boots it, and no boot
entry names it. A deployment goes in the reverse order of its making: its origin, then its name
(the tree is renamed to a hidden one), then the tree, the pins of its commits, the kernel. Dying in
between leaves what the next run finds by the same rules.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.deployments import list_trees
from ostreefs.sysroot.kernels import remove_copies
from ostreefs.sysroot.layout import LITTER
from ostreefs.sysroot.names import is_deployment_name
from ostreefs.sysroot.origin import SUFFIX
from ostreefs.sysroot.protect import set_immutable
from ostreefs_store import durable
from ostreefs_store.beneath import remove_beneath
from ostreefs_store.pins import delete_pin, iter_pins, set_pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.sysroot.deployments import Deployment, State
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository

PIN_PREFIX = "/ostree/"


class Tidied(NamedTuple):
    """What went."""

    deployments: tuple[str, ...]
    kernels: tuple[str, ...]
    litter: int
    """Other things that crashes left."""


def tidy(sysroot: Sysroot, repository: Repository, state: State) -> Tidied:
    """Delete everything that is not of these deployments. The sysroot is locked."""
    removed = [name for name in list_trees(sysroot) if name not in state.names]
    for name in removed:
        _set_aside(sysroot, name)
    litter = _remove_litter(sysroot, state.names)
    update_pins(repository, state.deployments)
    used = {d.origin.boot for d in state.deployments if d.origin is not None and d.origin.boot}
    kernels: list[str] = []
    if all(d.origin is not None for d in state.deployments):  # else nobody knows what it boots
        kernels = remove_copies(sysroot, used)
    return Tidied(tuple(removed), tuple(kernels), litter - len(removed))


def _set_aside(sysroot: Sysroot, name: str) -> None:
    """Take origin and name from a deployment; its tree is litter then."""
    path = sysroot.deployment(name)
    set_immutable(path, immutable=False)
    durable.trace("tidy:mutable")
    sysroot.origin(name).unlink(missing_ok=True)
    durable.trace("tidy:without-origin")
    durable.rename_new(path, path.with_name(durable.temporary_name(".removed-")))
    durable.sync_directory(sysroot.ostree)


def _remove_litter(sysroot: Sysroot, names: tuple[str, ...]) -> int:
    """Delete what is unfinished or set aside, and origins of nothing; how much it was."""
    fd = os.open(sysroot.ostree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    litter = 0
    try:
        for name in sorted(os.listdir(fd)):
            owner = name.removesuffix(SUFFIX)
            is_stray = owner != name and is_deployment_name(owner) and owner not in names
            if is_stray or name.startswith(LITTER):
                durable.trace("tidy:removing")
                with suppress(NotADirectoryError, FileNotFoundError, OSError):
                    set_immutable(sysroot.ostree / name, immutable=False)
                remove_beneath(fd, os.fsencode(name))
                litter += 1
    finally:
        os.close(fd)
    return litter


# ---- pins ----


def pins_of(deployment: Deployment) -> Iterator[tuple[str, Digest]]:
    """The pins that keep the commits of a deployment: what is deployed, and its release."""
    origin = deployment.origin
    if origin is not None:
        yield f"{PIN_PREFIX}{deployment.name}", origin.commit
        yield f"{PIN_PREFIX}{deployment.name}{SUFFIX}", origin.release


def update_pins(repository: Repository, deployments: tuple[Deployment, ...]) -> None:
    """Have the pins of these deployments and of no others, in one transaction if need be.

    Those of a deployment whose origin nobody can read stay.
    """
    unread = {f"{PIN_PREFIX}{d.name}" for d in deployments if d.origin is None}
    wanted = dict(pin for deployment in deployments for pin in pins_of(deployment))
    with repository.index.snapshot() as snapshot:
        present = {n: c for n, c in iter_pins(snapshot) if is_ours(n)}
        missing = {
            name: commit
            for name, commit in wanted.items()
            if present.get(name) != commit and snapshot.find_commit(commit) is not None
        }
    stale = [
        n for n in present if wanted.get(n) != present[n] and n.removesuffix(SUFFIX) not in unread
    ]
    if stale or missing:
        with repository.index.transaction() as transaction:
            for name in stale:
                delete_pin(transaction, name)
            for name, commit in missing.items():
                set_pin(transaction, name, commit)


def is_ours(pin: str) -> bool:
    """Whether a pin is one of a deployment."""
    name = pin.removeprefix(PIN_PREFIX)
    return name != pin and is_deployment_name(name.removesuffix(SUFFIX))
