# SPDX-License-Identifier: LGPL-2.1-or-later
"""`diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.output import print_json, print_line
from ostreefs_store.diff import diff_trees
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


def add_diff_arguments(parser: Parser) -> None:
    """Options of `diff`."""
    parser.add_argument("old", metavar="REV", help="the older commit, or the only one")
    parser.add_argument(
        "new", metavar="REV", nargs="?", help="the newer commit (without it: REV^ and REV)"
    )


def run_diff(arguments: Arguments) -> int:
    """Print a letter (A, D, M) and the path of everything that differs."""
    old, new = arguments.old, arguments.new
    if new is None:
        old, new = f"{old}^", old
    documents: list[dict[str, object]] = []
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        roots = [read_commit(snapshot, resolve(snapshot, rev)).root for rev in (old, new)]
        for change in diff_trees(snapshot, roots[0], roots[1]):
            if arguments.json:
                documents.append({"change": change.kind, "path": change.path})
            else:
                print_line(f"{change.kind}    ".encode() + change.path)
    if arguments.json:
        print_json(documents)
    return 0
