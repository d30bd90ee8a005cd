# SPDX-License-Identifier: LGPL-2.1-or-later
"""checkout(ingest(tree)) == tree; a diff says what a comparison of two listings says."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.comparing.diff import diff_trees
from ostreefs_store.objects import MODES
from tests.property.strategies import Plan, make_tree, plans
from tests.support.places import place_in_memory
from tests.support.trees import (
    Listing,
    as_user,
    check_out,
    ingest,
    list_tree,
    new_repository,
    problems_of,
    root_of,
)

few = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@few
@given(plans, st.sampled_from(MODES), st.booleans(), st.booleans())
def test_checkout_of_ingest(plan: Plan, mode: str, force_copy: bool, consume: bool) -> None:
    with place_in_memory() as place:
        make_tree(os.fsencode(place / "source"), plan)
        expected = list_tree(place / "source")
        with new_repository(place / "repo", mode) as repository:
            ingest(repository, place / "source", consume=consume)
            options = CheckoutOptions(force_copy=force_copy)
            check_out(repository, place / "out", options=options)
            user = CheckoutOptions(user=True, force_copy=True)
            check_out(repository, place / "user", options=user)
            assert problems_of(repository) == []
            ingest(repository, place / "out", "again")
            assert root_of(repository, "again") == root_of(repository)
        assert list_tree(place / "out") == expected
        assert list_tree(place / "user") == as_user(expected)


def compare(old: Listing, new: Listing) -> set[tuple[str, bytes]]:
    """Compare two listings the plain way."""
    changes: set[tuple[str, bytes]] = set()
    for path in old.keys() | new.keys():
        shown = b"/" if path == b"." else b"/" + path
        one, other = old.get(path), new.get(path)
        if one == other:
            continue
        directory_on_one_side = (
            one is not None
            and other is not None
            and (one.kind == 0o040000) != (other.kind == 0o040000)
        )
        if one is not None and (other is None or directory_on_one_side):
            changes.add(("D", shown))
        if other is not None and (one is None or directory_on_one_side):
            changes.add(("A", shown))
        if one is not None and other is not None and not directory_on_one_side:
            changes.add(("M", shown))
    return changes


@few
@given(plans, plans, st.booleans())
def test_diff(old: Plan, new: Plan, related: bool) -> None:
    if related:
        new = {**old, **new}
    with place_in_memory() as place:
        make_tree(os.fsencode(place / "old"), old)
        make_tree(os.fsencode(place / "new"), new)
        with new_repository(place / "repo", "bare-user") as repository:
            ingest(repository, place / "old", "old")
            ingest(repository, place / "new", "new")
            roots = root_of(repository, "old"), root_of(repository, "new")
            with repository.index.snapshot() as snapshot:
                changes = [(c.kind, c.path) for c in diff_trees(snapshot, *roots)]
        assert set(changes) == compare(list_tree(place / "old"), list_tree(place / "new"))
        assert len(changes) == len(set(changes))
        paths = [path.split(b"/") for _, path in changes if path != b"/"]
        assert paths == sorted(paths) or any(kind == "D" for kind, _ in changes)
