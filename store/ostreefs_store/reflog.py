# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reflog: every move of every ref, written in the transaction that moves it.

::

    reflog      ref (UTF-8), NUL, 2^64 - 1 - number (8 bytes, big-endian)
                -> msgpack [old, new, time, who, reason]

Moves of a ref are numbered from 0 on; counted down in the key, so that the newest comes first.
`old` and `new` are commit ids, nil where there was or is no ref; `time` counts seconds since 1970
in UTC. The log of a ref outlives the ref. An alias has a log as well: it moves when it is made,
deleted or given another target, and whenever its target moves.

``REF@{1}`` is the commit that a ref named before its last move; ``REF@{2026-01-31}`` the one that
it named as that day ended, in UTC.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from ostreefs_store.errors import FormatError, RevisionNotFoundError
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs_store.index import Snapshot, Transaction

_LAST = 2**64 - 1
_NUMBER = re.compile(r"[0-9]{1,7}", re.ASCII)
_AGO = re.compile(r"([0-9]{1,6})[ .](second|minute|hour|day|week)s?[ .]ago", re.ASCII)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
_DAY = 86400


class Move(msgspec.Struct, frozen=True, array_like=True):
    """A move of a ref: from `old` to `new`, None where there was or is no ref."""

    old: Digest | None
    new: Digest | None
    time: int
    who: str
    reason: str


_decoder = msgspec.msgpack.Decoder(Move)
_encode = msgspec.msgpack.Encoder().encode


def _key(ref: str, number: int) -> bytes:
    return _prefix(ref) + (_LAST - number).to_bytes(8, "big")


def _prefix(ref: str) -> bytes:
    return ref.encode("utf-8", "surrogateescape") + b"\0"


def iter_moves(snapshot: Snapshot, ref: str) -> Iterator[Move]:
    """The moves of a ref, the newest first."""
    return (move for _, move in _iter_numbered(snapshot, ref))


def _iter_numbered(snapshot: Snapshot, ref: str) -> Iterator[tuple[int, Move]]:
    prefix = _prefix(ref)
    for key, value in snapshot.items_from("reflog", prefix):
        if not key.startswith(prefix):
            return
        yield _LAST - int.from_bytes(key[len(prefix) :], "big"), _read(value)


def _read(encoded: bytes) -> Move:
    try:
        return _decoder.decode(encoded)
    except msgspec.MsgspecError as error:
        raise FormatError("reflog", str(error)) from None


def iter_logged_refs(snapshot: Snapshot) -> Iterator[str]:
    """Every ref that has a log, in order; those that were deleted are among them."""
    start = b""
    while (found := next(snapshot.items_from("reflog", start), None)) is not None:
        ref = bytes(found[0]).partition(b"\0")[0]
        yield ref.decode()
        start = ref + b"\1"


def record(
    transaction: Transaction, ref: str, old: Digest | None, new: Digest | None, reason: str
) -> None:
    """Write down a move, and forget those beyond the limit. No move at all is not written."""
    if old == new:
        return
    newest = next(_iter_numbered(transaction, ref), None)
    number = 0 if newest is None else newest[0] + 1
    move = Move(old, new, int(time.time()), _who(), reason)
    transaction.put("reflog", _key(ref, number), _encode(move))
    doomed = number - transaction.reflog_limit
    while doomed >= 0 and transaction.delete("reflog", _key(ref, doomed)):
        doomed -= 1


def _who() -> str:
    """The name of the user, and of who became him by sudo(8)."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{name} ({before})" if before.isprintable() and before not in {"", name} else name


def resolve_past(snapshot: Snapshot, ref: str, when: str, revision: str) -> Digest:
    """The commit that ``ref@{when}`` names. Raises `RevisionNotFoundError` about `revision`."""
    if not ref:
        raise RevisionNotFoundError(revision, "name a ref before @{…}")
    if _NUMBER.fullmatch(when):
        found = _nth(snapshot, ref, int(when), revision)
    else:
        moment = parse_moment(when, int(time.time()))
        if moment is None:
            detail = f"'{when}' is neither a number of moves nor a date such as 2026-01-31"
            raise RevisionNotFoundError(revision, detail)
        found = _at(snapshot, ref, moment, revision)
    if found is None:
        raise RevisionNotFoundError(revision, f"there was no ref '{ref}' then")
    if snapshot.find_commit(found) is None:
        detail = f"it was {found.hex()}, which is no longer in the repository"
        raise RevisionNotFoundError(revision, detail)
    return found


def _nth(snapshot: Snapshot, ref: str, number: int, revision: str) -> Digest | None:
    if number == 0:
        return snapshot.find_ref(ref)
    moves = list(islice(iter_moves(snapshot, ref), number + 1))
    if len(moves) > number:
        return moves[number].new
    if len(moves) == number and moves[-1].old is not None:
        return moves[-1].old
    raise RevisionNotFoundError(revision, _shortage(ref, len(moves)))


def _shortage(ref: str, count: int) -> str:
    if not count:
        return f"'{ref}' has no reflog"
    return f"the reflog of '{ref}' has {count} {'moves' if count > 1 else 'move'}"


def _at(snapshot: Snapshot, ref: str, moment: int, revision: str) -> Digest | None:
    oldest = None
    for move in iter_moves(snapshot, ref):
        if move.time <= moment:
            return move.new
        oldest = move
    if oldest is None:
        raise RevisionNotFoundError(revision, _shortage(ref, 0))
    if oldest.old is None:
        return None
    begin = time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime(oldest.time))
    raise RevisionNotFoundError(revision, f"the reflog of '{ref}' begins only at {begin}")


def parse_moment(text: str, now: int) -> int | None:
    """Seconds since 1970 from a date, a date with a time, or words; None when it is none.

    A date alone, ``today`` and ``yesterday`` mean the end of that day in UTC.
    """
    day_end = now - now % _DAY + _DAY - 1
    words = {"now": now, "today": day_end, "yesterday": day_end - _DAY}
    if text in words:
        return words[text]
    if match := _AGO.fullmatch(text):
        return now - int(match[1]) * _SECONDS[match[2]]
    from datetime import UTC, datetime  # noqa: PLC0415 -- only for those who use it

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    is_date = re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}|[0-9]{4}-?W[0-9-]+", text)
    return seconds + _DAY - 1 if is_date else seconds
