# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole repair: records first, then object files, then what only came to light by that.

A lost tree hides what is below it: that it is lost, or where it belongs. When its record is there
again, the next check tells; so all is repeated as long as a record could be made again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ostreefs_store import durable
from ostreefs_store.checking.fsck import Problem, check_repository
from ostreefs_store.checking.rederive import Rederiver
from ostreefs_store.checking.repair import Outcome, open_directories, repair_objects
from ostreefs_store.checking.twins import find_wrong_holders
from ostreefs_store.codec import read_file
from ostreefs_store.model import RegularFile
from ostreefs_store.verify import State, find_file_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ostreefs_store.checking.salvage import Directories
    from ostreefs_store.index import Snapshot, Transaction
    from ostreefs_store.repository import Repository

_ROUNDS = 16


def mend(
    repository: Repository, problems: Sequence[Problem], sources: Sequence[bytes]
) -> list[Outcome]:
    """Repair what a check found; an outcome for each problem, and for those found meanwhile.

    The caller keeps the repository in use. Raises `OSError` as `repair_objects`.
    """
    outcomes: dict[tuple[str, str], Outcome] = {}
    for _ in range(_ROUNDS):
        directories = open_directories(repository, sources, problems)
        done = _mend_once(repository, problems, directories)
        outcomes |= {(o.problem.kind, o.problem.name): o for o in done}
        if not any(_is_record(o.problem) and o.repaired for o in done):
            break
        problems = check_repository(repository).problems
        remaining = {(problem.kind, problem.name) for problem in problems}
        for key in outcomes.keys() - remaining:
            if not outcomes[key].repaired:
                outcomes[key] = Outcome(outcomes[key].problem, True, "with the tree above it")
        if not problems:
            break
    return list(outcomes.values())


def _is_record(problem: Problem) -> bool:
    return problem.kind in {"tree", "file", "content"} and problem.state is State.RECORD


def _mend_once(
    repository: Repository, problems: Sequence[Problem], directories: Directories
) -> list[Outcome]:
    objects: list[Problem] = []
    done: list[Outcome] = []
    for problem in problems:
        with repository.index.snapshot() as snapshot:
            has_record = problem.kind == "file" and _has_record(snapshot, problem)
            rederiver = Rederiver(snapshot, repository.objects, directories)
            if has_record:
                objects.append(problem)
            elif problem.kind == "file":
                done.append(_mend_file(repository, rederiver, problem))
            elif problem.kind == "tree":
                done.append(_mend_tree(repository, rederiver, problem))
            else:
                done.append(_mend_other(repository, problem))
    done += repair_objects(repository, objects, directories)
    return done


def _has_record(snapshot: Snapshot, problem: Problem) -> bool:
    encoded = snapshot.find_file(problem.digest)
    return encoded is not None and find_file_problem(problem.digest, encoded) is None


def _mend_file(repository: Repository, rederiver: Rederiver, problem: Problem) -> Outcome:
    found = rederiver.find_file(problem)
    if found is None:
        return Outcome(problem, False, "no file that has this digest was found")
    encoded, how = found
    with _transaction(repository) as transaction:
        transaction.put_files([(problem.digest, encoded)])
        transaction.put("files", problem.digest, encoded)  # also over one that is damaged
        file = read_file(encoded)
        if isinstance(file, RegularFile) and _has_own_file(repository, transaction, problem, file):
            transaction.put("content", file.content, problem.digest)
    return Outcome(problem, True, f"its record was made again {how}")


def _has_own_file(
    repository: Repository, snapshot: Snapshot, problem: Problem, file: RegularFile
) -> bool:
    is_twin = snapshot.find_holder(problem.digest) != problem.digest
    return not is_twin and repository.objects.has_right_size(problem.digest, file)


def _mend_tree(repository: Repository, rederiver: Rederiver, problem: Problem) -> Outcome:
    found = rederiver.find_trees(problem)
    if found is None:
        return Outcome(problem, False, "no directory that has this digest was found")
    trees, files, how = found
    with _transaction(repository) as transaction:
        transaction.put_files(files.items())
        for digest, encoded in trees.items():
            transaction.put_trees([(digest, encoded)])
    return Outcome(problem, True, f"its record was made again {how}")


def _mend_other(repository: Repository, problem: Problem) -> Outcome:
    if problem.kind == "content":
        with _transaction(repository) as transaction:
            for content, holder in list(find_wrong_holders(transaction)):
                transaction.delete("content", content, holder)
        return Outcome(problem, True, "the entry was removed")
    if problem.kind in {"ref", "pin"}:
        return Outcome(problem, False, f"delete the {problem.kind}, or bring its commit back")
    return Outcome(problem, False, "nothing but the commit itself has what it says")


@contextmanager
def _transaction(repository: Repository) -> Iterator[Transaction]:
    durable.trace("mend:before")
    with repository.index.transaction() as transaction:
        yield transaction
