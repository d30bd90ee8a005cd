# SPDX-License-Identifier: LGPL-2.1-or-later
"""`log`, `show` and `rev-parse`."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError, parse_count
from ostreefs.cli.diff import describe_stats, format_stats
from ostreefs.cli.output import one_line, print_json, print_line
from ostreefs.text import format_time
from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.comparing.diffstat import Stats
from ostreefs_store.comparing.history import Origin, find_origins, iter_changing, list_paths
from ostreefs_store.errors import StoreError
from ostreefs_store.model import BASE_KEY
from ostreefs_store.refs import find_parent, read_commit, resolve
from ostreefs_store.traverse import iter_history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Commit, Digest, MetadataValue

_SHORT = 12


def add_log_arguments(parser: Parser) -> None:
    """Options of `log`."""
    add = parser.add_argument
    add("-n", "--max-count", type=parse_count, metavar="N", help="show at most N commits")
    add(
        "--first",
        action="store_true",
        help="for each PATH, or what is in a directory PATH, the commit that made it what it is",
    )
    add("-R", "--recursive", action="store_true", help="with --first, for everything below PATH")
    add("-d", "--dironly", action="store_true", help="with --first, for directories themselves")
    add("revision", metavar="REV", help="where to begin")
    add(
        "paths",
        metavar="PATH",
        nargs="*",
        default=[],
        help="only commits that changed one of these",
    )


def run_log(arguments: Arguments) -> int:
    """Show a history along first parents, the newest first."""
    if arguments.first:
        if arguments.max_count is not None:
            raise UsageError("--max-count does not go with --first")
        return _tell_origins(arguments)
    if arguments.recursive or arguments.dironly:
        raise UsageError("--recursive and --dironly go with --first")
    shown: list[dict[str, object]] = []
    last: tuple[Digest, Commit] | None = None
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        history = _history(snapshot, arguments)
        for last in islice(history, arguments.max_count):
            if arguments.json:
                shown.append(describe_commit(*last))
            else:
                print(_format(*last))
        if (
            last
            and last[1].parents
            and find_parent(snapshot, *last) is None
            and not arguments.json
        ):
            print("<< History beyond this commit is not in the repository >>")
    if arguments.json:
        print_json(shown)
    return 0


def _ends_early(snapshot: Snapshot, digest: Digest, commit: Commit) -> bool:
    """Whether a commit has ancestors, but none in the repository."""
    return bool(commit.parents) and find_parent(snapshot, digest, commit) is None


def _history(snapshot: Snapshot, arguments: Arguments) -> Iterator[tuple[Digest, Commit]]:
    start = resolve(snapshot, arguments.revision)
    if not arguments.paths:
        return iter_history(snapshot, start)
    return iter_changing(snapshot, start, [os.fsencode(path) for path in arguments.paths])


def _tell_origins(arguments: Arguments) -> int:
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        start = resolve(snapshot, arguments.revision)
        root = read_commit(snapshot, start).root
        paths = [
            found
            for path in arguments.paths or ["/"]
            for found in list_paths(
                snapshot,
                root,
                os.fsencode(path),
                recursive=arguments.recursive,
                itself=arguments.dironly,
            )
        ]
        origins = find_origins(snapshot, start, paths)
    if arguments.json:
        print_json([_describe_origin(origin) for origin in origins])
        return 0
    for origin in origins:
        print_line(_format_origin(origin))
    return 0


def _describe_origin(origin: Origin) -> dict[str, object]:
    return {
        "path": origin.path,
        "cut_off": origin.is_cut_off,
        **describe_commit(origin.digest, origin.commit),
    }


def _format_origin(origin: Origin) -> bytes:
    mark = "^" if origin.is_cut_off else ""
    short = f"{mark}{origin.digest.hex()}"[:_SHORT]
    subject = one_line(origin.commit.subject)
    line = f"{short}  {format_time(origin.commit.timestamp)}  ".encode() + origin.path
    return line + f"  ({subject})".encode() if subject else line


def add_show_arguments(parser: Parser) -> None:
    """Options of `show`."""
    add = parser.add_argument
    add("--stats", action="store_true", help="count what differs from the parent, too")
    add("--print-metadata-key", metavar="KEY", help="print the value of one metadata key alone")
    add("revision", metavar="REV", help="the commit")


def run_show(arguments: Arguments) -> int:
    """Show one commit with its root tree and metadata."""
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        digest = resolve(snapshot, arguments.revision)
        commit = read_commit(snapshot, digest)
        stats = _stats_of(snapshot, digest, commit) if arguments.stats else None
    if arguments.print_metadata_key is not None:
        _print_metadata(arguments, commit)
        return 0
    if arguments.json:
        document = describe_commit(digest, commit)
        if stats is not None:
            document["stats"] = describe_stats(stats)
        print_json(document)
        return 0
    extra = [f"Tree:  {commit.root.hex()}"]
    extra += [
        _format_metadata(key, value)
        for key, value in commit.metadata.items()
        if key != BASE_KEY  # which has a line of its own
    ]
    print(_format(digest, commit, extra))
    if stats is not None:
        print("\n".join(format_stats(stats)))
    return 0


def _format_metadata(key: str, value: MetadataValue) -> str:
    """A line; for text of several lines a block."""
    if not isinstance(value, str) or "\n" not in value.rstrip("\n"):
        return f"Metadata:  {key} = {value!r}"
    lines = (f"    {one_line(line)}".rstrip() for line in value.rstrip("\n").split("\n"))
    return "\n".join([f"Metadata:  {key} =", *lines])


def _print_metadata(arguments: Arguments, commit: Commit) -> None:
    """Print one value as ostree does: text in quotes."""
    key = arguments.print_metadata_key
    if key not in commit.metadata:
        raise StoreError(f"no such metadata key '{key}'")
    value = commit.metadata[key]
    if arguments.json:
        print_json({key: value})
    else:
        print(str(value).lower() if isinstance(value, bool) else repr(value))


def _stats_of(snapshot: Snapshot, digest: Digest, commit: Commit) -> Stats:
    """What differs from the first parent; without one in the repository everything was added."""
    stats = Stats()
    parent = find_parent(snapshot, digest, commit)
    old = None if parent is None else read_commit(snapshot, parent).root
    for change in diff_trees(snapshot, old, commit.root):
        stats.add(change)
    return stats


def add_rev_parse_arguments(parser: Parser) -> None:
    """Options of `rev-parse`."""
    parser.add_argument("revisions", metavar="REV", nargs="+", help="a revision")


def run_rev_parse(arguments: Arguments) -> int:
    """Print the commit id of each revision."""
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        ids = [resolve(snapshot, revision).hex() for revision in arguments.revisions]
    if arguments.json:
        print_json(dict(zip(arguments.revisions, ids, strict=True)))
    else:
        print("\n".join(ids))
    return 0


def describe_commit(digest: Digest, commit: Commit) -> dict[str, object]:
    """A commit as a JSON document."""
    return {
        "commit": digest.hex(),
        "root": commit.root.hex(),
        "parents": [parent.hex() for parent in commit.parents],
        "timestamp": commit.timestamp,
        "subject": commit.subject,
        "body": commit.body,
        "metadata": commit.metadata,
    }


def _format(digest: Digest, commit: Commit, extra: list[str] | None = None) -> str:
    lines = [f"commit {digest.hex()}"]
    lines += [f"Parent:  {parent.hex()}" for parent in commit.parents]
    if BASE_KEY in commit.metadata:
        lines.append(f"Base:  {commit.metadata[BASE_KEY]}")
    lines += extra or []
    lines.append(f"Date:  {format_time(commit.timestamp)}")
    lines.append("")
    lines.append(f"    {commit.subject}" if commit.subject else "    (no subject)")
    if commit.body:
        lines += ["", *(f"    {line}".rstrip() for line in commit.body.rstrip().split("\n"))]
    return "\n".join([*lines, ""])
