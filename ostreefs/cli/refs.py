# SPDX-License-Identifier: LGPL-2.1-or-later
"""`refs` and `reset`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError, parse_count
from ostreefs.cli.output import one_line, print_json
from ostreefs.text import format_time
from ostreefs_store.errors import RefExistsError, RevisionNotFoundError
from ostreefs_store.globs import is_pattern, matching
from ostreefs_store.reflog import Move, iter_logged_refs, iter_moves
from ostreefs_store.refs import (
    delete_these,
    find_doomed,
    resolve,
    set_alias,
    set_ref,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.index import Snapshot, Transaction
    from ostreefs_store.model import Digest

_SHORT = 12


def add_refs_arguments(parser: Parser) -> None:
    """Options of `refs`, with ostree's spellings."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--list",
        action="store_true",
        help="with PREFIX, print whole names (the default is the rest)",
    )
    what.add_argument(
        "--delete", action="store_true", help="delete a ref, all under PREFIX, or all that match"
    )
    what.add_argument("--create", metavar="NEW", help="create the ref NEW for a revision")
    what.add_argument("--history", action="store_true", help="print the reflog, the newest first")
    add = parser.add_argument
    add(
        "-A",
        "--alias",
        action="store_true",
        help="list aliases; with --create, make NEW an alias of the ref that is the argument",
    )
    add("--force", action="store_true", help="with --create, move a ref that is there already")
    add("-n", "--max-count", type=parse_count, metavar="N", help="with --history: N moves a ref")
    add("arguments", nargs="*", metavar="PREFIX|PATTERN|REV", help="which refs; see --create")


def run_refs(arguments: Arguments) -> int:
    """List, create or delete refs, or tell how they moved."""
    _check_usage(arguments)
    if arguments.create is not None:
        return _create_alias(arguments) if arguments.alias else _create(arguments)
    if arguments.delete:
        return _delete(arguments)
    if arguments.history:
        return _tell_history(arguments)
    return _list_aliases(arguments) if arguments.alias else _list(arguments)


def _check_usage(arguments: Arguments) -> None:
    if arguments.create is not None and len(arguments.arguments) != 1:
        raise UsageError(f"--create=NEW needs one {'ref' if arguments.alias else 'revision'}")
    if arguments.delete and not arguments.arguments:
        raise UsageError("--delete needs a ref, a prefix or a pattern")
    if arguments.alias and (arguments.delete or arguments.history):
        raise UsageError("--alias goes with --create, or lists aliases")
    if arguments.force and arguments.create is None:
        raise UsageError("--force goes with --create")
    if arguments.max_count is not None and not arguments.history:
        raise UsageError("--max-count goes with --history")
    if arguments.create is None and not arguments.delete and len(arguments.arguments) > 1:
        raise UsageError("name one prefix or pattern at most")


def _list(arguments: Arguments) -> int:
    wanted = _wanted(arguments)
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        if is_pattern(wanted):
            found = matching(wanted, snapshot.iter_refs())
        else:
            found = dict(snapshot.iter_refs(wanted))
    if arguments.json:
        print_json({ref: commit.hex() for ref, commit in found.items()})
        return 0
    keep_whole = arguments.list or not wanted or is_pattern(wanted)
    for ref in found:
        print(ref if keep_whole or ref == wanted else ref[len(wanted) + 1 :])
    return 0


def _wanted(arguments: Arguments) -> str:
    """The prefix or pattern that was given; nothing for every ref."""
    return "".join(arguments.arguments).rstrip("/")


def _list_aliases(arguments: Arguments) -> int:
    wanted = _wanted(arguments)
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        if is_pattern(wanted):
            found = matching(wanted, snapshot.iter_aliases())
        else:
            found = dict(snapshot.iter_aliases(wanted))
    if arguments.json:
        print_json(found)
        return 0
    for alias, target in found.items():
        print(f"{alias} -> {target}")
    return 0


def _create(arguments: Arguments) -> int:
    [revision] = arguments.arguments
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        commit = resolve(transaction, revision)
        reason = f"refs --create: {revision}"
        present = transaction.find_ref(arguments.create)
        if present is not None and not arguments.force:
            raise RefExistsError(arguments.create)
        if present is not None and transaction.find_alias(arguments.create) is not None:
            delete_these(transaction, {arguments.create: present}, reason=reason)
        set_ref(transaction, arguments.create, commit, reason=reason)
    if arguments.json:
        print_json({"ref": arguments.create, "commit": commit.hex()})
    return 0


def _create_alias(arguments: Arguments) -> int:
    [target] = arguments.arguments
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        reason = f"refs --alias: {target}"
        commit = set_alias(
            transaction, arguments.create, target, replace=arguments.force, reason=reason
        )
    if arguments.json:
        print_json({"ref": arguments.create, "alias_of": target, "commit": commit.hex()})
    return 0


def _delete(arguments: Arguments) -> int:
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        doomed: dict[str, Digest | None] = {}
        for word in arguments.arguments:
            doomed |= find_doomed(transaction, word.rstrip("/"))
        delete_these(transaction, doomed, reason="refs --delete")
    if arguments.json:
        print_json({"deleted": list(doomed)})
    elif any(map(is_pattern, arguments.arguments)):
        for ref, commit in doomed.items():
            print(f"{ref} {commit.hex() if commit else '-'}")
    return 0


# ---- the reflog ----


def _tell_history(arguments: Arguments) -> int:
    documents: list[dict[str, object]] = []
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        for ref in _logged(snapshot, _wanted(arguments)):
            moves = islice(iter_moves(snapshot, ref), arguments.max_count)
            for number, move in enumerate(moves):
                if arguments.json:
                    documents.append(_describe_move(ref, number, move))
                else:
                    print(_format_move(ref, number, move))
    if arguments.json:
        print_json(documents)
    return 0


def _logged(snapshot: Snapshot, wanted: str) -> Sequence[str]:
    """The refs whose logs are asked for. Raises `RevisionNotFoundError` when there are none."""
    logged = list(iter_logged_refs(snapshot))
    if not wanted:
        return logged
    if is_pattern(wanted):
        found = list(matching(wanted, ((ref, None) for ref in logged)))
    else:
        found = [ref for ref in logged if ref == wanted or ref.startswith(f"{wanted}/")]
    if not found:
        raise RevisionNotFoundError(wanted, "no ref of this name was ever moved")
    return found


def _describe_move(ref: str, number: int, move: Move) -> dict[str, object]:
    return {
        "ref": ref,
        "number": number,
        "old": move.old.hex() if move.old else None,
        "new": move.new.hex() if move.new else None,
        "timestamp": move.time,
        "who": move.who,
        "reason": move.reason,
    }


def _format_move(ref: str, number: int, move: Move) -> str:
    commit = move.new.hex()[:_SHORT] if move.new else "(deleted)"
    line = f"{ref}@{{{number}}}  {commit:<{_SHORT}}  {format_time(move.time)}  {move.who}"
    return one_line(f"{line}  {move.reason}")


# ---- reset ----


def add_reset_arguments(parser: Parser) -> None:
    """Options of `reset`."""
    parser.add_argument("ref", metavar="REF", help="the ref to move; it must be there")
    parser.add_argument("revision", metavar="REV", help="the commit that it shall name")


def run_reset(arguments: Arguments) -> int:
    """Make a ref name another commit."""
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
        repository.index.transaction() as transaction,
    ):
        old, new = _reset(transaction, arguments.ref, arguments.revision)
    if arguments.json:
        print_json({"ref": arguments.ref, "old": old.hex(), "new": new.hex()})
    return 0


def _reset(transaction: Transaction, ref: str, revision: str) -> tuple[Digest, Digest]:
    old = transaction.find_ref(ref)
    if old is None:
        raise RevisionNotFoundError(ref, "no such ref")
    new = resolve(transaction, revision)
    set_ref(transaction, ref, new, reason=f"reset: {revision}")
    return old, new
