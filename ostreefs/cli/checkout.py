# SPDX-License-Identifier: LGPL-2.1-or-later
"""`checkout`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import ProgressBar, print_json, warn
from ostreefs_store.checkout import checkout
from ostreefs_store.errors import printable
from ostreefs_store.filemaker import CheckoutOptions, Union
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


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
    add("revision", metavar="REV", help="the commit")
    add("destination", metavar="DEST", nargs="?", help="where (default: a directory named as REV)")


def run_checkout(arguments: Arguments) -> int:
    """Check out a commit."""
    given = arguments.destination
    destination = Path(arguments.revision if given is None else given)
    union = _union(arguments)
    if given == "" or (union == "none" and not destination.name):  # "." and "/" are there already
        raise UsageError(f"cannot check out to '{destination}'")
    options = CheckoutOptions(
        user=arguments.user_mode,
        require_hardlinks=arguments.require_hardlinks,
        force_copy=arguments.force_copy,
        union=union,
        subpath=os.fsencode(arguments.subpath),
    )
    with arguments.open_repository(writable="if allowed") as repository:
        with repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, arguments.revision)
            root = read_commit(snapshot, commit).root
        with ProgressBar("checkout", " files") as bar:
            result = checkout(repository, root, destination, options, bar.update)
    for path in result.skipped_devices:
        warn(f"{printable(path)} is a device node and was left out (only root may make it)")
    if arguments.json:
        print_json(
            {
                "commit": commit.hex(),
                "destination": str(destination.absolute()),
                "files": result.files,
                "skipped": result.skipped_devices,
            }
        )
    return 0


def _union(arguments: Arguments) -> Union:
    if arguments.union:
        return "overwrite"
    if arguments.union_add:
        return "add"
    return "identical" if arguments.union_identical else "none"
