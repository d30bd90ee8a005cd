# SPDX-License-Identifier: LGPL-2.1-or-later
"""`checkout`."""

from __future__ import annotations

import os
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import ProgressBar, print_json, warn
from ostreefs_store.checkouts.checkout import CheckoutResult, checkout
from ostreefs_store.checkouts.filemaker import CheckoutOptions, Union
from ostreefs_store.errors import PathNotFoundError, printable
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.repository import Repository


def add_checkout_arguments(parser: Parser) -> None:
    """Options of `checkout`, with ostree's spellings."""
    add = parser.add_argument
    add(
        "-U",
        "--user-mode",
        action="store_true",
        help="keep no owner, no xattrs and no setuid bits: for ordinary users",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "-H", "--require-hardlinks", action="store_true", help="fail rather than copy a file"
    )
    how.add_argument("-C", "--force-copy", action="store_true", help="copy, never hardlink")
    add("--subpath", metavar="PATH", default="/", help="check out this part of the commit")
    union = parser.add_mutually_exclusive_group()
    union.add_argument(
        "--union", action="store_true", help="into an existing directory, replacing files"
    )
    union.add_argument(
        "--union-add", action="store_true", help="into an existing directory, keeping its files"
    )
    union.add_argument(
        "--union-identical",
        action="store_true",
        help="into an existing directory, failing where a file differs",
    )
    add("--whiteouts", action="store_true", help="process '.wh.NAME' files of container layers")
    add("--allow-noent", action="store_true", help="do nothing where --subpath does not exist")
    add("--skip-list", metavar="FILE", help="leave out the paths that FILE has, one a line")
    many = parser.add_mutually_exclusive_group()
    many.add_argument(
        "--from-file",
        metavar="FILE",
        help="check out all that FILE ('-' for standard input) has, as REV and PATH, each with a"
        " NUL after it; the argument is DEST alone",
    )
    many.add_argument("--from-stdin", action="store_true", help="the same, from standard input")
    add("revision", metavar="REV", help="the commit")
    add("destination", metavar="DEST", nargs="?", help="where (default: a directory named as REV)")


class _Wanted(NamedTuple):
    """One tree to check out."""

    revision: str
    subpath: bytes


def run_checkout(arguments: Arguments) -> int:
    """Check out a commit, or several into one place."""
    listed = "-" if arguments.from_stdin else arguments.from_file
    wanted = [_Wanted(arguments.revision, os.fsencode(arguments.subpath))]
    given = arguments.destination
    if listed is not None:
        if given is not None or arguments.subpath != "/":
            raise UsageError("with --from-file or --from-stdin, DEST is all there is to say")
        wanted, given = _read_wanted(listed), arguments.revision
    destination = Path(arguments.revision if given is None else given)
    options = _options(arguments)
    if given == "" or (options.union == "none" and not destination.name):  # "." is there already
        raise UsageError(f"cannot check out to '{destination}'")
    documents: list[dict[str, object]] = []
    with (
        arguments.open_repository(writable="if allowed") as repository,
        repository.in_use(),  # before a commit is looked for: what is found then stays
        ProgressBar("checkout", " files") as bar,
    ):
        for item in wanted:
            document = _check_out(repository, item, destination, options, bar, arguments)
            documents.append(document)
    if arguments.json:
        print_json(documents if listed is not None else documents[0])
    return 0


def _check_out(
    repository: Repository,
    wanted: _Wanted,
    destination: Path,
    options: CheckoutOptions,
    bar: ProgressBar,
    arguments: Arguments,
) -> dict[str, object]:
    """Check out one tree; what --json prints of it."""
    with repository.index.snapshot() as snapshot:
        commit = resolve(snapshot, wanted.revision)
        root = read_commit(snapshot, commit).root
    missing = False
    result = CheckoutResult(0, [])
    try:
        options = options._replace(subpath=wanted.subpath)
        result = checkout(repository, root, destination, options, bar.update)
    except PathNotFoundError:
        if not arguments.allow_noent:
            raise
        missing = True
    for path in result.skipped_devices:
        warn(f"{printable(path)} is a device node and was left out (only root may make it)")
    return {
        "commit": commit.hex(),
        "subpath": wanted.subpath,
        "destination": str(destination.absolute()),
        "missing": missing,
        "files": result.files,
        "skipped": result.skipped_devices,
    }


def _options(arguments: Arguments) -> CheckoutOptions:
    skipped: frozenset[bytes] = frozenset()
    if arguments.skip_list is not None:
        lines = Path(arguments.skip_list).read_bytes().split(b"\n")
        skipped = frozenset(line.strip(b"/") for line in lines if line)
    return CheckoutOptions(
        user=arguments.user_mode,
        require_hardlinks=arguments.require_hardlinks,
        force_copy=arguments.force_copy,
        union=_union(arguments),
        whiteouts=arguments.whiteouts,
        skip=skipped,
    )


def _read_wanted(name: str) -> list[_Wanted]:
    """What ``--from-file`` lists; it ends with the file, or with an empty revision."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    if b"\0" not in data and b"\n" in data:
        raise UsageError(f"{name} is not made of REV, NUL, PATH, NUL and so on")
    words = data.split(b"\0")
    wanted: list[_Wanted] = []
    for revision, path in zip_longest(words[::2], words[1::2], fillvalue=b""):
        if not revision:
            break
        wanted.append(_Wanted(os.fsdecode(revision), path or b"/"))
    return wanted


def _union(arguments: Arguments) -> Union:
    if arguments.union:
        return "overwrite"
    if arguments.union_add:
        return "add"
    return "identical" if arguments.union_identical else "none"
