# SPDX-License-Identifier: LGPL-2.1-or-later
"""`diff`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError, parse_id
from ostreefs.cli.output import print_json, print_line
from ostreefs.cli.packages import describe_packages, format_packages
from ostreefs.text import format_size
from ostreefs_store.comparing.diff import Change, State, diff_trees, is_change, without_xattrs
from ostreefs_store.comparing.sides import CommitSide, DirectorySide, join_objects, read_content
from ostreefs_store.model import RegularFile
from ostreefs_store.modifiers import Modifiers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.comparing.diffstat import Count, Stats
    from ostreefs_store.comparing.packagesets import PackageDiff
    from ostreefs_store.comparing.sides import Side
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_LETTERS = {
    "type": "t",
    "content": "c",
    "size": "",
    "target": "l",
    "device": "d",
    "mode": "m",
    "owner": "o",
    "xattrs": "x",
}


def add_diff_arguments(parser: Parser) -> None:
    """Options of `diff`, with ostree's spellings."""
    parser.has_paths = True
    parser.usage = "ostreefs diff [options] REV|DIR [REV|DIR] [-- PATH…]"
    add = parser.add_argument
    add("--stats", action="store_true", help="count what differs, instead of listing it")
    add("-p", "--patch", action="store_true", help="print text diffs, instead of the list")
    add(
        "--packages",
        action="store_true",
        help="print which packages changed, by the databases of dpkg and rpm, instead of the list",
    )
    add(
        "--fs-diff",
        action="store_true",
        help="print the list, too, with --stats, --packages or -p",
    )
    add("--no-xattrs", action="store_true", help="do not compare extended attributes")
    add("--owner-uid", type=parse_id, metavar="UID", help="as if this owned all of a DIR")
    add("--owner-gid", type=parse_id, metavar="GID", help="as if all of a DIR had this group")
    add("old", metavar="REV|DIR", help="the older commit, or the only one; or a directory")
    add(
        "new",
        metavar="REV|DIR",
        nargs="?",
        help="the newer commit, or a directory (without it: REV^ and REV);"
        " a directory begins with / or with a dot",
    )


def run_diff(arguments: Arguments) -> int:
    """Tell what differs between two commits, or a commit and a directory."""
    old, new = arguments.old, arguments.new
    if new is None:
        if _is_directory(old):
            raise UsageError("name a commit, too, which the directory is to be compared with")
        old, new = f"{old}^", old
    paths = [os.fsencode(path) for path in arguments.paths]
    with (
        arguments.open_repository() as repository,
        _kept(repository, arguments),
        repository.index.snapshot() as snapshot,
    ):
        sides = [_open_side(repository, snapshot, name, arguments) for name in (old, new)]
        objects = join_objects(*sides)
        changes = diff_trees(objects, sides[0].root, sides[1].root, paths)
        if arguments.no_xattrs:
            changes = (each for each in map(without_xattrs, changes) if is_change(each))
        _report(sides, changes, arguments)
    return 0


def _is_directory(word: str) -> bool:
    """As in ostree; no ref begins so."""
    return word.startswith(("/", "."))


def _open_side(
    repository: Repository, snapshot: Snapshot, word: str, arguments: Arguments
) -> CommitSide | DirectorySide:
    if not _is_directory(word):
        return CommitSide(repository, snapshot, word)
    owners = arguments.owner_uid, arguments.owner_gid
    return DirectorySide(word, Modifiers(*owners, xattrs=not arguments.no_xattrs))


def _report(
    sides: Sequence[CommitSide | DirectorySide], changes: Iterator[Change], arguments: Arguments
) -> None:
    packages = _diff_packages(sides, arguments)
    if arguments.json:
        document = _describe_all(sides, changes, arguments)
        if packages is not None:
            document["packages"] = [describe_packages(each) for each in packages]
        ends = {"old": sides[0].name, "new": sides[1].name}
        print_json({**ends, **document})
        return
    later = _print_all(changes, arguments)
    for line in format_packages(packages, is_asked=arguments.packages):
        print(line)
    for change in later:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(_patch_of(sides, change))


def _kept(repository: Repository, arguments: Arguments) -> AbstractContextManager[None]:
    """Keep the object files while they are read; a list alone, perhaps in a pager, needs none."""
    reads_content = arguments.patch or arguments.packages or arguments.stats
    return repository.in_use() if reads_content else nullcontext()


def _diff_packages(sides: Sequence[Side], arguments: Arguments) -> list[PackageDiff] | None:
    """How packages differ, for --packages and for --stats of whole trees."""
    if not (arguments.packages or (arguments.stats and not arguments.paths)):
        return None
    from ostreefs_store.comparing.packagesets import (  # noqa: PLC0415 -- only for those who ask for it
        diff_package_sets,
    )

    return diff_package_sets(*sides)


def _print_all(changes: Iterator[Change], arguments: Arguments) -> list[Change]:
    """Print the list and the statistics, as far as they are wanted; what a patch is made of."""
    stats = _new_stats(arguments)
    with_list = arguments.fs_diff or not (arguments.stats or arguments.patch or arguments.packages)
    later: list[Change] = []
    if not with_list and not arguments.stats and not arguments.patch:
        return later
    for change in changes:
        if with_list:
            print_line(format_change(change))
        if stats is not None:
            stats.add(change)
        if arguments.patch:
            later.append(change)
    if stats is not None:
        print("\n".join(format_stats(stats)))
    return later


def _new_stats(arguments: Arguments) -> Stats | None:
    if not arguments.stats:
        return None
    from ostreefs_store.comparing.diffstat import Stats  # noqa: PLC0415 -- only for those who ask for it

    return Stats()


def format_change(change: Change) -> bytes:
    """A line as of ostree: a letter, four columns, the path.

    The columns are blank, as ostree has them, where content alone was modified; else they say what
    was: c content, l the target of a link, m mode, o owner, x xattrs, t type, d device number.
    """
    letters = "".join(_LETTERS[aspect] for aspect in change.aspects)
    return f"{change.kind}{'' if letters == 'c' else letters:<4}".encode() + change.path


def _patch_of(sides: Sequence[Side], change: Change) -> Iterator[bytes]:
    from ostreefs_store.comparing.patch import format_patch  # noqa: PLC0415 -- only for those who use it

    def read(state: State, size: int) -> bytes:
        assert isinstance(state.item, RegularFile)
        side = sides[0] if state is change.old else sides[1]
        return read_content(side, change.path, state.digest, state.item, size)

    return format_patch(change, read)


# ---- statistics ----


def format_stats(stats: Stats) -> Iterator[str]:
    """Lines that say how much differs."""
    yield f"Added:     {_format_count(stats.added)}"
    yield f"Deleted:   {_format_count(stats.deleted)}"
    modified = stats.modified
    sizes = f"{format_size(stats.old_size)} -> {format_size(stats.new_size)}"
    yield f"Modified:  {_format_number(modified.files, modified.directories)} ({sizes})"
    if stats.aspects:
        told = ", ".join(f"{aspect} {number}" for aspect, number in stats.aspects.items())
        alone = f"; metadata alone {stats.metadata_only}" if stats.metadata_only else ""
        yield f"           {told}{alone}"
    sign = "-" if stats.growth < 0 else "+"
    yield f"Size:      {sign}{format_size(abs(stats.growth))}"


def _format_count(count: Count) -> str:
    return f"{_format_number(count.files, count.directories)} ({format_size(count.size)})"


def _format_number(files: int, directories: int) -> str:
    words = [f"{files} file{'' if files == 1 else 's'}"]
    if directories:
        words.append(f"{directories} director{'y' if directories == 1 else 'ies'}")
    return ", ".join(words)


# ---- JSON ----


def _describe_all(
    sides: Sequence[Side], changes: Iterator[Change], arguments: Arguments
) -> dict[str, object]:
    from ostreefs_store.comparing.diffstat import Stats  # noqa: PLC0415 -- only for those who ask for it

    stats = Stats()
    documents: list[dict[str, object]] = []
    for change in changes:
        stats.add(change)
        documents.append(_describe(change))
        if arguments.patch:
            documents[-1]["patch"] = b"".join(_patch_of(sides, change))
    return {"changes": documents, "stats": describe_stats(stats)}


def _describe(change: Change) -> dict[str, object]:
    from ostreefs.cli.items import describe  # noqa: PLC0415 -- only for those who ask for it

    return {
        "change": change.kind,
        "path": change.path,
        "modified": change.aspects,
        "old": describe(*change.old) if change.old else None,
        "new": describe(*change.new) if change.new else None,
    }


def describe_stats(stats: Stats) -> dict[str, object]:
    """Statistics as a JSON document; sizes in bytes."""
    return {
        **{name: _describe_count(getattr(stats, name)) for name in ("added", "deleted")},
        "modified": {
            "files": stats.modified.files,
            "directories": stats.modified.directories,
            "metadata_only": stats.metadata_only,
            "aspects": stats.aspects,
            "old_size": stats.old_size,
            "new_size": stats.new_size,
        },
        "growth": stats.growth,
    }


def _describe_count(count: Count) -> dict[str, int]:
    return {"files": count.files, "directories": count.directories, "size": count.size}
