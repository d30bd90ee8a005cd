# SPDX-License-Identifier: LGPL-2.1-or-later
"""`fsck`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.output import ProgressBar, complain, print_json
from ostreefs_store.errors import printable
from ostreefs_store.fsck import Problem, Report, check_repository

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.locate import NeedingCommit

EXIT_UNREAD = 1
EXIT_CORRUPTION = 3

_SHOWN_PATHS = 3
"""Paths that are printed of an object or a commit; -v and --json have more."""


def add_fsck_arguments(parser: Parser) -> None:
    """Options of `fsck`, with ostree's spellings where it has them."""
    add = parser.add_argument
    add("-q", "--quiet", action="store_true", help="print only what is damaged")
    add(
        "--quick",
        action="store_true",
        help="read no object file: compare its size, mode, owner, time and inode with the record",
    )


def run_fsck(arguments: Arguments) -> int:
    """Check everything."""
    with arguments.open_repository() as repository, ProgressBar("fsck", " objects") as bar:
        report = check_repository(repository, bar.callback, quick=arguments.quick)
    if arguments.json:
        print_json(_as_document(report))
    else:
        _print_report(
            report, quiet=arguments.quiet, shown=None if arguments.verbose else _SHOWN_PATHS
        )
    return _status(report)


def _status(report: Report) -> int:
    if report.problems:
        return EXIT_CORRUPTION
    if report.unread:
        complain(
            f"{report.unread} object files could not be checked: you may not read them",
            "run it as root, or as the owner of the repository",
        )
        return EXIT_UNREAD
    return 0


def _as_document(report: Report) -> dict[str, object]:
    problems = [problem._asdict() for problem in report.problems]
    return {
        **report._asdict(),
        "problems": problems,
        "broken": [commit._asdict() for commit in report.broken],
    }


def _print_report(report: Report, *, quiet: bool, shown: int | None) -> None:
    for problem in report.problems:
        _print_problem(problem, shown)
    for commit in report.broken:
        _print_commit(commit, shown)
    if report.problems:
        print(f"fsck: damage found: {len(report.problems)}")
    if quiet:
        return
    print(
        f"fsck: checked {report.commits} commits, {report.trees} trees,"
        f" {report.files} file objects"
    )
    if report.unknown_files:
        print(
            f"fsck: {report.unknown_files} object files belong to no commit"
            " (left from an interrupted one; harmless)"
        )
    if not report.problems and not report.unread:
        print("fsck: no damage found")


def _print_problem(problem: Problem, shown: int | None) -> None:
    print(f"{problem.kind} {problem.name}: {problem.detail}")
    for commit, path in problem.paths[:shown]:
        print(f"    {printable(path)} in commit {commit}")
    if shown is not None and len(problem.paths) > shown:
        print(f"    and {len(problem.paths) - shown} more paths (-v prints them)")


def _print_commit(commit: NeedingCommit, shown: int | None) -> None:
    refs = f" ({', '.join(commit.refs)})" if commit.refs else ""
    noun = "object" if commit.needs == 1 else "objects"
    paths = ", ".join(printable(path) for path in commit.paths[:shown])
    more = ", …" if commit.needs > len(commit.paths[:shown]) else ""
    print(f"commit {commit.commit}{refs}: {commit.needs} damaged {noun}: {paths}{more}")
