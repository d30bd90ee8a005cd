# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is known of a bisection, as plain values for text, JSON and HTML. No behaviour.

Ids are hex, times are seconds since 1970.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["good", "bad", "skipped", "untested", "equal"]
"""Always in these words, whatever the terms of the bisection are; "equal" was not tested, since
the paths that matter are in it what they are in a commit that was."""

Outcome = Literal["waiting", "open", "found", "only-skipped"]
"""Of the whole: "waiting" for a good and a bad commit, "open" while there is something to test."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that could be, or could have been, the first bad one, or one that was judged."""

    commit: str
    subject: str
    timestamp: int
    parents: tuple[str, ...]
    """Those that are candidates, too; lost ones are replaced by the nearest ancestors."""
    verdict: Verdict
    is_left: bool = False
    """Whether it could still be the first bad commit."""
    step: int | None = None
    """When it was judged, counted from 1."""
    equal_to: str | None = None
    """For "equal": the commit whose verdict it shares."""
    shared_verdict: Verdict | None = None
    """For "equal": that verdict."""
    reason: str = ""
    """Why it was skipped where nobody said so, such as damage."""
    status: int | None = None
    """The exit status of the command that tested it."""
    seconds: float | None = None
    """How long the command took."""
    output: str = ""
    """What the command printed; of much the beginning and the end."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Paths that were added, deleted or modified; `size` in bytes."""

    directories: int
    files: int
    size: int


class PackageChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A package that differs; `old` is None for one that was added, `new` for one that is gone."""

    kind: str
    """"upgraded", "downgraded", "changed", "added" or "removed"."""
    name: str
    arch: str
    old: str | None
    new: str | None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What the first bad commit changed against its first parent, as `diff --stats` counts it."""

    parent: str | None
    added: Counted
    deleted: Counted
    modified: Counted
    metadata_only: int
    growth: int
    packages: tuple[PackageChanged, ...] = ()
    problems: tuple[str, ...] = ()
    """Why packages cannot be told."""


class BisectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """A bisection."""

    name: str
    repository: str
    term_bad: str
    term_good: str
    started: int
    outcome: Outcome
    candidates: tuple[Candidate, ...]
    """The newest first: children stand before their parents. With the good ones at the end."""
    tested: int
    """How many were judged by testing them."""
    paths: tuple[str, ...] = ()
    """What the bisection was limited to."""
    command: str = ""
    """What `run` ran last."""
    culprit: str | None = None
    possible: tuple[str, ...] = ()
    """For "only-skipped": the first bad commit is one of these."""
    changes: Changes | None = None
    """Of the culprit."""
