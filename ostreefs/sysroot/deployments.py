# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding the deployments of a sysroot, their order and their roles. Changes nothing.

A deployment is a directory of such a name with an origin beside it, and in the order. Everything
else of such a name is left from a crash, see `tidy`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.booted import find_booted
from ostreefs.sysroot.errors import DeploymentNotFoundError, OriginError
from ostreefs.sysroot.names import is_deployment_name
from ostreefs.sysroot.order import Orders, choose_order, read_orders
from ostreefs.sysroot.origin import read_origin
from ostreefs.sysroot.retention import Roles, find_roles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ostreefs.sysroot.boot.loader import Loader
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs.sysroot.origin import Origin


class Deployment(NamedTuple):
    """A deployment; `damage` says what is wrong with its origin, if that cannot be read."""

    name: str
    path: Path
    origin: Origin | None
    damage: str = ""

    @property
    def is_pinned(self) -> bool:
        """Whether it stays whatever comes. What nobody can read does."""
        return self.origin is None or self.origin.pinned


class State(NamedTuple):
    """What a sysroot holds."""

    deployments: tuple[Deployment, ...]
    """In their order, the one that boots first."""
    roles: Roles
    orders: Orders | None
    is_interrupted: bool
    """Whether a swap was taken that `current` does not show yet."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(deployment.name for deployment in self.deployments)

    @property
    def pinned(self) -> tuple[str, ...]:
        """Those that stay whatever comes."""
        return tuple(d.name for d in self.deployments if d.is_pinned)

    def find(self, name: str | None) -> Deployment | None:
        """A deployment by its name."""
        return next((d for d in self.deployments if d.name == name), None)

    def choose(self, wanted: str) -> Deployment:
        """A deployment by its name, or by its number in the order from 0 on, as ostree has them.

        Raises `DeploymentNotFoundError`.
        """
        if wanted.isascii() and wanted.isdigit() and int(wanted) < len(self.deployments):
            return self.deployments[int(wanted)]
        found = self.find(wanted.removesuffix("/").removeprefix("/ostree/"))
        if found is None:
            raise DeploymentNotFoundError(wanted)
        return found

    @property
    def base(self) -> Deployment | None:
        """Whose settings a new deployment takes over: the booted one, else the current one."""
        return self.find(self.roles.booted) or self.find(self.roles.current)


def read_state(sysroot: Sysroot, loader: Loader) -> State:
    """Everything about the deployments, in a moment; beside changes, too."""
    present = {d.name: d for d in _iter_deployments(sysroot)}
    current = sysroot.find_current()
    default = loader.find_default()
    orders = read_orders(sysroot.order)
    newest = sorted(present.values(), key=_age)
    order, is_now = choose_order(orders, (current, default), [d.name for d in newest])
    order = tuple(name for name in order if name in present)
    booted = find_booted(sysroot, order)
    return State(
        deployments=tuple(present[name] for name in order),
        roles=find_roles(order, booted),
        orders=orders,
        is_interrupted=is_now and bool(order) and current != order[0],
    )


def _age(deployment: Deployment) -> tuple[int, str]:
    origin = deployment.origin
    return (-origin.timestamp if origin is not None else 0, deployment.name)


def _iter_deployments(sysroot: Sysroot) -> list[Deployment]:
    names = [name for name in list_trees(sysroot) if os.path.lexists(sysroot.origin(name))]
    return [_read(sysroot, name) for name in names]


def _read(sysroot: Sysroot, name: str) -> Deployment:
    path = sysroot.deployment(name)
    try:
        return Deployment(name, path, read_origin(sysroot.origin(name)))
    except OriginError as error:
        return Deployment(name, path, None, error.detail)
    except FileNotFoundError:  # it goes at this moment
        return Deployment(name, path, None, "it has vanished")


def list_trees(sysroot: Sysroot) -> Sequence[str]:
    """Every directory that is called as a deployment is."""
    with os.scandir(sysroot.ostree) as listing:
        return sorted(
            entry.name
            for entry in listing
            if is_deployment_name(entry.name) and entry.is_dir(follow_symlinks=False)
        )
