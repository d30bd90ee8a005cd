# SPDX-License-Identifier: LGPL-2.1-or-later
"""`export`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, get_args

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import ProgressBar, print_json
from ostreefs.text import format_size
from ostreefs_store.content import CHUNK
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.tar.export import ExportOptions, ExportResult, export_tree, replaced_file
from ostreefs_store.tar.tarstream import Compression, compressed, compression_of

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


def add_export_arguments(parser: Parser) -> None:
    """Options of `export`, with ostree's spellings where it has them."""
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="write there (default: standard output)")
    add("--subpath", metavar="PATH", default="/", help="export this part of the commit")
    add("--prefix", metavar="PREFIX", default="", help="put this before every name, as it is")
    add("--no-xattrs", action="store_true", help="leave extended attributes and ACLs out")
    add("--sparse", action="store_true", help="leave the holes of sparse files out")
    add(
        "--compress",
        metavar="HOW",
        choices=get_args(Compression),
        help="none, gzip, xz, zstd or bzip2 (default: as the name of FILE says)",
    )
    add("revision", metavar="REV", help="the commit")


def run_export(arguments: Arguments) -> int:
    """Write a commit as a tar archive."""
    to_stdout = arguments.output in {None, "-"}
    if to_stdout and sys.stdout.isatty():
        raise UsageError("an archive is not for a terminal: redirect it, or use --output=FILE")
    if to_stdout and arguments.json:
        raise UsageError("--json needs --output=FILE: the archive goes to standard output")
    options = ExportOptions(
        os.fsencode(arguments.subpath),
        os.fsencode(arguments.prefix),
        xattrs=not arguments.no_xattrs,
        sparse=arguments.sparse,
    )
    compression = arguments.compress or compression_of(arguments.output or "")
    with (
        arguments.open_repository() as repository,
        repository.in_use(),  # before a commit is looked for: what is found then stays
        ExitStack() as stack,
    ):
        with repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, arguments.revision)
            root = read_commit(snapshot, commit).root
        if to_stdout:
            out: IO[bytes] = stack.enter_context(open(1, "wb", CHUNK, closefd=False))
        else:
            out = stack.enter_context(replaced_file(Path(arguments.output)))
        with compressed(out, compression) as packed:
            result = _export(repository, root, packed, options)
        out.flush()
    if arguments.json:
        _print(commit, result)
    return 0


def _export(
    repository: Repository, root: Digest, out: IO[bytes], options: ExportOptions
) -> ExportResult:
    with ProgressBar("export", " files") as bar:

        def progress(members: int, size: int) -> None:
            bar.update(members, note=format_size(size))

        return export_tree(
            repository, root, out, options, progress if bar.callback is not None else None
        )


def _print(commit: Digest, result: ExportResult) -> None:
    print_json({"commit": commit.hex(), "members": result.members, "bytes": result.size})
