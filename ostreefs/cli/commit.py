# SPDX-License-Identifier: LGPL-2.1-or-later
"""`commit`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Literal, cast

from ostreefs.cli.arguments import UsageError, parse_id
from ostreefs.cli.message import add_message_arguments, read_message
from ostreefs.cli.output import ProgressBar, inform, print_json, warn
from ostreefs.text import format_size
from ostreefs_store.batch import Batch
from ostreefs_store.committing.bootable import bootable_metadata
from ostreefs_store.committing.commit import Message, Target, read_tip, write_commit
from ostreefs_store.committing.compose import Composed, Kind, Recipe, Source, compose
from ostreefs_store.committing.consume import delete_source
from ostreefs_store.committing.ingest import Ingested, open_source
from ostreefs_store.committing.retouch import ModeOverride, parse_overrides
from ostreefs_store.committing.scan import SourceOptions
from ostreefs_store.errors import printable
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import resolve

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


_KINDS = ("dir", "ref", "tar", "overlay")


def add_commit_arguments(parser: Parser) -> None:
    """Options of `commit`, with ostree's spellings."""
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-b", "--branch", metavar="BRANCH", help="the ref to move")
    where.add_argument("--orphan", action="store_true", help="move no ref")
    add_message_arguments(parser)
    add(
        "--tree",
        metavar="KIND=WHAT",
        action="append",
        default=[],
        help="lay this over what was named before: dir=PATH, ref=REV, tar=FILE ('-' for standard"
        " input), overlay=UPPER (the upper directory of an overlay)",
    )
    add("--base", metavar="REV", help="begin with this commit, to which no modifiers apply")
    add(
        "--whiteouts",
        action="store_true",
        help="in archives, .wh.NAME deletes NAME (as in the layers of containers)",
    )
    add("--parent", metavar="REV", help="the parent (default: the branch; 'none' for no parent)")
    _add_modifiers(parser)
    add(
        "--skip-if-unchanged",
        action="store_true",
        help="make no commit when the tree is the parent's; print the parent's id",
    )
    add("--bootable", action="store_true", help="require a kernel, and note its version")
    add(
        "--consume",
        action="store_true",
        help="move the files in instead of copying them, and delete the source afterwards",
    )
    add("--checksum", action="store_true", help="read every file, also one that looks unchanged")
    ignored = "accepted, without effect: it is always so"
    add("--link-checkout-speedup", action="store_true", help=ignored)
    add("-I", "--devino-canonical", action="store_true", help=ignored)
    add("--tar-autocreate-parents", action="store_true", help=ignored)
    add("path", nargs="?", metavar="PATH", help="the directory to commit (default: .)")


def _add_modifiers(parser: Parser) -> None:
    add = parser.add_argument
    add("--owner-uid", type=parse_id, metavar="UID", help="record this owner for everything")
    add("--owner-gid", type=parse_id, metavar="GID", help="record this group for everything")
    add(
        "--canonical-permissions",
        action="store_true",
        help="record root as the owner, and no mode bits beyond 0755",
    )
    add(
        "--mode-ro-executables",
        action="store_true",
        help="record no permission to write for what can be executed",
    )
    add("--no-xattrs", action="store_true", help="record no extended attributes")
    add(
        "--statoverride",
        metavar="FILE",
        help="change modes: lines '+BITS PATH' (add) or '=BITS PATH' (set), BITS in decimal",
    )
    add("--skip-list", metavar="FILE", help="leave out the paths in this file, one a line")


def run_commit(arguments: Arguments) -> int:
    """Commit what was named; print the id alone."""
    with ExitStack() as stack:
        sources = _parse_sources(arguments, stack)
        recipe = Recipe(
            sources,
            arguments.base,
            _modifiers(arguments),
            SourceOptions(
                consume=arguments.consume,
                skip=_read_skip_list(arguments.skip_list),
                trust=not arguments.checksum,
            ),
            _read_overrides(arguments.statoverride),
        )
        message = read_message(arguments)
        repository = stack.enter_context(arguments.open_repository(writable=True))
        stack.enter_context(repository.in_use(writing=True))
        directories = {
            source.value: stack.enter_context(open_source(source.value))
            for source in sources
            if source.kind in {"dir", "overlay"}
        }
        composed = _commit(arguments, repository, recipe, message)
        if arguments.consume:
            sys.stdout.flush()  # the commit is made, whatever happens now
            for path, ingested in composed.directories:
                _delete(directories[path], path, ingested)
    return 0


def _commit(
    arguments: Arguments, repository: Repository, recipe: Recipe, message: Message
) -> Composed:
    tip = None if arguments.orphan else read_tip(repository, arguments.branch)
    parent = find_parent_option(repository, arguments.parent)
    batch = Batch()
    with ProgressBar("commit", " files") as bar:

        def progress(files: int, volume: int) -> None:
            bar.update(files, note=format_size(volume))

        composed = compose(repository, recipe, batch, progress if bar.callback else None)
    if arguments.bootable:
        with repository.index.snapshot() as snapshot:
            message.metadata.update(bootable_metadata(snapshot, batch, composed.root))
    branch = None if arguments.orphan else arguments.branch
    target = Target(branch, parent, arguments.skip_if_unchanged, tip)
    digest, is_new = write_commit(repository, batch, composed.root, message, target)
    _report(arguments, composed, batch, digest, is_new=is_new)
    return composed


# ---- sources


def _parse_sources(arguments: Arguments, stack: ExitStack) -> list[Source]:
    """The sources in their order; archives are opened."""
    if arguments.tree and arguments.path is not None:
        raise UsageError("name the directory by --tree or as an argument, not both")
    if not arguments.tree:
        if arguments.path is None and arguments.base is not None:
            return []
        return [Source("dir", arguments.path or ".")]
    sources = []
    for tree in arguments.tree:
        kind, _, value = tree.partition("=")
        if kind not in _KINDS or not value:
            raise UsageError(
                f"--tree={tree} is not of the form dir=PATH, ref=REV, tar=FILE or overlay=UPPER"
            )
        stream = _open_archive(value, stack) if kind == "tar" else None
        whiteouts = kind == "tar" and arguments.whiteouts
        sources.append(Source(cast("Kind", kind), value, stream, whiteouts))
    _check_sources(arguments, sources)
    return sources


def _check_sources(arguments: Arguments, sources: list[Source]) -> None:
    if sources[0].kind == "overlay" and arguments.base is None:
        raise UsageError("--tree=overlay=UPPER needs the commit that it lies on: --base=REV")
    if sum(source.value == "-" for source in sources if source.kind == "tar") > 1:
        raise UsageError("standard input can be only one of the archives")


def _open_archive(path: str, stack: ExitStack) -> IO[bytes]:
    if path == "-":
        if os.isatty(0):
            raise UsageError("an archive does not come from a terminal: redirect standard input")
        return stack.enter_context(open(0, "rb", buffering=0, closefd=False))
    return stack.enter_context(open(path, "rb", buffering=0))


def _modifiers(arguments: Arguments) -> Modifiers:
    return Modifiers(
        arguments.owner_uid,
        arguments.owner_gid,
        xattrs=not arguments.no_xattrs,
        canonical=arguments.canonical_permissions,
        read_only_executables=arguments.mode_ro_executables,
    )


def _read_skip_list(path: str | None) -> frozenset[bytes]:
    if path is None:
        return frozenset()
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    return frozenset(line.strip(b"/") for line in lines if line.strip(b"/ "))


def _read_overrides(path: str | None) -> dict[bytes, ModeOverride] | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        text = file.read()
    try:
        return parse_overrides(text)
    except ValueError as error:
        raise UsageError(
            f"line {error} of {path} is not of the form '+BITS /PATH' or '=BITS /PATH'"
        ) from None


def find_parent_option(
    repository: Repository, revision: str | None
) -> Digest | Literal["none"] | None:
    """What ``--parent`` names, as `Target` takes it."""
    if revision is None:
        return None
    if revision == "none":
        return "none"
    with repository.index.snapshot() as snapshot:
        return resolve(snapshot, revision)


# ---- what is said and deleted afterwards


def _delete(source_fd: int, source: str, ingested: Ingested) -> None:
    for path, reason in delete_source(source_fd, source, ingested.taken_in):
        full = os.path.join(os.fsencode(source), path) if path else os.fsencode(source)
        warn(f"{printable(full)} was committed but not deleted: {reason}")


def _report(
    arguments: Arguments, composed: Composed, batch: Batch, digest: Digest, *, is_new: bool
) -> None:
    skipped = [path for _, ingested in composed.directories for path in ingested.skipped]
    for path in skipped:
        warn(f"{printable(path)} is a socket and was left out")
    if arguments.verbose:
        inform(
            f"read {composed.read_files} files ({format_size(composed.read_bytes)}),"
            f" stored {len(batch.object_files)} objects and {len(batch.trees)} trees"
        )
    if arguments.json:
        print_json(
            {
                "commit": digest.hex(),
                "new": is_new,
                "root": composed.root.hex(),
                "files_read": composed.read_files,
                "bytes_read": composed.read_bytes,
                "objects_stored": len(batch.object_files),
                "objects_shared": len(batch.twins),
                "trees_stored": len(batch.trees),
                "skipped": skipped,
            }
        )
    else:
        print(digest.hex())
