# SPDX-License-Identifier: LGPL-2.1-or-later
"""The order of deployments: which one boots, which one next, if the boot loader is asked.

The file ``/ostree/order`` says what is to hold and what held before, the first name of each being
the deployment that boots::

    now gnomeos-3.3-51f2cc40 gnomeos-3.2-7e9788a2
    before gnomeos-3.2-7e9788a2 gnomeos-3.1-0d3bc3d4

It is written *before* the step that counts, and which of its lines holds follows from whether that
step was taken (`choose_order`). So one rename elsewhere, the one by which the machine boots
something else, moves the whole order with it. Afterwards both lines say the same. A file that is
lost or damaged costs the order of what does not boot, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.names import is_deployment_name
from ostreefs_store import durable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Names = tuple[str, ...]


class Orders(NamedTuple):
    """What the file says; both empty in a new sysroot."""

    now: Names = ()
    before: Names = ()


def parse_orders(text: str) -> Orders | None:
    """What an order file says, None when that is nothing; names of nothing are passed over."""
    found: dict[str, Names] = {}
    for words in map(str.split, text.splitlines()):
        if words and words[0] in Orders._fields:
            found[words[0]] = tuple(dict.fromkeys(filter(is_deployment_name, words[1:])))
    return Orders(**found) if "now" in found else None


def format_orders(orders: Orders) -> str:
    """The text that `parse_orders` reads."""
    lines = [" ".join([word, *names]) for word, names in orders._asdict().items()]
    return "# The order of deployments; written by 'ostreefs admin'.\n" + "\n".join(lines) + "\n"


def choose_order(
    orders: Orders | None, first: Sequence[str | None], present: Iterable[str]
) -> tuple[Names, bool]:
    """The order that holds, and whether it is that of the file's ``now``.

    `first` are the deployments that boot, by those who may say so: ``now`` holds as soon as one of
    them agrees. `present` are those that exist, the newest first, for when the file says nothing.
    """
    exist = list(present)
    for names in orders or ():
        if names[0] in first if names else first.count(None) == len(first):
            return tuple(
                name for name in names if name in exist
            ), orders is not None and names is orders.now
    boots = [name for name in first if name is not None and name in exist]
    return tuple(dict.fromkeys([*boots, *exist])), False


def read_orders(path: Path) -> Orders | None:
    """Read the file; None when it is lost or says nothing."""
    try:
        return parse_orders(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return None


def write_orders(path: Path, orders: Orders) -> None:
    """Write the file, wholly or not at all, and durably."""
    durable.write_file(path, format_orders(orders).encode())
