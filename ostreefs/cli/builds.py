# SPDX-License-Identifier: LGPL-2.1-or-later
"""`history`: the builds of refs as a table, a graph, JSON or a page."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.cli.arguments import parse_count
from ostreefs.cli.buildtext import format_graph, format_table
from ostreefs.cli.dates import parse_date
from ostreefs.cli.df import note_usage
from ostreefs.cli.diff import describe_stats
from ostreefs.cli.history import describe_commit
from ostreefs.cli.output import ProgressBar, one_line, print_json, print_lines
from ostreefs.cli.packages import describe_packages
from ostreefs.cli.pagefile import check_page, open_page
from ostreefs.cli.terminal import Terminal
from ostreefs_store.comparing.ancestry import read_ancestry
from ostreefs_store.comparing.builds import History, describe_builds
from ostreefs_store.pins import iter_pins
from ostreefs_store.pruning.usage import find_usage
from ostreefs_store.refs import resolve
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.comparing.ancestry import Ancestor
    from ostreefs_store.comparing.builds import Build, Names
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

_CHANGES = 20


class _Chosen(NamedTuple):
    """The commits to show, in order, and what names them."""

    ancestors: list[Ancestor]
    names: Names


def add_history_arguments(parser: Parser) -> None:
    """Options of `history`, where they can be those of git-log(1)."""
    add = parser.add_argument
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--graph",
        action="store_true",
        help="draw how the commits follow from one another, instead of counting what changed",
    )
    how.add_argument("--html", metavar="FILE", help="write a page for a browser ('-': to stdout)")
    add(
        "--changes",
        type=parse_count,
        metavar="N",
        default=_CHANGES,
        help=f"with --html, list the N largest changes of each build (default: {_CHANGES})",
    )
    add("-n", "--max-count", type=parse_count, metavar="N", help="show at most N commits")
    add("--since", type=parse_date, metavar="DATE", help="only commits that are not older")
    add("--until", type=parse_date, metavar="DATE", help="only commits that are not younger")
    add("--first-parent", action="store_true", help="leave out what was merged")
    add(
        "--color",
        metavar="WHEN",
        choices=("auto", "always", "never"),
        default="auto",
        help="use colours always, never, or auto: on a terminal unless NO_COLOR is set (default)",
    )
    add("revisions", metavar="REV", nargs="+", help="the commits to begin with")


def run_history(arguments: Arguments) -> int:
    """Show the builds of refs, the newest first."""
    check_page(arguments)
    terminal = Terminal(arguments.color)
    with Repository.open_best(arguments.repository_path) as repository, repository.in_use():
        with repository.index.snapshot() as snapshot:
            chosen = _choose(snapshot, arguments)
        if arguments.graph and not arguments.json:
            print_lines(format_graph(chosen.ancestors, chosen.names, terminal))
            return 0
        history = _describe(repository, chosen, arguments)
    if arguments.html is not None:
        _write_page(history, arguments)
    if arguments.json:
        print_json([_as_document(build, history) for build in history.builds])
    elif arguments.html is None:
        print_lines(format_table(history, terminal))
    return 0


def _choose(snapshot: Snapshot, arguments: Arguments) -> _Chosen:
    tips = [resolve(snapshot, revision) for revision in arguments.revisions]
    ancestry = read_ancestry(snapshot, tips, first_parent=arguments.first_parent)
    fitting = (
        ancestor
        for ancestor in ancestry
        if (arguments.since is None or ancestor.commit.timestamp >= arguments.since)
        and (arguments.until is None or ancestor.commit.timestamp <= arguments.until)
    )
    aliases = dict(snapshot.iter_aliases())
    names: dict[Digest, list[str]] = {}
    for ref, digest in snapshot.iter_refs():
        name = f"{ref} -> {aliases[ref]}" if ref in aliases else ref
        names.setdefault(digest, []).append(name)
    for pin, digest in iter_pins(snapshot):
        names.setdefault(digest, []).append(f"pin: {one_line(pin)}")
    return _Chosen(list(islice(fitting, arguments.max_count)), names)


def _describe(repository: Repository, chosen: _Chosen, arguments: Arguments) -> History:
    """Find out what each build brought, and the space it takes, as `df` has it."""
    with repository.index.snapshot() as snapshot:
        with ProgressBar("df", " commits") as bar:
            usage = find_usage(snapshot, bar.update)
        with ProgressBar("history", " commits") as bar:
            builds: list[Build] = []
            limit = 0 if arguments.html is None else arguments.changes
            for build in describe_builds(repository, snapshot, chosen.ancestors, limit=limit):
                bar.update(len(builds), len(chosen.ancestors))
                builds.append(build)
    note_usage(repository, usage)
    uses = {each.digest: usage.commits[each.digest] for each in chosen.ancestors}
    return History(arguments.revisions, builds, chosen.names, uses)


def _as_document(build: Build, history: History) -> dict[str, object]:
    digest, commit, _ = build.ancestor
    return {
        **describe_commit(digest, commit),
        "names": history.names.get(digest, []),
        "size": history.uses[digest].total.bytes,
        "exclusive": history.uses[digest].exclusive.bytes,
        "base": None if build.base is None else build.base.hex(),
        "stats": describe_stats(build.stats),
        "packages": [describe_packages(each) for each in build.packages],
    }


def _write_page(history: History, arguments: Arguments) -> None:
    from ostreefs.pages.history import write_history_page  # noqa: PLC0415 -- slow to load

    with open_page(arguments) as out:
        write_history_page(out, history)
