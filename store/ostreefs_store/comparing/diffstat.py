# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counting what differs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ostreefs_store.model import RegularFile, TreeHead

if TYPE_CHECKING:
    from ostreefs_store.comparing.diff import Aspect, Change, State


@dataclass(slots=True)
class Count:
    """Paths of one kind of change; `files` are all that are no directories, `size` is in bytes."""

    directories: int = 0
    files: int = 0
    size: int = 0

    def add(self, state: State) -> None:
        """Count a path."""
        if isinstance(state.item, TreeHead):
            self.directories += 1
        else:
            self.files += 1
        self.size += content_size(state)


@dataclass(slots=True)
class Stats:
    """What differs between two trees.

    `aspects` counts the modified paths by what was modified in them, one path perhaps several
    times. `old_size` and `new_size` are of regular files with other content.
    """

    added: Count = field(default_factory=Count)
    deleted: Count = field(default_factory=Count)
    modified: Count = field(default_factory=Count)
    aspects: dict[Aspect, int] = field(default_factory=dict)
    metadata_only: int = 0
    old_size: int = 0
    new_size: int = 0

    def add(self, change: Change) -> None:
        """Count a change."""
        if change.old is None:
            assert change.new is not None
            self.added.add(change.new)
        elif change.new is None:
            self.deleted.add(change.old)
        else:
            self._add_modified(change, change.old, change.new)

    def _add_modified(self, change: Change, old: State, new: State) -> None:
        self.modified.add(new)
        aspects = change.aspects
        for aspect in aspects:
            self.aspects[aspect] = self.aspects.get(aspect, 0) + 1
        if is_of_metadata(aspects):
            self.metadata_only += 1
        else:
            self.old_size += content_size(old)
            self.new_size += content_size(new)

    @property
    def growth(self) -> int:
        """By how many bytes all regular files together grew."""
        return self.added.size - self.deleted.size + self.new_size - self.old_size


def is_of_metadata(aspects: tuple[Aspect, ...]) -> bool:
    """Whether a modification is one of permissions, owner or extended attributes alone."""
    return set(aspects) <= {"mode", "owner", "xattrs"}


def content_size(state: State) -> int:
    """Bytes of a regular file; 0 for everything else."""
    return state.item.size if isinstance(state.item, RegularFile) else 0
