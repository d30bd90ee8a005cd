# SPDX-License-Identifier: LGPL-2.1-or-later
"""`fsck`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.cli.output import ProgressBar, complain, print_json, warn
from ostreefs_store.checking.discard import delete_damaged
from ostreefs_store.checking.fsck import (
    Problem,
    Report,
    check_index,
    check_repository,
    find_broken,
)
from ostreefs_store.checking.mend import mend
from ostreefs_store.checking.repair import open_directories
from ostreefs_store.checking.salvage import Sharing, find_sharing
from ostreefs_store.errors import printable
from ostreefs_store.leases import find_leased
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.checking.locate import NeedingCommit
    from ostreefs_store.checking.repair import Outcome
    from ostreefs_store.checking.salvage import Directories
    from ostreefs_store.repository import Repository

EXIT_UNREAD = 1
EXIT_CORRUPTION = 3

_SHOWN_PATHS = 3
"""Paths that are printed of an object or a commit; -v and --json have more."""


class Finding(NamedTuple):
    """A problem, and what became of it."""

    problem: Problem
    sharing: Sharing | None
    outcome: Outcome | None = None
    is_deleted: bool = False

    @property
    def remains(self) -> bool:
        """Whether the repository is still damaged."""
        return self.outcome is None or not self.outcome.repaired


class Result(NamedTuple):
    """What was found and done; `broken` are the commits that need something damaged.

    `shown` are ids of commits that mounts show, and of which something was repaired.
    """

    report: Report
    findings: list[Finding]
    broken: list[NeedingCommit]
    shown: list[str]


def add_fsck_arguments(parser: Parser) -> None:
    """Options of `fsck`, with ostree's spellings where it has them."""
    add = parser.add_argument
    add("-q", "--quiet", action="store_true", help="print only what is damaged")
    add(
        "--quick",
        action="store_true",
        help="read no object file: compare its size, mode, owner, time and inode with the record",
    )
    add(
        "--repair",
        action="store_true",
        help="make damaged objects whole from copies of their content",
    )
    add(
        "--from",
        dest="sources",
        metavar="DIR",
        action="append",
        default=[],
        help="look here for copies, and for files that share a damaged inode (may be repeated)",
    )
    add(
        "--delete",
        action="store_true",
        help="delete damaged objects that were not repaired, so that they are missing",
    )


def run_fsck(arguments: Arguments) -> int:
    """Check everything, and repair or delete what is damaged if asked."""
    changes = arguments.repair or arguments.delete
    check_index(arguments.repository_path / "index")
    with arguments.open_repository(writable=changes) as repository:
        result = _check_and_repair(repository, arguments)
        if arguments.delete and any(finding.remains for finding in result.findings):
            result = _delete(repository, result)
    if arguments.json:
        print_json(_as_document(result))
    else:
        _print_result(result, arguments)
    return _status(result)


def _check_and_repair(repository: Repository, arguments: Arguments) -> Result:
    with ExitStack() as stack:
        # From the check to the repair nothing is deleted, and nobody empties tmp.
        stack.enter_context(repository.in_use(writing=arguments.repair))
        bar = stack.enter_context(ProgressBar("fsck", " objects"))
        sources = [os.fsencode(source) for source in arguments.sources]
        for source in sources:
            os.listdir(source)  # one that is not there is told before the work, not after it
        report = check_repository(repository, bar.callback, quick=arguments.quick)
        directories = open_directories(repository, sources, report.problems)
        findings = [
            Finding(problem, _find_sharing(repository, problem, directories))
            for problem in report.problems
        ]
        if arguments.repair and findings:
            outcomes = mend(repository, report.problems, sources)
            known = {finding.problem: finding for finding in findings}
            findings = [
                known.get(o.problem, Finding(o.problem, None))._replace(outcome=o)
                for o in outcomes
            ]
        remaining = [finding.problem for finding in findings if finding.remains]
        broken = find_broken(repository, remaining)
        shown = _find_shown(repository, report) if len(remaining) < len(findings) else []
        return Result(report, findings, broken, shown)


def _find_shown(repository: Repository, report: Report) -> list[str]:
    needing = [Digest(bytes.fromhex(commit.commit)) for commit in report.broken]
    return sorted(commit.hex() for commit in find_leased(repository.path, needing))


def _delete(repository: Repository, result: Result) -> Result:
    def on_wait() -> None:
        warn("others use the repository: waiting until they have ended")

    remaining = [finding.problem for finding in result.findings if finding.remains]
    with repository.alone(on_wait=on_wait):
        deleted = set(delete_damaged(repository, remaining))
    return result._replace(
        findings=[f._replace(is_deleted=f.problem in deleted) for f in result.findings]
    )


def _find_sharing(
    repository: Repository, problem: Problem, directories: Directories
) -> Sharing | None:
    if problem.links < 2:
        return None
    inode = (repository.path.stat().st_dev, problem.inode)
    paths = {path for _, path in problem.paths}
    return find_sharing(repository.path, inode, problem.links, paths, directories)


def _status(result: Result) -> int:
    if any(finding.remains for finding in result.findings):
        return EXIT_CORRUPTION
    if result.report.unread:
        complain(
            f"{result.report.unread} object files could not be checked: you may not read them",
            "run it as root, or as the owner of the repository",
        )
        return EXIT_UNREAD
    return 0


# ---- what is printed ----


def _as_document(result: Result) -> dict[str, object]:
    return {
        **result.report._asdict(),
        "problems": [_finding_as_document(finding) for finding in result.findings],
        "broken": [commit._asdict() for commit in result.broken],
        "shown": result.shown,
    }


def _finding_as_document(finding: Finding) -> dict[str, object]:
    document: dict[str, object] = finding.problem._asdict()
    if finding.sharing is not None:
        document["shared"] = finding.sharing._asdict()
    if finding.outcome is not None:
        document |= {"repaired": finding.outcome.repaired, "repair": finding.outcome.detail}
    document["deleted"] = finding.is_deleted
    return document


def _print_result(result: Result, arguments: Arguments) -> None:
    shown = None if arguments.verbose else _SHOWN_PATHS
    for finding in result.findings:
        for line in _format_finding(finding, shown):
            print(line)
    for commit in result.broken:
        print(_format_commit(commit, shown))
    if result.findings:
        for line in _summarise(result.findings):
            print(f"fsck: {line}")
        for shows in result.shown:
            print(f"fsck: a mount shows commit {shows}, and may have read damage: mount it anew")
    if not arguments.quiet:
        _print_counts(result)


def _print_counts(result: Result) -> None:
    report = result.report
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


def _format_finding(finding: Finding, shown: int | None) -> Iterator[str]:
    problem, sharing, outcome = finding.problem, finding.sharing, finding.outcome
    yield f"{problem.kind} {problem.name}: {problem.detail}"
    for commit, path in problem.paths[:shown]:
        yield f"    {printable(path)} in commit {commit}"
    if shown is not None and len(problem.paths) > shown:
        yield f"    and {len(problem.paths) - shown} more paths (-v prints them)"
    if sharing is not None:
        for path in sharing.paths:
            yield f"    {printable(path)} has the same inode"
        if sharing.others:
            yield f"    {sharing.others} files elsewhere have the same inode: {sharing.command}"
    if outcome is not None:
        yield f"    {'repaired' if outcome.repaired else 'not repaired'}: {outcome.detail}"
    if finding.is_deleted:
        yield "    deleted"


def _format_commit(commit: NeedingCommit, shown: int | None) -> str:
    refs = f" ({', '.join(commit.refs)})" if commit.refs else ""
    noun = "object" if commit.needs == 1 else "objects"
    told = commit.paths[:shown]
    paths = ", ".join(printable(path) for path in told)
    more = ", …" if commit.needs > len(told) else ""
    return f"commit {commit.commit}{refs}: {commit.needs} damaged {noun}: {paths}{more}"


def _summarise(findings: list[Finding]) -> Iterator[str]:
    yield f"damage found: {len(findings)}"
    tried = any(finding.outcome is not None for finding in findings)
    remaining = [finding for finding in findings if finding.remains]
    deleted = sum(finding.is_deleted for finding in findings)
    if tried:
        yield f"repaired: {len(findings) - len(remaining)}"
    if any(f.sharing is not None and not f.remains for f in findings):
        yield "the files that have the same inode are as they were: check them out again"
    if deleted:
        yield f"deleted: {deleted}"
    if not remaining:
        yield "no damage remains"
    elif not tried:
        yield "--repair makes whole what has a copy; --from=DIR names directories with more"
    else:
        yield "to bring back what remains, name a directory that has it with --from=DIR"
