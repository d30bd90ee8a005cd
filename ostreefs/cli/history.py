# SPDX-License-Identifier: LGPL-2.1-or-later
"""`log`, `show` and `rev-parse`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.output import format_time, print_json
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.traverse import iter_history

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Commit, Digest


def add_log_arguments(parser: Parser) -> None:
    """Options of `log`."""
    parser.add_argument("-n", "--max-count", type=int, metavar="N", help="show at most N commits")
    parser.add_argument("revision", metavar="REV", help="where to begin")


def run_log(arguments: Arguments) -> int:
    """Show a history along first parents, the newest first."""
    shown: list[dict[str, object]] = []
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        start = resolve(snapshot, arguments.revision)
        for count, (digest, commit) in enumerate(iter_history(snapshot, start)):
            if count == arguments.max_count:
                break
            if arguments.json:
                shown.append(_as_document(digest, commit))
            else:
                print(_format(digest, commit))
    if arguments.json:
        print_json(shown)
    return 0


def add_show_arguments(parser: Parser) -> None:
    """Options of `show`."""
    parser.add_argument("revision", metavar="REV", help="the commit")


def run_show(arguments: Arguments) -> int:
    """Show one commit with its root tree and metadata."""
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        digest = resolve(snapshot, arguments.revision)
        commit = read_commit(snapshot, digest)
    if arguments.json:
        print_json(_as_document(digest, commit))
        return 0
    extra = [f"Tree:  {commit.root.hex()}"]
    extra += [f"Metadata:  {key} = {value!r}" for key, value in commit.metadata.items()]
    print(_format(digest, commit, extra))
    return 0


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


def _as_document(digest: Digest, commit: Commit) -> dict[str, object]:
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
    lines += extra or []
    lines.append(f"Date:  {format_time(commit.timestamp)}")
    lines.append("")
    lines.append(f"    {commit.subject}" if commit.subject else "    (no subject)")
    if commit.body:
        lines += ["", *(f"    {line}".rstrip() for line in commit.body.rstrip().split("\n"))]
    return "\n".join([*lines, ""])
