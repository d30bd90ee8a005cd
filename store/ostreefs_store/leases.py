# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leases: a commit that a process shows is not pruned while that process lives.

A lease is a shared lock of the kernel on one byte of the repository's file ``lock``, and which
byte follows from the commit's id (fcntl(2), "open file description locks"). So

- it takes one system call and no write: who may read a repository may hold one, also on read-only
  media, and a mount of all commits can take one for each commit that somebody looks into;
- the kernel drops it with its holder, however that one dies; process ids, which mean something
  else in every container and after every boot, are not needed;
- a prune claims the commits it is about to forget with exclusive locks on their bytes: between
  "nobody shows it" and "it is gone" no lease can slip in.

They do not touch the flock(2) on the same file (see `lock`). Two commits whose ids share their
first 63 bits share a byte, which keeps one too many.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from bisect import bisect
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from ostreefs_store.lock import LOCK_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ostreefs_store.model import Digest

_FLOCK = struct.Struct("hhqqi0q")
"""struct flock: type, whence, start, length (0: to the end), process."""

_LAST = 2**63 - 1
_BUSY = {errno.EAGAIN, errno.EACCES}

Span = tuple[int, int]
"""First and last byte."""


def position(commit: bytes) -> int:
    """The byte that stands for a commit."""
    return int.from_bytes(commit[:8], "big") >> 1


class Leases:
    """What one process holds; a context manager. Not inherited by programs that it starts."""

    def __init__(self, repository: Path) -> None:
        self._fd = os.open(repository / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
        self._counts: Counter[int] = Counter()

    def hold(self, commit: Digest) -> bool:
        """Take a lease; False when the commit is being pruned at this moment.

        Look for the commit *after* this: it may have been pruned just before. What is taken twice
        must be given back twice.
        """
        place = position(commit)
        is_held = _set(self._fd, fcntl.F_RDLCK, (place, place))
        self._counts[place] += is_held
        return is_held

    def drop(self, commit: Digest) -> None:
        """Give a lease back; harmless when there is none."""
        place = position(commit)
        self._counts[place] -= 1
        if self._counts[place] <= 0:
            del self._counts[place]
            _set(self._fd, fcntl.F_UNLCK, (place, place))

    def close(self) -> None:
        """Give all back."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_leased(repository: Path, commits: Iterable[Digest]) -> set[Digest]:
    """Those of the commits on which somebody else has a lease."""
    fd = os.open(repository / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        spans = sorted(_find_spans(fd))
    finally:
        os.close(fd)
    return {commit for commit in commits if _is_within(position(commit), spans)}


def _is_within(place: int, spans: list[Span]) -> bool:
    following = bisect(spans, (place, _LAST))
    return following > 0 and place <= spans[following - 1][1]


@contextmanager
def claim(repository: Path, doomed: Iterable[Digest], kept: Iterable[Digest]) -> Iterator[bool]:
    """Let nobody take a lease on the doomed commits while the block runs.

    Gives False, having claimed nothing for good, when somebody holds one already. Needs write
    access to the file ``lock``.
    """
    fd = os.open(repository / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    try:
        spans = join_spans({position(c) for c in doomed}, {position(c) for c in kept})
        yield all(_set(fd, fcntl.F_WRLCK, span) for span in spans)
    finally:
        os.close(fd)


def join_spans(doomed: set[int], kept: set[int]) -> list[Span]:
    """As few spans as cover the doomed and none of the kept: the kernel walks a list of locks."""
    spans: list[Span] = []
    is_open = False
    for place in sorted(doomed | kept):
        if place in kept:
            is_open = False
        elif is_open:
            spans[-1] = (spans[-1][0], place)
        else:
            spans.append((place, place))
            is_open = True
    return spans


def _set(fd: int, kind: int, span: Span) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _pack(kind, span))
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def _find_spans(fd: int) -> Iterator[Span]:
    """Everything that is locked by others. The kernel tells one lock in a span, in no order."""
    pending = [(0, _LAST)]
    while pending:
        first, last = pending.pop()
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _pack(fcntl.F_WRLCK, (first, last)))
        kind, _, start, length, _ = _FLOCK.unpack(answer)
        if kind == fcntl.F_UNLCK:
            continue
        end = _LAST if length == 0 else start + length - 1
        yield start, end
        pending += [s for s in ((first, start - 1), (end + 1, last)) if s[0] <= s[1]]


def _pack(kind: int, span: Span) -> bytes:
    first, last = span
    return _FLOCK.pack(kind, os.SEEK_SET, first, 0 if last == _LAST else last - first + 1, 0)
