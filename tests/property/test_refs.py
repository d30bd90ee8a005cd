# SPDX-License-Identifier: LGPL-2.1-or-later
"""Refs, aliases and the reflog stay in agreement, whatever is done in whatever order."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ostreefs_store.errors import StoreError
from ostreefs_store.index import Index, Snapshot, Transaction
from ostreefs_store.model import Digest
from ostreefs_store.reflog import iter_logged_refs, iter_moves
from ostreefs_store.refs import delete_refs, resolve, set_alias, set_ref
from tests.support.places import place_in_memory

NAMES = st.sampled_from(["a", "a/b", "a/b/c", "b", "c", "d"])
COMMITS = st.integers(1, 4).map(lambda number: Digest(bytes([number]) * 32))
EXPECTED = st.one_of(st.just("any"), st.just("any"), st.none(), COMMITS)

OPERATIONS = st.one_of(
    st.tuples(st.just("set"), NAMES, COMMITS, EXPECTED),
    st.tuples(st.just("alias"), NAMES, NAMES, st.booleans()),
    st.tuples(st.just("alias"), NAMES, NAMES, st.just(False)),
    st.tuples(st.just("delete"), st.one_of(NAMES, st.sampled_from(["*", "a/*", "**", "[bc]"]))),
)


def perform(transaction: Transaction, operation: tuple[object, ...]) -> None:
    match operation:
        case "set", str(ref), bytes(commit), expected:
            wanted: Any = expected
            set_ref(transaction, ref, Digest(commit), expected=wanted)
        case "alias", str(name), str(target), bool(replace):
            set_alias(transaction, name, target, replace=replace)
        case "delete", str(pattern):
            delete_refs(transaction, pattern)
        case _:
            raise AssertionError(operation)


def check(snapshot: Snapshot) -> None:
    refs = dict(snapshot.iter_refs())
    aliases = dict(snapshot.iter_aliases())
    assert list(refs) == sorted(refs)
    for alias, target in aliases.items():
        assert target not in aliases
        assert refs[alias] == refs[target]
    for one in refs:
        assert not any(other.startswith(f"{one}/") for other in refs)
    logged = list(iter_logged_refs(snapshot))
    assert set(refs) <= set(logged)
    for ref in logged:
        moves = list(iter_moves(snapshot, ref))
        assert moves[0].new == refs.get(ref)
        assert moves[-1].old is None
        for newer, older in pairwise(moves):
            assert newer.old == older.new
            assert newer.old != newer.new
        if moves[0].old is not None:
            assert resolve(snapshot, f"{ref}@{{1}}") == moves[0].old


@settings(deadline=None, max_examples=200)
@given(st.lists(OPERATIONS, max_size=25))
def test_any_order(operations: list[tuple[object, ...]]) -> None:
    with place_in_memory() as place:
        Index.create(place)
        index = Index.open(place, writable=True)
        with index.transaction() as transaction:
            for number in range(1, 5):
                transaction.put_commit(Digest(bytes([number]) * 32), b"")
            for ref in ("b", "c"):
                set_ref(transaction, ref, Digest(bytes([1]) * 32))
        for operation in operations:
            with suppress(StoreError), index.transaction() as transaction:
                perform(transaction, operation)
            with index.snapshot() as snapshot:
                check(snapshot)
        index.close()
