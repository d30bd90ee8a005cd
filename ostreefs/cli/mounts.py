# SPDX-License-Identifier: LGPL-2.1-or-later
"""`mounts`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ostreefs.cli.output import one_line, print_json
from ostreefs.fuse.status import Status, iter_status
from ostreefs.text import format_duration

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser

_HEADINGS = ("MOUNTPOINT", "SOURCE", "COMMIT", "PID", "SINCE", "STATE")
_ID_DIGITS = 12


def add_mounts_arguments(parser: Parser) -> None:
    """Options of `mounts`: none."""


def run_mounts(arguments: Arguments) -> int:
    """List the mounts of ostreefs."""
    found = list(iter_status())
    if arguments.json:
        print_json([_as_document(status) for status in found])
    elif found:
        rows = [_HEADINGS, *(_as_row(status) for status in found)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())
    return 0


def _as_document(status: Status) -> dict[str, object]:
    age = None if status.since is None else _age(status.since)
    return {
        "mount_point": status.mount.target,
        "source": status.mount.source,
        "state": status.state,
        "pid": status.pid,
        "uid": status.mount.owner,
        "commit": status.commit,
        "since": status.since,
        "seconds": age,
    }


def _as_row(status: Status) -> tuple[str, ...]:
    commit = status.commit[:_ID_DIGITS] if status.commit else "-"
    if status.since is not None and status.commit is None:
        commit = "all"
    return (
        one_line(status.mount.target),
        one_line(status.mount.source),
        commit,
        "-" if status.pid is None else str(status.pid),
        "-" if status.since is None else format_duration(_age(status.since)),
        status.state,
    )


def _age(since: int) -> int:
    return max(0, int(time.time()) - since)
