# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between two trees. Equal digests are equal trees, and are never descended into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from ostreefs_store.codec import Entry, read_file
from ostreefs_store.errors import ObjectMissingError, PathNotFoundError
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    File,
    RegularFile,
    Symlink,
    TreeHead,
)
from ostreefs_store.traverse import find_entry, read_tree_entries, split_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ostreefs_store.traverse import ObjectSource

ChangeKind = Literal["A", "D", "M"]
Aspect = Literal["type", "content", "size", "target", "device", "mode", "owner", "xattrs"]

_RUN = 128
"""How many entries are compared at a time."""


class State(NamedTuple):
    """What a path is in one of the trees; of a directory its own metadata alone."""

    digest: Digest
    item: TreeHead | File


class Change(NamedTuple):
    """A path that was added (no `old`), deleted (no `new`) or modified."""

    kind: ChangeKind
    path: bytes
    old: State | None
    new: State | None

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """What was modified; nothing for what was added or deleted."""
        if self.old is None or self.new is None:
            return ()
        return compare(self.old.item, self.new.item)


def compare(old: TreeHead | File, new: TreeHead | File) -> tuple[Aspect, ...]:
    """In which respects two items differ; a size only together with the content."""
    found: list[Aspect] = []
    if type(old) is not type(new):
        found.append("type")
    elif (substance := _substance(old)) != _substance(new):
        found.append(substance[0])
    if isinstance(old, RegularFile) and isinstance(new, RegularFile) and old.size != new.size:
        found.append("size")
    is_link = isinstance(old, Symlink) or isinstance(new, Symlink)
    if old.mode != new.mode and not is_link:  # a link's mode says nothing
        found.append("mode")
    if (old.uid, old.gid) != (new.uid, new.gid):
        found.append("owner")
    if old.xattrs != new.xattrs:
        found.append("xattrs")
    return tuple(found)


def _substance(item: TreeHead | File) -> tuple[Aspect, object]:
    """What an item is beside its metadata."""
    match item:
        case RegularFile():
            return "content", item.content
        case Symlink():
            return "target", item.target
        case CharDevice() | BlockDevice():
            return "device", (item.major, item.minor)
        case _:
            return "type", type(item)


def without_xattrs(change: Change) -> Change:
    """The change as if nothing had extended attributes; perhaps none any more, see `is_change`."""
    old, new = (
        state and state._replace(item=msgspec.structs.replace(state.item, xattrs=()))
        for state in (change.old, change.new)
    )
    return change._replace(old=old, new=new)


def is_change(change: Change) -> bool:
    """Whether anything was added, deleted or modified."""
    return change.kind != "M" or bool(change.aspects)


class _Ref(NamedTuple):
    """An entry of a directory, with the canonical bytes of its file object."""

    is_tree: bool
    digest: Digest
    encoded: bytes | None = None


class _Pair(NamedTuple):
    """A path, and what is there in either tree."""

    path: bytes
    old: _Ref | None
    new: _Ref | None


def diff_trees(
    objects: ObjectSource, old: Digest | None, new: Digest, paths: Sequence[bytes] = ()
) -> Iterator[Change]:
    """Every path that differs, in the order of paths; directories before what they hold.

    A directory is modified when its own metadata differ. Without an `old` tree everything was
    added. With `paths`, these alone and what is below them; `PathNotFoundError` for one that is in
    neither tree. The cost is that of what differs.
    """
    found = {split_path(path): _find_pair(objects, old, new, path) for path in paths or [b"/"]}
    stack = [found[parts] for parts in _outermost(found)]
    stack.reverse()
    while stack:
        pair = stack.pop()
        before, after = pair.old, pair.new
        if before is not None and after is not None:
            if before.digest == after.digest and before.is_tree == after.is_tree:
                continue
            if before.is_tree != after.is_tree:
                stack += (_Pair(pair.path, None, after), _Pair(pair.path, before, None))
                continue
        change, below = _examine(objects, pair)
        if change is not None:
            yield change
        stack.extend(reversed(below))


def _outermost(paths: Iterable[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    """Paths sorted, without those that lie below another one."""
    kept: list[tuple[bytes, ...]] = []
    for parts in sorted(paths):
        if not kept or parts[: len(kept[-1])] != kept[-1]:
            kept.append(parts)
    return kept


def _find_pair(objects: ObjectSource, old: Digest | None, new: Digest, path: bytes) -> _Pair:
    found = [None if root is None else find_entry(objects, root, path) for root in (old, new)]
    if found == [None, None]:
        raise PathNotFoundError(path)
    refs = [
        None if entry is None else _Ref(*entry, None if entry[0] else _read(objects, entry[1]))
        for entry in found
    ]
    return _Pair(b"/" + b"/".join(split_path(path)), refs[0], refs[1])


def _read(objects: ObjectSource, digest: Digest) -> bytes:
    encoded = objects.find_file(digest)
    if encoded is None:
        raise ObjectMissingError("file", digest)
    return encoded


def _examine(objects: ObjectSource, pair: _Pair) -> tuple[Change | None, list[_Pair]]:
    """How a path itself changed, if it did, and what differs in the directory that it is."""
    path, old, new = pair
    if not any(ref.is_tree for ref in (old, new) if ref is not None):
        return _change(path, _file_state(old), _file_state(new)), []
    before, old_entries = _open(objects, old)
    after, new_entries = _open(objects, new)
    differing = list(differing_entries(old_entries, new_entries))
    below = _resolve_files(objects, path, differing)
    if before is not None and after is not None and before.item == after.item:
        return None, below
    return _change(path, before, after), below


def _change(path: bytes, old: State | None, new: State | None) -> Change:
    kind: ChangeKind = "A" if old is None else "D" if new is None else "M"
    return Change(kind, path, old, new)


def _file_state(ref: _Ref | None) -> State | None:
    if ref is None:
        return None
    assert ref.encoded is not None
    return State(ref.digest, read_file(ref.encoded))


def _open(objects: ObjectSource, ref: _Ref | None) -> tuple[State | None, list[Entry]]:
    if ref is None:
        return None, []
    head, entries = read_tree_entries(objects, ref.digest)
    return State(ref.digest, head), entries


Differing = tuple["Entry | None", "Entry | None"]
"""An entry of one directory, of the other, or of both under one name."""


def differing_entries(old: Sequence[Entry], new: Sequence[Entry]) -> Iterator[Differing]:
    """Entries by name that are not the same object on both sides, in the order of names.

    Both are sorted. Runs that are equal are skipped as fast as lists compare.
    """
    here = there = 0
    while here < len(old) and there < len(new):
        if old[here : here + _RUN] == new[there : there + _RUN]:
            here += _RUN
            there += _RUN
            continue
        end = here + _RUN
        while here < min(end, len(old)) and there < len(new):
            before, after = old[here], new[there]
            if before != after:
                yield (
                    before if before[0] <= after[0] else None,
                    (after if after[0] <= before[0] else None),
                )
            here += before[0] <= after[0]
            there += after[0] <= before[0]
    yield from ((entry, None) for entry in old[here:])
    yield from ((None, entry) for entry in new[there:])


def _resolve_files(
    objects: ObjectSource, above: bytes, differing: Iterable[Differing]
) -> list[_Pair]:
    """What the index holds for entries of a directory, looked up at once."""
    pairs = list(differing)
    wanted = [entry[2] for pair in pairs for entry in pair if entry is not None and not entry[1]]
    files = objects.find_files(wanted)

    def resolve(entry: Entry | None) -> _Ref | None:
        if entry is None or entry[1]:
            return None if entry is None else _Ref(True, entry[2])
        encoded = files.get(entry[2])
        if encoded is None:
            raise ObjectMissingError("file", entry[2])
        return _Ref(False, entry[2], encoded)

    prefix = above if above == b"/" else above + b"/"
    return [
        _Pair(prefix + (old or new or (b"",))[0], resolve(old), resolve(new)) for old, new in pairs
    ]
