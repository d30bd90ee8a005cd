# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each deployment is, and which of them stay when others come. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Roles(NamedTuple):
    """Deployments by what they are; any of them may be none.

    `current` boots next. `pending` is the current one while another one runs. `rollback` is what
    'admin rollback' makes current: what runs, if it is not current, else the one after it.
    """

    current: str | None = None
    booted: str | None = None
    pending: str | None = None
    rollback: str | None = None

    def of(self, name: str) -> list[str]:
        """The words for a deployment."""
        return [role for role, holder in self._asdict().items() if holder == name]


def find_roles(order: Sequence[str], booted: str | None) -> Roles:
    """The roles of deployments in this order."""
    if not order:
        return Roles(booted=booted)
    current = order[0]
    if booted is not None and booted in order and booted != current:
        return Roles(current, booted, current, booted)
    return Roles(current, booted, None, order[1] if len(order) > 1 else None)


def choose_kept(
    order: Sequence[str], booted: str | None, pinned: Collection[str]
) -> tuple[str, ...]:
    """Those that stay: the current one, the rollback, the booted one, and what is pinned."""
    kept = {*find_roles(order, booted), *pinned}
    return tuple(name for name in order if name in kept)
