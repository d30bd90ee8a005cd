# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is damaged in a repository of a random tree is found, and made whole from the tree."""

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.checking.fsck import check_repository
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from tests.property.strategies import Plan, make_tree, plans
from tests.support.damage import flip, repair, replace, truncate
from tests.support.places import place_in_memory
from tests.support.trees import check_out, ingest, list_tree, new_repository, problems_of

few = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])

FILE_DAMAGE: list[Callable[[Path], object]] = [
    flip,
    lambda p: p.unlink(),
    lambda p: truncate(p, 0),
    lambda p: p.chmod(0),
    lambda p: replace(p, Path.mkdir),
    lambda p: replace(p, lambda q: q.symlink_to(q.name)),
]

Blows = list[tuple[str, int, int]]
"""(kind, which one of that kind, what happens to it), …"""

blows: st.SearchStrategy[Blows] = st.lists(
    st.tuples(
        st.sampled_from(["object", "files", "trees"]),
        st.integers(0, 1000),
        st.integers(0, len(FILE_DAMAGE) - 1),
    ),
    min_size=1,
    max_size=6,
)


def strike(repository: Repository, blows: Blows) -> int:
    """Damage a repository, each object and record once; how many were met."""
    objects = sorted(p for p in (repository.path / "objects").rglob("*") if p.is_file())
    with repository.index.snapshot() as snapshot:
        records = {
            kind: [bytes(digest) for digest, _ in snapshot.iter_objects(kind)]
            for kind in ("files", "trees")
        }
    met: set[object] = set()
    for kind, which, how in blows:
        targets = objects if kind == "object" else records[kind]
        target = targets[which % len(targets)] if targets else None
        if target is None or target in met:
            continue
        met.add(target)
        if isinstance(target, Path):
            FILE_DAMAGE[how](target)
            continue
        with repository.index.transaction() as transaction:
            if how % 2:
                transaction.delete(kind, target)
            else:
                transaction.put(kind, target, b"garbage")
    return len(met)


@few
@given(plans, blows, st.sampled_from(MODES), st.booleans())
def test_repaired_from_the_source(plan: Plan, blows: Blows, mode: str, again: bool) -> None:
    with place_in_memory() as place:
        make_tree(os.fsencode(place / "source"), plan)
        expected = list_tree(place / "source")
        with new_repository(place / "repo", mode) as repository:
            ingest(repository, place / "source")
            met = strike(repository, blows)
            assert bool(problems_of(repository)) == bool(met)
            if again:
                repair(repository)
            assert all(outcome.repaired for outcome in repair(repository, place / "source"))
            assert problems_of(repository) == []
            assert check_repository(repository, quick=True).problems == []
            check_out(repository, place / "out")
        assert list_tree(place / "out") == expected
