# SPDX-License-Identifier: LGPL-2.1-or-later
"""Open bisections, in the index: what is known of each, and the commits that it needs.

::

    bisections   name, NUL, "state"           -> what `ostreefs.bisect.state` makes of it
                 name, NUL, "held"            -> commit ids end to end, which a prune keeps
                 name, NUL, "output", number  -> what the test with this number printed

The store does not look into the first and the last. All of a step is written in one transaction,
so that a crash leaves the bisection before that step or after it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ostreefs_store.errors import InvalidNameError
from ostreefs_store.model import DIGEST_SIZE, Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ostreefs_store.index import Snapshot, Transaction

BISECTIONS = "bisections"
NAME_MAX = 100

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", re.ASCII)
_STATE, _HELD, _OUTPUT = b"state", b"held", b"output"


def check_name(name: str) -> None:
    """Raise `InvalidNameError` for what is no name of a bisection."""
    if not _NAME.fullmatch(name) or len(name) > NAME_MAX:
        reason = f"use 1 to {NAME_MAX} letters, digits, and - _ . + behind the first"
        raise InvalidNameError("name of a bisection", name, reason)


def iter_bisections(snapshot: Snapshot) -> Iterator[tuple[str, bytes]]:
    """The name and the state of every one that is open, in the order of the names."""
    for key, value in snapshot.items_from(BISECTIONS):
        name, _, what = bytes(key).partition(b"\0")
        if what == _STATE:
            yield name.decode(), bytes(value)


def find_state(snapshot: Snapshot, name: str) -> bytes | None:
    """What is known of an open bisection."""
    return snapshot.find(BISECTIONS, _key(name, _STATE))


def put_state(transaction: Transaction, name: str, state: bytes) -> None:
    """Remember what is known. Raises `InvalidNameError`."""
    check_name(name)
    transaction.put(BISECTIONS, _key(name, _STATE), state)


def find_held(snapshot: Snapshot, name: str) -> list[Digest]:
    """The commits that a bisection needs."""
    return _split(snapshot.find(BISECTIONS, _key(name, _HELD)) or b"")


def iter_held(snapshot: Snapshot) -> Iterator[tuple[str, list[Digest]]]:
    """The commits that each bisection needs, by its name."""
    for name, _ in iter_bisections(snapshot):
        yield name, find_held(snapshot, name)


def put_held(transaction: Transaction, name: str, commits: Iterable[Digest]) -> None:
    """Let no prune delete these commits while the bisection is open."""
    transaction.put(BISECTIONS, _key(name, _HELD), b"".join(commits))


def find_output(snapshot: Snapshot, name: str, number: int) -> bytes:
    """What a test printed; nothing for one that printed nothing."""
    return bytes(snapshot.find(BISECTIONS, _key(name, _output(number))) or b"")


def put_output(transaction: Transaction, name: str, number: int, output: bytes) -> None:
    """Remember what a test printed."""
    transaction.put(BISECTIONS, _key(name, _output(number)), output)


def forget(transaction: Transaction, name: str) -> bool:
    """Forget a bisection, and keep nothing for it; whether there was one."""
    start = _key(name, b"")
    keys = [
        bytes(key)
        for key, _ in transaction.items_from(BISECTIONS, start)
        if bytes(key).startswith(start)
    ]
    transaction.delete_all(BISECTIONS, keys)
    return bool(keys)


def _key(name: str, what: bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape")[:NAME_MAX] + b"\0" + what


def _output(number: int) -> bytes:
    return _OUTPUT + number.to_bytes(4, "big")


def _split(commits: bytes) -> list[Digest]:
    starts = range(0, len(commits), DIGEST_SIZE)
    return [Digest(bytes(commits[at : at + DIGEST_SIZE])) for at in starts]
