# SPDX-License-Identifier: LGPL-2.1-or-later
"""`df`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import ProgressBar, print_json
from ostreefs.text import format_size
from ostreefs_store.errors import StoreError
from ostreefs_store.pruning.usage import Usage, Use, find_update, find_usage
from ostreefs_store.pruning.usagerecords import note_records
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Digest
    from ostreefs_store.pruning.shares import Share
    from ostreefs_store.pruning.usagerecords import Record

_HEADINGS = ("TOTAL", "SHARED", "EXCLUSIVE", "FREES", "OBJECTS")
_ID_DIGITS = 16


def add_df_arguments(parser: Parser) -> None:
    """Options of `df`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--commits", action="store_true", help="show every commit instead of every ref"
    )
    what.add_argument(
        "--between",
        nargs=2,
        metavar="REV",
        help="show what an update from the first to the second commit adds",
    )
    parser.add_argument("-b", "--bytes", action="store_true", help="print exact numbers of bytes")
    parser.add_argument("revisions", nargs="*", metavar="REV", help="show these commits")


def run_df(arguments: Arguments) -> int:
    """Show the use of space."""
    if arguments.between:
        if arguments.revisions:
            raise UsageError("--between takes two revisions and no other")
        return _show_update(arguments)
    with Repository.open_best(arguments.repository_path) as repository:
        with repository.index.snapshot() as snapshot, ProgressBar("df", " commits") as bar:
            chosen = [resolve(snapshot, revision) for revision in arguments.revisions]
            usage = find_usage(snapshot, bar.update)
        note_usage(repository, usage)
    commits = {commit: usage.commits[commit] for commit in chosen} if chosen else usage.commits
    if arguments.json:
        _print_document(arguments, usage, commits)
        return 0
    as_size = _as_size(arguments)
    if chosen or arguments.commits:
        digits = 64 if arguments.bytes else _ID_DIGITS
        rows = {commit.hex()[:digits]: use for commit, use in commits.items()}
        _print_table("COMMIT", rows, as_size)
        return 0
    _print_table("REF", usage.refs, as_size)
    print(f"All commits: {as_size(usage.total.bytes)} in {usage.total.objects} objects")
    if usage.unreferenced.objects:
        print(f"Of that no ref or pin keeps: {as_size(usage.unreferenced.bytes)}")
    return 0


def note_usage(repository: Repository, usage: Usage) -> None:
    """Keep what had to be found out of the use of space, see `note_made`."""
    note_made(repository, usage.made)


def note_made(repository: Repository, made: dict[Digest, Record]) -> None:
    """Keep what had to be found out, for the next time; where that cannot be, it is no matter."""
    if made and repository.writable:
        with (
            suppress(OSError, StoreError),
            repository.in_use(writing=True),
            repository.index.transaction() as transaction,
        ):
            note_records(transaction, made)


def _show_update(arguments: Arguments) -> int:
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        commits = [resolve(snapshot, revision) for revision in arguments.between]
        old, new = (read_commit(snapshot, commit).root for commit in commits)
        update = find_update(snapshot, old, new)
    if arguments.json:
        print_json(
            {
                "from": commits[0].hex(),
                "to": commits[1].hex(),
                "content": update.content._asdict(),
                "files": update.files,
                "trees": update.trees,
                "metadata_bytes": update.metadata,
            }
        )
        return 0
    as_size = _as_size(arguments)
    size, objects = update.content
    print(f"Content: {as_size(size)} in {objects} objects")
    print(f"Metadata: {as_size(update.metadata)} in {update.files} files, {update.trees} trees")
    return 0


def _print_document(arguments: Arguments, usage: Usage, commits: dict[Digest, Use]) -> None:
    document: dict[str, object] = {
        "total": usage.total._asdict(),
        "unreferenced": usage.unreferenced._asdict(),
    }
    if arguments.commits or arguments.revisions:
        document["commits"] = {commit.hex(): _describe(use) for commit, use in commits.items()}
    else:
        document["refs"] = {ref: _describe(use) for ref, use in usage.refs.items()}
    print_json(document)


def _describe(use: Use) -> dict[str, dict[str, int]]:
    shares: Iterable[tuple[str, Share]] = (
        ("total", use.total),
        ("shared", use.shared),
        ("exclusive", use.exclusive),
        ("frees", use.frees),
    )
    return {name: share._asdict() for name, share in shares}


def _as_size(arguments: Arguments) -> Callable[[int], str]:
    return str if arguments.bytes else format_size


def _print_table(title: str, uses: dict[str, Use], as_size: Callable[[int], str]) -> None:
    rows: list[tuple[str, ...]] = [(title, *_HEADINGS)]
    for name, use in uses.items():
        shares = (use.total, use.shared, use.exclusive, use.frees)
        rows.append((name, *(as_size(share.bytes) for share in shares), str(use.total.objects)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *cells]))
