# SPDX-License-Identifier: LGPL-2.1-or-later
"""The step that counts: what boots next, and in which order the others follow.

Everything before it prepares, everything after it tidies up. It is the same for a deploy, a
rollback and every other change of the order:

1. `write_orders`: what is to hold, beside what holds. It says nothing yet.
2. `Loader.install`: the boot loader's entries. **Its atomic step decides** what the machine boots.
3. `swap_symlink`: ``/ostree/current`` follows. Where no loader is written for, **this rename
   decides**.
4. `write_orders`: nothing is open any more; `current` changed by hand is not taken for a crash.

Dying before the deciding step leaves the order that was; dying after it, the one that is to be,
and the next command takes the steps that are left (`finish`). Each entry names its own deployment,
kernel and initramfs, so that these three change together whatever `current` says at that moment.

A deployment whose origin cannot be read stands in the way of every change but its removal: what
the boot loader has of it could not be written again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs.sysroot.boot.loader import BootEntry
from ostreefs.sysroot.errors import OriginError
from ostreefs.sysroot.kargs import SELECTOR, format_kargs
from ostreefs.sysroot.kernels import FOLDER, INITRAMFS, KERNEL, find_copy
from ostreefs.sysroot.order import Orders, write_orders
from ostreefs.sysroot.protect import set_immutable
from ostreefs_store import durable
from ostreefs_store.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs.sysroot.boot.loader import Loader
    from ostreefs.sysroot.deployments import Deployment, State
    from ostreefs.sysroot.layout import Sysroot


def publish(sysroot: Sysroot, loader: Loader, before: State, wanted: Sequence[Deployment]) -> None:
    """Let these deployments be there, in this order; see the module for what is promised.

    Raises `OriginError`; nothing has changed then.
    """
    names = tuple(deployment.name for deployment in wanted)
    entries = make_entries(sysroot, wanted)
    durable.trace("publish:begun")
    write_orders(sysroot.order, Orders(names, before.names))
    loader.install(entries)
    _settle(sysroot, names, None)


def finish(sysroot: Sysroot, loader: Loader, state: State) -> None:
    """Take the steps that an interrupted change has left. The deciding one was taken."""
    if any(deployment.origin is None for deployment in state.deployments):
        return
    loader.install(make_entries(sysroot, state.deployments))
    _settle(sysroot, state.names, state.orders)
    for deployment in state.deployments:
        set_immutable(deployment.path, immutable=True)


def _settle(sysroot: Sysroot, names: tuple[str, ...], orders: Orders | None) -> None:
    if names and sysroot.find_current() != names[0]:
        durable.swap_symlink(sysroot.current, names[0])
    if orders != Orders(names, names):
        write_orders(sysroot.order, Orders(names, names))


def make_entries(sysroot: Sysroot, wanted: Sequence[Deployment]) -> list[BootEntry]:
    """What the boot loader is told, the first one being what boots. Raises `OriginError`."""
    for deployment in wanted:
        if deployment.origin is None:
            raise OriginError(sysroot.origin(deployment.name), deployment.damage)
    entries = [make_entry(sysroot, deployment) for deployment in wanted]
    return [entry for entry in entries if entry is not None]


def make_entry(sysroot: Sysroot, deployment: Deployment) -> BootEntry | None:
    """What the boot loader is told of a deployment; None of one without a kernel."""
    origin = deployment.origin
    copy = None if origin is None else find_copy(sysroot, origin.boot)
    if origin is None or copy is None:
        return None
    folder = "/".join([find_prefix(sysroot), FOLDER, origin.boot])
    version = printable(os.fsencode(origin.version))  # it may hold anything
    return BootEntry(
        deployment=deployment.name,
        title=" ".join(filter(None, [origin.os, version, f"({deployment.name})"])),
        kernel=f"{folder}/{KERNEL}",
        initramfs=f"{folder}/{INITRAMFS}" if (copy / INITRAMFS).exists() else "",
        options=format_kargs([*origin.kargs, f"{SELECTOR}={deployment.name}"]),
    )


def find_prefix(sysroot: Sysroot) -> str:
    """The folder of kernels on its filesystem, as a loader names it: empty at the top of one.

    The sysroot is taken for the top of its own.
    """
    top = sysroot.boot.absolute()
    root = sysroot.root.absolute()
    while top != root and top.parent.stat().st_dev == top.stat().st_dev:
        top = top.parent
    below = sysroot.boot.absolute().relative_to(top).as_posix()
    return "" if below == "." else f"/{below}"
