# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is in conflict with whom."""

import pytest

from ostreefs.compose.conflicts import Conflict, Ledger
from ostreefs.compose.steps import OnConflict
from ostreefs_store.layer import Layer
from ostreefs_store.model import Digest, TreeEntry

OLD, NEW, OTHER = (Digest(bytes([n]) * 32) for n in range(3))


def found(*, is_tree: bool = False) -> TreeEntry:
    return TreeEntry(b"x", is_tree, OLD)


@pytest.mark.parametrize("policy", ["fail", "last", "first"])
def test_additions_that_differ(policy: OnConflict) -> None:
    ledger = Ledger(policy)
    ledger.begin("a")
    assert ledger.may_place(b"usr/x", found(), NEW)  # of the base
    assert ledger.may_place(b"usr/new", None, NEW)
    assert ledger.may_place(b"usr/x", TreeEntry(b"x", False, NEW), OTHER)  # by itself
    ledger.begin("b")
    assert ledger.may_place(b"usr/y", found(), NEW)
    for path in (b"usr/x", b"usr/new/below"):
        assert ledger.may_place(path, found(), OTHER) == (policy != "first")
    assert ledger.conflicts == [
        Conflict(b"/usr/x", "content", "a", "b"),
        Conflict(b"/usr/new/below", "content", "a", "b"),
    ]
    assert ledger.replaced == {b"/usr/x": "a", b"/usr/y": "b"}
    ledger.begin("c")
    ledger.begin("c")
    assert ledger.may_place(b"usr/twice", None, NEW)
    ledger.begin("c")
    ledger.may_place(b"usr/twice", found(), OTHER)
    assert ledger.conflicts.pop()[:4] == (b"/usr/twice", "content", "c", "c")
    winner = "a" if policy == "first" else "b"
    ledger.may_place(b"usr/x", found(), NEW)
    assert ledger.conflicts[-1].first == winner


def test_types_are_in_conflict_with_the_base_too() -> None:
    ledger = Ledger("fail")
    ledger.begin("a")
    assert ledger.may_place(b"x", found(is_tree=True), NEW)
    assert ledger.may_place(b"y", found(), Layer())
    assert [conflict.reason for conflict in ledger.conflicts] == [
        "a directory in the base, a file in a",
        "a file in the base, a directory in a",
    ]
    assert ledger.replaced == {}
