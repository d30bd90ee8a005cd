# SPDX-License-Identifier: LGPL-2.1-or-later
"""How packages differ, for a person and for JSON."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ostreefs.cli.output import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs_store.comparing.packages import PackageChange
    from ostreefs_store.comparing.packagesets import PackageDiff

_ORDER = ("upgraded", "downgraded", "changed", "added", "removed")


def format_packages(found: Sequence[PackageDiff] | None, *, is_asked: bool) -> Iterator[str]:
    """Lines that count, and then tell, what changed; `is_asked` to be told of nothing, too."""
    if is_asked and not found:
        yield "Packages:  no database of dpkg or rpm in both commits"
    for each in found or []:
        if each.problem is not None:
            yield f"Packages:  {one_line(each.problem)}"
            continue
        counts = [(kind, sum(c.kind == kind for c in each.changes)) for kind in _ORDER]
        told = ", ".join(f"{count} {kind}" for kind, count in counts if count)
        yield f"Packages:  {told or 'no change'} ({each.kind})"
        yield from _format_changes(each.changes)


def _format_changes(changes: Sequence[PackageChange]) -> Iterator[str]:
    names = [change.name for change in changes]
    several = {one for one, other in pairwise(names) if one == other}
    for change in sorted(changes, key=lambda change: _ORDER.index(change.kind)):
        label = f"{change.name}:{change.arch}" if change.name in several else change.name
        versions = " -> ".join(filter(None, (change.old, change.new)))
        yield one_line(f"  {change.kind:<10}  {label} {versions}")


def describe_packages(found: PackageDiff) -> dict[str, object]:
    """What changed as a JSON document."""
    return {
        "database": found.kind,
        "problem": found.problem,
        "changes": [change._asdict() for change in found.changes],
    }
