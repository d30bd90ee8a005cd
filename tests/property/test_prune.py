# SPDX-License-Identifier: LGPL-2.1-or-later
"""A prune keeps exactly what the kept commits reach, and all of it can be read."""

import os
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.codec import decode_file
from ostreefs_store.model import Digest, RegularFile, Tree
from ostreefs_store.objects import MODES, object_name
from ostreefs_store.pruning.keeping import History, Rules, find_kept
from ostreefs_store.pruning.prune import prune
from ostreefs_store.repository import Repository
from ostreefs_store.retention import UNITS, Policy
from ostreefs_store.traverse import find_node, iter_nodes
from tests.support.places import place_in_memory
from tests.support.trees import (
    Listing,
    check_out,
    ingest,
    list_tree,
    new_repository,
    problems_of,
    remove_tree,
    settle,
)

few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


class Step(NamedTuple):
    """A commit of these files: name to content and mode, so few that they meet again."""

    branch: str
    files: dict[str, tuple[bytes, int]]
    is_settled: bool


steps = st.builds(
    Step,
    st.sampled_from(["main", "side"]),
    st.dictionaries(
        st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"]),
        st.tuples(st.sampled_from([b"", b"one", b"two"]), st.sampled_from([0o644, 0o600, 0o755])),
        max_size=4,
    ),
    st.booleans(),
)
policies = st.lists(
    st.tuples(st.integers(1, 2), st.sampled_from(UNITS)), min_size=1, max_size=2
).map(lambda rules: Policy(tuple(rules)))
rules = st.one_of(
    st.builds(Rules, refs_only=st.just(True), depth=st.integers(-1, 2)),
    st.builds(Rules, policy=policies),
    st.builds(Rules, branch_depths=st.just({"main": 0})),
)


def make_source(source: Path, step: Step) -> None:
    if source.exists():
        remove_tree(source)
    source.mkdir()
    for name, (content, mode) in step.files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    if step.is_settled:
        settle(source)


def listing_of(repository: Repository, place: Path, revision: str) -> Listing:
    check_out(repository, place / "look", revision, options=CheckoutOptions(force_copy=True))
    found = list_tree(place / "look")
    remove_tree(place / "look")
    return found


def reachable(repository: Repository, kept: set[Digest]) -> tuple[set[bytes], set[bytes]]:
    """Trees and files of some commits, found the plain way."""
    trees: set[bytes] = set()
    files: set[bytes] = set()
    with repository.index.snapshot() as snapshot:
        history = History(snapshot)
        for commit in kept:
            root = find_node(snapshot, history.commits[commit].root, b"/")
            for node in iter_nodes(snapshot, root):
                (trees if isinstance(node.item, Tree) else files).add(node.digest)
        files |= {snapshot.find_holder(Digest(digest)) for digest in files}
    return trees, files


def own_files(repository: Repository) -> set[str]:
    """The object files that there must be."""
    with repository.index.snapshot() as snapshot:
        found = [
            (Digest(d), decode_file(encoded)) for d, encoded in snapshot.iter_objects("files")
        ]
        return {
            object_name(digest)
            for digest, file in found
            if isinstance(file, RegularFile)
            and file.size
            and snapshot.find_holder(digest) == digest
        }


@few
@given(st.lists(st.one_of(steps, rules), min_size=2, max_size=8), rules, st.sampled_from(MODES))
def test_exactly_what_is_reachable_stays(plan: list[Step | Rules], last: Rules, mode: str) -> None:
    with place_in_memory() as place, new_repository(place / "repo", mode) as repository:
        expected: dict[str, Listing] = {}
        for item in (*plan, last):
            if isinstance(item, Step):
                make_source(place / "source", item)
                ingest(repository, place / "source", item.branch)
                with repository.index.snapshot() as snapshot:
                    tip = snapshot.find_ref(item.branch)
                assert tip is not None
                expected[tip.hex()] = list_tree(place / "source")
                continue
            with repository.index.snapshot() as snapshot:
                history = History(snapshot)
                known = set(dict(snapshot.iter_refs()))
                if not known.issuperset(item.branch_depths):
                    continue
                kept = find_kept(snapshot, history, item, repository.config)
                is_pruned = kept != set(history.commits)
            trees, files = reachable(repository, kept)
            report = prune(repository, item)
            expected = {commit: expected[commit] for commit in (c.hex() for c in kept)}
            assert report.left_over == 0
            with repository.index.snapshot() as snapshot:
                if is_pruned:
                    assert set(snapshot.keys("trees")) == trees
                    assert set(snapshot.keys("files")) == files
                assert {bytes(c) for c in kept} == set(snapshot.keys("commits"))
            stored = {
                os.path.relpath(path, repository.objects.path)
                for path in repository.objects.path.rglob("*")
                if path.is_file()
            }
            assert stored == own_files(repository)
            assert problems_of(repository) == []
            for commit, listing in expected.items():
                assert listing_of(repository, place, commit) == listing
