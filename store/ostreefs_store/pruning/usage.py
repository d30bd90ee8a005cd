# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much space commits and refs take: in all, shared with others, and alone.

What is counted is content: each digest once, whatever metadata it has and in however many places.
Exact, and in a time that follows from how much the commits changed, not from how large they are:
`usagerecords` has the changes, `shares` adds them up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.codec import read_file
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.pins import iter_pins
from ostreefs_store.pruning.keeping import History
from ostreefs_store.pruning.placechanges import count_changes, read_entries
from ostreefs_store.pruning.shares import NOTHING, Commits, Share, Shares
from ostreefs_store.pruning.usagerecords import Record, make_record, read_record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ostreefs_store.index import Snapshot

Progress = Callable[[int, int], None]
"""Called now and then with the commits that were looked at, and their total."""

_AT_ONCE = 64
"""Refs whose numbers are added up in one go."""


class Use(NamedTuple):
    """What a commit or a ref has, what only it has, and what would be free without it."""

    total: Share
    exclusive: Share
    frees: Share

    @property
    def shared(self) -> Share:
        """What others have as well."""
        return Share(
            self.total.bytes - self.exclusive.bytes, self.total.objects - self.exclusive.objects
        )


class Usage(NamedTuple):
    """The space of a repository. A ref stands for its whole history."""

    total: Share
    unreferenced: Share
    """What ``prune --refs-only`` would free."""
    refs: dict[str, Use]
    commits: dict[Digest, Use]
    """The newest first."""
    made: dict[Digest, Record]
    """Records that the index did not have."""


class Update(NamedTuple):
    """What has to be added to one commit to have another one as well."""

    content: Share
    files: int
    trees: int
    metadata: int
    """Bytes of the canonical forms of these."""


def find_usage(snapshot: Snapshot, progress: Progress = lambda _, __: None) -> Usage:
    """The use of space of every ref and every commit. Raises `CorruptionError`."""
    history = History(snapshot)
    newest_first = sorted(history.commits, key=lambda c: (-history.commits[c].timestamp, c))
    numbers = {commit: number for number, commit in enumerate(newest_first)}
    records, made = _load_records(snapshot, history, progress)
    shares = Shares(_number_contents(snapshot, numbers, records))
    aliases = dict(snapshot.iter_aliases())  # they have nothing that their target does not
    histories = {
        ref: {numbers[commit] for commit in history.walk(tip)}
        for ref, tip in snapshot.iter_refs()
        if ref not in aliases
    }
    keepers = Counter(number for members in histories.values() for number in members)
    keepers.update(numbers[pin] for _, pin in iter_pins(snapshot) if pin in numbers)
    total = unreferenced = NOTHING
    for presence in shares.group([keepers]):
        total = total.plus(presence.share)
        if not presence.groups[0]:
            unreferenced = unreferenced.plus(presence.share)
    refs = dict(_find_uses_of_refs(shares, histories, keepers))
    commits = {
        commit: Use(total, exclusive, exclusive)
        for commit, total, exclusive in zip(
            numbers, shares.totals, shares.find_exclusive(), strict=True
        )
    }
    return Usage(total, unreferenced, refs, commits, made)


def find_group_uses(
    snapshot: Snapshot, groups: Mapping[str, Collection[Digest]]
) -> tuple[dict[str, Use], dict[Digest, Record]]:
    """What each group of commits has, shares with any other commit, and has alone.

    With the records that the index did not have. Commits that are not there count as nothing.
    Raises `CorruptionError`.
    """
    history = History(snapshot)
    numbers = {commit: number for number, commit in enumerate(history.commits)}
    records, made = _load_records(snapshot, history, lambda _, __: None)
    shares = Shares(_number_contents(snapshot, numbers, records))
    members = {
        name: {numbers[commit] for commit in commits if commit in numbers}
        for name, commits in groups.items()
    }
    keepers = Counter(number for held in members.values() for number in held)
    return dict(_find_uses_of_refs(shares, members, keepers)), made


def _find_uses_of_refs(
    shares: Shares, histories: Mapping[str, Collection[int]], keepers: Mapping[int, int]
) -> Iterator[tuple[str, Use]]:
    """What each ref has; `keepers` are the commits that refs or pins keep: how many of them do."""
    names = sorted(histories)
    for start in range(0, len(names), _AT_ONCE):
        some = [histories[name] for name in names[start : start + _AT_ONCE]]
        alone = [{number for number in members if keepers[number] == 1} for members in some]
        uses = [[NOTHING] * 3 for _ in some]
        for share, commits, (kept, *held) in shares.group([keepers, *some, *alone]):
            for position, use in enumerate(uses):
                if held[position]:
                    use[0] = use[0].plus(share)
                if held[position] == commits:
                    use[1] = use[1].plus(share)
                if held[position] and held[len(some) + position] == kept:
                    use[2] = use[2].plus(share)
        yield from zip(names[start:], (Use(*use) for use in uses), strict=False)


def _load_records(
    snapshot: Snapshot, history: History, progress: Progress
) -> tuple[dict[Digest, Record], dict[Digest, Record]]:
    """The record of every commit, and those among them that had to be made."""
    records: dict[Digest, Record] = {}
    made: dict[Digest, Record] = {}
    root_before: Digest | None = None
    oldest_first = sorted(history.commits, key=lambda c: (history.commits[c].timestamp, c))
    for done, commit in enumerate(oldest_first):
        progress(done, len(oldest_first))
        parents = history.parents(commit)
        base = parents[0] if parents else root_before
        if not parents:
            root_before = commit
        record = read_record(snapshot, commit)
        if record is None or (record.base is not None and record.base not in history.commits):
            old = None if base is None else history.commits[base].root
            changes = count_changes(snapshot, old, history.commits[commit].root)
            record = made[commit] = make_record(base, changes)
        records[commit] = record
    return records, made


def _number_contents(
    snapshot: Snapshot, numbers: Mapping[Digest, int], records: Mapping[Digest, Record]
) -> Commits:
    """The records with contents in the place of file objects, and numbers for everything."""
    names = {digest for record in records.values() for digest in record.digests()}
    contents: dict[bytes, int] = {}
    sizes: list[int] = []
    content_of: dict[bytes, int] = {}
    for digest, encoded in snapshot.find_files(sorted(names)).items():
        file = read_file(encoded)
        if isinstance(file, RegularFile) and file.size:
            number = contents.setdefault(file.content, len(sizes))
            if number == len(sizes):
                sizes.append(file.size)
            content_of[digest] = number
    changes = []
    for commit in numbers:
        merged: dict[int, int] = {}
        for digest, change in records[commit].items():
            content = content_of.get(digest)
            if content is not None:
                merged[content] = merged.get(content, 0) + change
        changes.append([item for item in merged.items() if item[1]])
    bases = [records[commit].base for commit in numbers]
    return Commits([None if base is None else numbers[base] for base in bases], changes, sizes)


# ---- between two commits ----


def find_update(snapshot: Snapshot, old: Digest, new: Digest) -> Update:
    """What an update from one root tree to another adds. Raises `CorruptionError`."""
    had_trees, had_files = _reach(snapshot, old, set())
    trees, files = _reach(snapshot, new, had_trees)
    files -= had_files
    added = _contents(snapshot, files)
    if added:
        for content in _contents(snapshot, had_files):
            added.pop(content, None)
    metadata = sum(len(snapshot.find_tree(tree) or b"") for tree in trees)
    metadata += sum(map(len, snapshot.find_files(sorted(files)).values()))
    return Update(Share(sum(added.values()), len(added)), len(files), len(trees), metadata)


def _reach(
    snapshot: Snapshot, root: bytes, known: Collection[bytes]
) -> tuple[set[bytes], set[bytes]]:
    """Trees and files that a tree reaches, without what it reaches through known trees."""
    trees: set[bytes] = set()
    files: set[bytes] = set()
    stack = [root]
    while stack:
        tree = stack.pop()
        if tree in trees or tree in known:
            continue
        trees.add(tree)
        entries = read_entries(snapshot, tree)
        files.update([digest for _, is_tree, digest in entries if not is_tree])
        stack += [digest for _, is_tree, digest in entries if is_tree]
    return trees, files


def _contents(snapshot: Snapshot, files: Iterable[bytes]) -> dict[bytes, int]:
    """Content digests of the regular files, with their sizes."""
    found: dict[bytes, int] = {}
    for encoded in snapshot.find_files(sorted(files)).values():
        file = read_file(encoded)
        if isinstance(file, RegularFile) and file.size:
            found[file.content] = file.size
    return found
