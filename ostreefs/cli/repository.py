# SPDX-License-Identifier: LGPL-2.1-or-later
"""`init` and `fsck`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs.cli.output import ProgressBar, print_json
from ostreefs_store.errors import printable
from ostreefs_store.fsck import Report, check_repository
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser

EXIT_CORRUPTION = 3


def add_init_arguments(parser: Parser) -> None:
    """Options of `init`."""
    parser.add_argument(
        "--mode",
        choices=MODES,
        help="bare: object files carry owner, mode and xattrs (for root, the default there);"
        " bare-user: only permissions, the rest is in the index (for anyone)",
    )


def run_init(arguments: Arguments) -> int:
    """Make a repository; one of the same mode that is there already is left alone."""
    default: Mode = "bare" if os.geteuid() == 0 else "bare-user"
    mode: Mode = arguments.mode or default
    created = Repository.init(arguments.repository_path, mode)
    if arguments.json:
        path = str(arguments.repository_path.resolve())
        print_json({"repository": path, "mode": mode, "created": created})
    return 0


def add_fsck_arguments(parser: Parser) -> None:
    """Options of `fsck`."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what is damaged")


def run_fsck(arguments: Arguments) -> int:
    """Check everything."""
    with arguments.open_repository() as repository, ProgressBar("fsck", " objects") as bar:
        report = check_repository(repository, bar.callback)
    if arguments.json:
        print_json({**report._asdict(), "problems": [p._asdict() for p in report.problems]})
    else:
        _print_report(report, quiet=arguments.quiet)
    return EXIT_CORRUPTION if report.problems else 0


def _print_report(report: Report, *, quiet: bool) -> None:
    for problem in report.problems:
        print(f"{problem.kind} {problem.name}: {problem.detail}")
        for commit, path in problem.paths:
            print(f"    {printable(path)} in commit {commit}")
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
    if not report.problems:
        print("fsck: no damage found")
