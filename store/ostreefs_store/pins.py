# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pins: commits that stay whatever becomes of the refs, each under a name.

A person's pin has any name; what is deployed is pinned under the path of its deployment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.errors import InvalidNameError, PinExistsError, PinNotFoundError
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot, Transaction

PINS = "pins"
NAME_MAX = 400
"""Bytes; a key of LMDB has at most 511."""


def iter_pins(snapshot: Snapshot) -> Iterator[tuple[str, Digest]]:
    """Every pin, in the order of the names."""
    for name, commit in snapshot.items_from(PINS):
        yield str(name, "utf-8", "surrogateescape"), Digest(commit)


def set_pin(transaction: Transaction, name: str, commit: Digest) -> None:
    """Pin a commit. Raises `InvalidNameError`; `PinExistsError` when the name has another one."""
    key = _key(name)
    if not name or not name.isprintable() or len(key) > NAME_MAX:
        reason = f"use 1 to {NAME_MAX} bytes of text on one line"
        raise InvalidNameError("pin", name, reason)
    present = transaction.find(PINS, key)
    if present is not None and present != commit:
        raise PinExistsError(name, present)
    transaction.put(PINS, key, commit)


def delete_pin(transaction: Transaction, name: str) -> None:
    """Take out a pin. Raises `PinNotFoundError`."""
    if not name or len(_key(name)) > NAME_MAX or not transaction.delete(PINS, _key(name)):
        raise PinNotFoundError(name)


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
