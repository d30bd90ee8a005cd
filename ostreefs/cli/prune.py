# SPDX-License-Identifier: LGPL-2.1-or-later
"""`prune` and `pin`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.dates import parse_date
from ostreefs.cli.output import ProgressBar, inform, print_json, print_line
from ostreefs.text import format_size
from ostreefs_store.pins import delete_pin, iter_pins, set_pin
from ostreefs_store.pruning.keeping import INFINITE, Rules
from ostreefs_store.pruning.prune import Report, prune
from ostreefs_store.refs import resolve
from ostreefs_store.retention import Policy, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.index import Transaction
    from ostreefs_store.repository import Repository


def add_prune_arguments(parser: Parser) -> None:
    """Options of `prune`, with ostree's spellings."""
    add = parser.add_argument
    add("--refs-only", action="store_true", help="delete commits that no ref leads to")
    add(
        "--depth",
        type=_parse_depth,
        metavar="DEPTH",
        default=INFINITE,
        help="with --refs-only, keep so many parents of each ref's commit (default: -1, all)",
    )
    add(
        "--keep-younger-than",
        type=parse_date,
        metavar="DATE",
        help="delete commits older than that: 2026-01-31, '2026-01-31 12:00', '3 weeks ago'",
    )
    add(
        "--keep",
        type=_parse_policy,
        metavar="POLICY",
        help="of each ref keep, for instance, '7 daily, 52 weekly, 12 monthly'",
    )
    add(
        "--retain-branch-depth",
        type=_parse_branch_depth,
        metavar="BRANCH=DEPTH",
        action="append",
        default=[],
        help="keep so many parents of this branch's commit, whatever else is asked for",
    )
    add(
        "--only-branch",
        metavar="BRANCH",
        action="append",
        default=[],
        help="prune this branch alone; may be given several times",
    )
    add(
        "--delete-commit",
        metavar="REV",
        action="append",
        default=[],
        help="delete this commit; may be given several times",
    )
    add("--no-prune", action="store_true", help="only show what would be deleted")


def run_prune(arguments: Arguments) -> int:
    """Delete what nobody keeps."""
    if arguments.delete_commit and arguments.no_prune:
        raise UsageError("Cannot specify both --delete-commit and --no-prune")
    writable = not arguments.no_prune
    with (
        arguments.open_repository(writable=writable) as repository,
        ProgressBar("prune", " objects") as bar,
    ):
        report = prune(
            repository,
            _rules(arguments, repository),
            dry_run=arguments.no_prune,
            progress=bar.update,
            on_wait=lambda: _tell_of_waiting(verbose=arguments.verbose),
        )
    if arguments.json:
        print_json(_as_document(report, dry_run=arguments.no_prune))
    else:
        _print_report(report, dry_run=arguments.no_prune, verbose=arguments.verbose)
    return 0


def _rules(arguments: Arguments, repository: Repository) -> Rules:
    with repository.index.snapshot() as snapshot:
        doomed = [resolve(snapshot, revision) for revision in arguments.delete_commit]
    return Rules(
        refs_only=arguments.refs_only,
        depth=arguments.depth,
        younger_than=arguments.keep_younger_than,
        policy=arguments.keep,
        branch_depths=dict(arguments.retain_branch_depth),
        only_branches=arguments.only_branch,
        delete=doomed,
    )


def _tell_of_waiting(*, verbose: bool) -> None:
    if verbose or sys.stderr.isatty():
        inform("waiting for others to finish with the repository")


def _print_report(report: Report, *, dry_run: bool, verbose: bool) -> None:
    if verbose:
        for commit in report.commits:
            inform(f"commit {commit.hex()} {'would go' if dry_run else 'deleted'}")
        for commit in report.leased:
            inform(f"commit {commit.hex()} is kept: it is mounted")
    print(f"Total objects: {report.total}")
    size = format_size(report.freed)
    if not report.deleted:
        print("No unreachable objects")
    elif dry_run:
        print(f"Would delete: {report.deleted} objects, freeing {size}")
    else:
        print(f"Deleted {report.deleted} objects, {size} freed")
    if report.leased:
        print(f"Kept for mounts: {len(report.leased)} commits")


def add_pin_arguments(parser: Parser) -> None:
    """Options of `pin`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the pins (the default)")
    what.add_argument("--delete", action="store_true", help="take out each pin NAME")
    what.add_argument("--name", metavar="NAME", help="name the pin (default: the commit's id)")
    parser.add_argument(
        "arguments", nargs="*", metavar="REV|NAME", help="the commit; the pins of --delete"
    )


def run_pin(arguments: Arguments) -> int:
    """Pin commits, take pins out, or list them."""
    if arguments.delete:
        return _unpin(arguments)
    if arguments.list or (not arguments.arguments and arguments.name is None):
        return _list_pins(arguments)
    if len(arguments.arguments) != 1:
        raise UsageError("name one revision")
    with _writing(arguments) as transaction:
        commit = resolve(transaction, arguments.arguments[0])
        name = commit.hex() if arguments.name is None else arguments.name
        set_pin(transaction, name, commit)
    if arguments.json:
        print_json({"name": name, "commit": commit.hex()})
    return 0


def _list_pins(arguments: Arguments) -> int:
    if arguments.arguments:
        raise UsageError("--list takes no name")
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        pins = {name: commit.hex() for name, commit in iter_pins(snapshot)}
    if arguments.json:
        print_json(pins)
        return 0
    for name, commit in pins.items():
        print_line(os.fsencode(commit if name == commit else f"{commit} {name}"))
    return 0


def _unpin(arguments: Arguments) -> int:
    if not arguments.arguments:
        raise UsageError("--delete needs the name of a pin")
    with _writing(arguments) as transaction:
        for name in arguments.arguments:
            delete_pin(transaction, name)
    if arguments.json:
        print_json({"deleted": arguments.arguments})
    return 0


@contextmanager
def _writing(arguments: Arguments) -> Iterator[Transaction]:
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        yield transaction


def _as_document(report: Report, *, dry_run: bool) -> dict[str, object]:
    return {
        **report._asdict(),
        "commits": [commit.hex() for commit in report.commits],
        "leased": [commit.hex() for commit in report.leased],
        "deleted": report.deleted,
        "dry_run": dry_run,
    }


def _parse_depth(text: str) -> int:
    try:
        depth = int(text)
    except ValueError:
        depth = INFINITE - 1
    if depth < INFINITE:
        raise ArgumentTypeError(f"'{text}' is not a number of parents, or -1 for all")
    return depth


def _parse_branch_depth(text: str) -> tuple[str, int]:
    branch, equals, depth = text.rpartition("=")
    if not equals or not branch:
        raise ArgumentTypeError(f"Invalid value {text}, must specify BRANCH=DEPTH")
    return branch, _parse_depth(depth)


def _parse_policy(text: str) -> Policy:
    try:
        return parse_policy(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
