# SPDX-License-Identifier: LGPL-2.1-or-later
"""`refs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import print_json
from ostreefs_store.errors import RefExistsError
from ostreefs_store.refs import delete_refs, resolve, set_ref

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


def add_refs_arguments(parser: Parser) -> None:
    """Options of `refs`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--list",
        action="store_true",
        help="with PREFIX, print whole names (the default is the rest)",
    )
    what.add_argument("--delete", action="store_true", help="delete a ref, or all under PREFIX")
    what.add_argument("--create", metavar="NEW", help="create the ref NEW for a revision")
    parser.add_argument(
        "arguments", nargs="*", metavar="PREFIX|REV", help="which refs; the revision of --create"
    )


def run_refs(arguments: Arguments) -> int:
    """List, create or delete refs."""
    if arguments.create is not None:
        return _create(arguments)
    if arguments.delete:
        return _delete(arguments)
    if len(arguments.arguments) > 1:
        raise UsageError("name one prefix at most")
    prefix = "".join(arguments.arguments).rstrip("/")
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        found = dict(snapshot.iter_refs(prefix))
    if arguments.json:
        print_json({ref: commit.hex() for ref, commit in found.items()})
        return 0
    for ref in found:
        is_whole = arguments.list or not prefix or ref == prefix
        print(ref if is_whole else ref[len(prefix) + 1 :])
    return 0


def _create(arguments: Arguments) -> int:
    if len(arguments.arguments) != 1:
        raise UsageError("--create=NEW needs one revision")
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        if transaction.find_ref(arguments.create) is not None:
            raise RefExistsError(arguments.create)
        commit = resolve(transaction, arguments.arguments[0])
        set_ref(transaction, arguments.create, commit)
    if arguments.json:
        print_json({"ref": arguments.create, "commit": commit.hex()})
    return 0


def _delete(arguments: Arguments) -> int:
    if not arguments.arguments:
        raise UsageError("--delete needs a ref or a prefix")
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        deleted = [
            ref
            for prefix in arguments.arguments
            for ref in delete_refs(transaction, prefix.rstrip("/"))
        ]
    if arguments.json:
        print_json({"deleted": deleted})
    return 0
