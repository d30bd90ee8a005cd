# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a mount of all commits shows above the commits themselves.

::

    commits/<commit id>/…                    a unique prefix of an id is a symbolic link to it
    refs/<ref>                               symbolic link to ../commits/<commit id>
    by-date/<YYYY-MM-DD>/<HHMMSS>-<short id> the same, by the commit's time in UTC
    history/<ref>/<n>                        the same, 0 for the newest, along first parents

Directories are read in windows, each from a short snapshot of its own: no reading waits for a
whole history, and what is committed meanwhile may appear in it.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from ostreefs.fuse.listing import WINDOW, Listed
from ostreefs.fuse.nodes import (
    CommitsNode,
    DateNode,
    DatesNode,
    LinkNode,
    Node,
    RefHistoryNode,
    RefsNode,
    TopNode,
    TreeNode,
)
from ostreefs_store.dates import DAY, FIRST_DAY, iter_day, iter_days
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.model import Digest
from ostreefs_store.names import is_hex
from ostreefs_store.refs import PREFIX_MIN, commits_with_prefix, find_parent, read_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ostreefs.fuse.nodes import Numbers
    from ostreefs_store.index import Index, Snapshot

_EPOCH = date(1970, 1, 1)
_SHORT = 12
"""Digits of the short id in a name of by-date."""

_STEPS_DIGITS = 9
_LAST = Digest(b"\xff" * 32)
_HISTORIES = 64
"""Histories of refs that are remembered, as far as they have been walked."""


class Virtual:
    """The directories of a mount of all commits that belong to no commit."""

    def __init__(self, index: Index, numbers: Numbers) -> None:
        self._index = index
        self._numbers = numbers
        self._histories: dict[str, list[Digest]] = {}
        self._lookups: dict[type, Callable[[Snapshot, Any, bytes], Node | None]] = {
            TopNode: self._lookup_top,
            CommitsNode: self._lookup_commit,
            RefsNode: self._lookup_ref,
            RefHistoryNode: self._lookup_step,
            DatesNode: self._lookup_date,
            DateNode: self._lookup_moment,
        }

    def lookup(self, snapshot: Snapshot, node: Node, name: bytes) -> Node | None:
        """The node of an entry, known already or new."""
        look_up = self._lookups.get(type(node))
        return None if look_up is None else look_up(snapshot, node, name)

    def names(self, node: Node) -> Iterator[Listed]:
        """The names of a directory."""
        match node:
            case TopNode():
                found: Iterator[bytes] = iter((b"by-date", b"commits", b"history", b"refs"))
            case CommitsNode():
                found = self._iter_commits()
            case RefsNode():
                found = self._iter_refs(node)
            case DatesNode():
                found = self._iter_dates()
            case DateNode():
                found = self._iter_moments(node)
            case RefHistoryNode():
                found = self._iter_steps(node)
            case _:
                found = iter(())
        yield from ((name, "") for name in found)

    # ---- the top, and commits/

    def _lookup_top(self, _: Snapshot, node: Node, name: bytes) -> Node | None:
        makers: dict[bytes, Callable[[int], Node]] = {
            b"commits": lambda number: CommitsNode(node, name, number),
            b"by-date": lambda number: DatesNode(node, name, number),
            b"refs": lambda number: RefsNode(node, name, number, ""),
            b"history": lambda number: RefsNode(node, name, number, "", is_history=True),
        }
        make = makers.get(name)
        return None if make is None else self._known_or(node, name, make)

    def _known_or(self, node: Node, name: bytes, make: Callable[[int], Node]) -> Node:
        known = self._numbers.known_child(node, name)
        return known or make(self._numbers.new_number(node, name))

    def _lookup_commit(self, snapshot: Snapshot, node: Node, name: bytes) -> Node | None:
        text = name.decode("ascii", "replace")
        if not is_hex(text) or not PREFIX_MIN <= len(text) <= 64:
            return None
        found = commits_with_prefix(snapshot, text, limit=2)
        if len(found) != 1:
            return None
        commit = found[0]
        if len(text) < 64:
            return self._link(node, name, commit.hex().encode())
        known = self._numbers.known_child(node, name)
        if known is not None:
            return known
        root = read_commit(snapshot, commit).root
        return TreeNode(node, name, self._numbers.new_number(node, name), root, commit)

    def _iter_commits(self) -> Iterator[bytes]:
        following = b""
        while True:
            with self._index.snapshot() as snapshot:
                commits = [c for c, _ in islice(snapshot.commits_from(following), WINDOW)]
            if not commits:
                return
            yield from (commit.hex().encode() for commit in commits)
            following = commits[-1] + b"\0"

    # ---- refs/ and the folders of history/

    def _lookup_ref(self, snapshot: Snapshot, node: RefsNode, name: bytes) -> Node | None:
        try:
            ref = node.prefix + name.decode("ascii")
        except UnicodeDecodeError:
            return None
        commit = snapshot.find_ref(ref)
        if commit is not None:
            if node.is_history:
                return self._known_or(
                    node, name, lambda number: RefHistoryNode(node, name, number, ref)
                )
            return self._link_to(node, name, commit)
        if next(snapshot.iter_refs(ref), None) is None:
            return None
        known = self._numbers.known_child(node, name)
        if isinstance(known, RefsNode):
            return known
        number = self._numbers.new_number(node, name)
        return RefsNode(node, name, number, ref + "/", is_history=node.is_history)

    def _iter_refs(self, node: RefsNode) -> Iterator[bytes]:
        with self._index.snapshot() as snapshot:
            names = {
                ref[len(node.prefix) :].partition("/")[0]
                for ref, _ in snapshot.iter_refs(node.prefix.rstrip("/"))
            }
        # No command makes a ref with such a part; if one is there, the others are shown still.
        yield from (name.encode() for name in sorted(names - {"", ".", ".."}))

    # ---- history/<ref>/

    def _lookup_step(self, snapshot: Snapshot, node: RefHistoryNode, name: bytes) -> Node | None:
        text = name.decode("ascii", "replace")
        if not (text.isascii() and text.isdigit()) or len(text) > _STEPS_DIGITS:
            return None
        if str(int(text)) != text:  # 00, 01: no names of anything
            return None
        commit = self._find_step(snapshot, node.ref, int(text))
        return None if commit is None else self._link_to(node, name, commit)

    def _iter_steps(self, node: RefHistoryNode) -> Iterator[bytes]:
        step = 0
        while True:
            with self._index.snapshot() as snapshot:
                end = step
                while end < step + WINDOW and self._find_step(snapshot, node.ref, end):
                    end += 1
            yield from (str(number).encode() for number in range(step, end))
            if end < step + WINDOW:
                return
            step = end

    def _find_step(self, snapshot: Snapshot, ref: str, step: int) -> Digest | None:
        """The commit so many steps behind a ref; what was walked before is remembered."""
        tip = snapshot.find_ref(ref)
        if tip is None:
            return None
        walked = self._histories.get(ref)
        if walked is None or walked[0] != tip:
            if len(self._histories) >= _HISTORIES:
                self._histories.clear()
            self._histories[ref] = walked = [tip]
        try:
            while len(walked) <= step:
                last = walked[-1]
                parent = find_parent(snapshot, last, read_commit(snapshot, last))
                if parent is None:
                    return None
                walked.append(parent)
        except ObjectMissingError:  # pruned since it was walked
            del self._histories[ref]
            return None
        found = walked[step]
        return found if snapshot.find_commit(found) is not None else None

    # ---- by-date/

    def _lookup_date(self, snapshot: Snapshot, node: Node, name: bytes) -> Node | None:
        try:
            text = name.decode("ascii")
            day = (date.fromisoformat(text) - _EPOCH).days
        except ValueError:
            return None
        if _format_day(day) != name or next(iter_day(snapshot, day), None) is None:
            return None
        return self._known_or(node, name, lambda number: DateNode(node, name, number, day))

    def _lookup_moment(self, snapshot: Snapshot, node: DateNode, name: bytes) -> Node | None:
        time, _, short = name.decode("ascii", "replace").partition("-")
        if not (time.isascii() and time.isdigit() and len(time) == 6 and len(short) == _SHORT):
            return None
        hours, minutes, seconds = int(time[:2]), int(time[2:4]), int(time[4:])
        within = hours * 3600 + minutes * 60 + seconds
        if not is_hex(short) or minutes > 59 or seconds > 59 or within >= DAY:
            return None
        moment = node.day * DAY + within
        prefix = bytes.fromhex(short)
        for timestamp, commit in iter_day(snapshot, node.day, (moment - 1, _LAST)):
            if timestamp != moment:
                return None
            if commit.startswith(prefix):
                return self._link_to(node, name, commit)
        return None

    def _iter_dates(self) -> Iterator[bytes]:
        following = FIRST_DAY
        while True:
            with self._index.snapshot() as snapshot:
                days = list(islice(iter_days(snapshot, following), WINDOW))
            if not days:
                return
            yield from map(_format_day, days)
            following = days[-1] + 1

    def _iter_moments(self, node: DateNode) -> Iterator[bytes]:
        last: tuple[int, Digest] | None = None
        while True:
            with self._index.snapshot() as snapshot:
                found = list(islice(iter_day(snapshot, node.day, last), WINDOW))
            if not found:
                return
            yield from (_format_moment(timestamp, commit) for timestamp, commit in found)
            last = found[-1]

    # ---- links

    def _link_to(self, node: Node, name: bytes, commit: Digest) -> Node:
        """A link from a directory to a commit."""
        depth = 0
        above: Node | None = node
        while above is not None and not isinstance(above, TopNode):
            depth += 1
            above = above.parent
        return self._link(node, name, b"../" * depth + b"commits/" + commit.hex().encode())

    def _link(self, parent: Node, name: bytes, target: bytes) -> Node:
        """A link node with this target; a link that led elsewhere leads here from now on."""
        known = self._numbers.known_child(parent, name)
        if isinstance(known, LinkNode):
            known.target = target
            return known
        return LinkNode(parent, name, self._numbers.new_number(parent, name), target)


def _format_day(day: int) -> bytes:
    return (_EPOCH + timedelta(days=day)).isoformat().encode()


def _format_moment(timestamp: int, commit: Digest) -> bytes:
    minutes, seconds = divmod(timestamp % DAY, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}{minutes:02}{seconds:02}-{commit.hex()[:_SHORT]}".encode()
