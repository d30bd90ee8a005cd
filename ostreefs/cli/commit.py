# SPDX-License-Identifier: LGPL-2.1-or-later
"""`commit`."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Literal

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import ProgressBar, format_size, inform, print_json, warn
from ostreefs_store.batch import Batch
from ostreefs_store.commit import Message, Target, check_message, read_tip, write_commit
from ostreefs_store.consume import delete_source
from ostreefs_store.errors import printable
from ostreefs_store.ingest import Ingested, ingest_directory, open_source
from ostreefs_store.refs import resolve
from ostreefs_store.statcache import Modifiers

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


_ID_MAX = 2**32 - 2
_TIMESTAMP_END = 2**62
"""The limits of the format, see `codec`."""


def add_commit_arguments(parser: Parser) -> None:
    """Options of `commit`, with ostree's spellings."""
    add = parser.add_argument
    add("-b", "--branch", required=True, metavar="BRANCH", help="the ref to move")
    add("-s", "--subject", type=_parse_text, default="", help="one line about the commit")
    add("-m", "--body", type=_parse_text, default="", help="more about the commit")
    add("--tree", metavar="dir=PATH", action="append", default=[], help="the directory to commit")
    add("--timestamp", metavar="TIME", help="instead of now: @SECONDS, or as 2026-01-31T12:00:00Z")
    add("--parent", metavar="REV", help="the parent (default: the branch; 'none' for no parent)")
    add("--owner-uid", type=_parse_id, metavar="UID", help="record this owner for everything")
    add("--owner-gid", type=_parse_id, metavar="GID", help="record this group for everything")
    add("--no-xattrs", action="store_true", help="record no extended attributes")
    add(
        "--skip-if-unchanged",
        action="store_true",
        help="make no commit when the tree is the parent's; print the parent's id",
    )
    add(
        "--consume",
        action="store_true",
        help="move the files in instead of copying them, and delete the source afterwards",
    )
    add("path", nargs="?", metavar="PATH", help="the directory to commit (default: .)")


def run_commit(arguments: Arguments) -> int:
    """Commit a directory; print the id alone."""
    source = _source(arguments)
    modifiers = Modifiers(arguments.owner_uid, arguments.owner_gid, not arguments.no_xattrs)
    timestamp = int(time.time())
    if arguments.timestamp is not None:
        timestamp = parse_timestamp(arguments.timestamp)
    message = Message(arguments.subject, arguments.body, timestamp, {})
    check_message(message)
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        open_source(source) as source_fd,
    ):
        tip = read_tip(repository, arguments.branch)
        parent = _parent(repository, arguments.parent)
        batch = Batch()
        ingested = _ingest(repository, source, modifiers, batch, consume=arguments.consume)
        digest, is_new = write_commit(
            repository,
            batch,
            ingested.root,
            message,
            Target(arguments.branch, parent, arguments.skip_if_unchanged, tip),
        )
        _report(arguments, ingested, batch, digest, is_new=is_new)
        if arguments.consume:
            _delete(source_fd, source, ingested)
    return 0


def _ingest(
    repository: Repository, source: str, modifiers: Modifiers, batch: Batch, *, consume: bool
) -> Ingested:
    with ProgressBar("commit", " files") as bar:

        def progress(files: int, volume: int) -> None:
            bar.update(files, note=format_size(volume))

        return ingest_directory(
            repository,
            source,
            modifiers,
            batch,
            consume=consume,
            progress=progress if bar.callback else None,
        )


def _source(arguments: Arguments) -> str:
    if not arguments.tree:
        return arguments.path or "."
    if len(arguments.tree) > 1:
        raise UsageError("--tree can be given once: a commit of several trees is not supported")
    [tree] = arguments.tree
    kind, _, path = tree.partition("=")
    if kind != "dir" or not path:
        raise UsageError(f"--tree={tree} is not of the form dir=PATH")
    if arguments.path is not None:
        raise UsageError("name the directory by --tree or as an argument, not both")
    return str(path)


def _parent(repository: Repository, revision: str | None) -> Digest | Literal["none"] | None:
    if revision is None:
        return None
    if revision == "none":
        return "none"
    with repository.index.snapshot() as snapshot:
        return resolve(snapshot, revision)


def parse_timestamp(text: str) -> int:
    """Seconds since 1970 from ``@SECONDS``, ``SECONDS`` or ISO 8601 (UTC unless it says so)."""
    from datetime import UTC, datetime  # noqa: PLC0415 -- only for those who use it

    try:
        seconds = int(text.removeprefix("@"))
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"cannot understand the timestamp '{text}':"
                " use @SECONDS or a form such as 2026-01-31T12:00:00Z"
            ) from None
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if abs(seconds) >= _TIMESTAMP_END:
        raise UsageError(f"the timestamp '{text}' is out of range")
    return seconds


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _ID_MAX):
        raise ArgumentTypeError(f"'{text}' is not a number from 0 to {_ID_MAX}")
    return int(text)


def _parse_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("it is not UTF-8") from None
    return text


def _warn_of_sockets(ingested: Ingested) -> None:
    for path in ingested.skipped:
        warn(f"{printable(path)} is a socket and was left out")


def _delete(source_fd: int, source: str, ingested: Ingested) -> None:
    sys.stdout.flush()  # the commit is made, whatever happens now
    for path, reason in delete_source(source_fd, source, ingested.taken_in):
        full = os.path.join(os.fsencode(source), path) if path else os.fsencode(source)
        warn(f"{printable(full)} was committed but not deleted: {reason}")


def _report(
    arguments: Arguments, ingested: Ingested, batch: Batch, digest: Digest, *, is_new: bool
) -> None:
    _warn_of_sockets(ingested)
    if arguments.verbose:
        inform(
            f"read {ingested.read_files} files ({format_size(ingested.read_bytes)}),"
            f" stored {len(batch.object_files)} objects and {len(batch.trees)} trees"
        )
    if arguments.json:
        print_json(
            {
                "commit": digest.hex(),
                "new": is_new,
                "root": ingested.root.hex(),
                "files_read": ingested.read_files,
                "bytes_read": ingested.read_bytes,
                "objects_stored": len(batch.object_files),
                "trees_stored": len(batch.trees),
                "skipped": ingested.skipped,
            }
        )
    else:
        print(digest.hex())
