# SPDX-License-Identifier: LGPL-2.1-or-later
"""The use of space is what a plain count says, for any forest and any history."""

from collections import Counter
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.codec import commit_digest, encode_commit
from ostreefs_store.index import Index, Transaction
from ostreefs_store.model import Commit, Digest, RegularFile
from ostreefs_store.pins import iter_pins, set_pin
from ostreefs_store.pruning.keeping import History
from ostreefs_store.pruning.placechanges import count_changes
from ostreefs_store.pruning.shares import NOTHING, Commits, Share, Shares
from ostreefs_store.pruning.usage import Use, find_update, find_usage
from ostreefs_store.pruning.usagerecords import note_records, note_usage
from ostreefs_store.traverse import find_node, iter_nodes
from tests.support.commits import Content, put_tree
from tests.support.places import place_in_memory

few = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])

# ---- the sums alone ----

SIZES = [1, 10, 100, 1000]


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[int | None], list[Counter[int]]]:
    """Bases in any order, and for each commit how often it has each content."""
    order = draw(st.permutations(range(draw(st.integers(1, 7)))))
    bases: list[int | None] = [None] * len(order)
    for position, commit in enumerate(order):
        if position:
            bases[commit] = draw(st.none() | st.sampled_from(order[:position]))
    counts = st.dictionaries(st.integers(0, 3), st.integers(1, 2)).map(Counter[int])
    return bases, [draw(counts) for _ in order]


def changes_of(bases: list[int | None], counts: list[Counter[int]]) -> list[list[tuple[int, int]]]:
    changes = []
    for commit, base in enumerate(bases):
        change = counts[commit].copy()
        change.subtract({} if base is None else counts[base])
        changes.append([item for item in change.items() if item[1]])
    return changes


def share_of(contents: set[int]) -> Share:
    return Share(sum(SIZES[content] for content in contents), len(contents))


@few
@given(forests(), st.lists(st.sets(st.integers(0, 6)), max_size=3))
def test_sums(forest: tuple[list[int | None], list[Counter[int]]], sets: list[set[int]]) -> None:
    bases, counts = forest
    shares = Shares(Commits(bases, changes_of(bases, counts), SIZES))
    has = [set(count) for count in counts]
    assert shares.totals == [share_of(contents) for contents in has]
    assert shares.find_exclusive() == [
        share_of({c for c in own if sum(c in other for other in has) == 1}) for own in has
    ]
    groups = [{n for n in members if n < len(has)} for members in sets]
    found = {
        (presence.commits, *presence.groups): presence.share for presence in shares.group(groups)
    }
    expected: dict[tuple[int, ...], Share] = {}
    for content in set().union(*has):
        owners = {n for n, own in enumerate(has) if content in own}
        key = (len(owners), *(len(owners & members) for members in groups))
        expected[key] = expected.get(key, NOTHING).plus(share_of({content}))
    assert found == expected


# ---- whole repositories ----


def regular(content: int, mode: int) -> RegularFile:
    return RegularFile(mode, 0, 0, (), Digest(bytes([content]) * 32), 10**content)


files = st.builds(regular, st.integers(0, 3), st.sampled_from([0o644, 0o755]))
names = st.sampled_from([b"a", b"b", b"c"])
contents: st.SearchStrategy[Content] = st.recursive(
    st.dictionaries(names, files, max_size=3),
    lambda below: st.dictionaries(names, files | below, max_size=3),
    max_leaves=6,
)


class Step(NamedTuple):
    """A commit: of what, on which branch, at which time, and whether its record is noted."""

    content: Content
    branch: str
    timestamp: int
    is_noted: bool


steps = st.builds(
    Step, contents, st.sampled_from(["main", "side", "none"]), st.integers(0, 3), st.booleans()
)


def commit(transaction: Transaction, step: Step) -> Digest:
    tip = transaction.find_ref(step.branch)
    root = put_tree(transaction, step.content)
    parents = () if tip is None else (tip,)
    encoded = encode_commit(Commit(root, parents, step.timestamp, "", "", {}))
    digest = commit_digest(encoded)
    transaction.put_commit(digest, encoded)
    if step.branch != "none":
        transaction.set_ref(step.branch, digest)
    if tip is not None and step.is_noted:
        note_usage(transaction, digest, root, tip)
    return digest


def contents_of(transaction: Transaction, root: Digest) -> dict[bytes, int]:
    nodes = iter_nodes(transaction, find_node(transaction, root, b"/"))
    items = [node.item for node in nodes]
    return {item.content: item.size for item in items if isinstance(item, RegularFile)}


def plain_share(contents: dict[bytes, int], keys: set[bytes]) -> Share:
    return Share(sum(contents[key] for key in keys), len(keys))


@few
@given(st.lists(steps, min_size=1, max_size=6), st.booleans(), st.booleans(), st.booleans())
def test_usage(plan: list[Step], is_pinned: bool, is_thinned: bool, is_read_again: bool) -> None:
    with place_in_memory() as place:
        Index.create(place)
        index = Index.open(place, writable=True)
        with index.transaction() as transaction:
            commits = [commit(transaction, step) for step in plan]
            if is_pinned:
                set_pin(transaction, "first", commits[0])
            if is_thinned:
                history = History(transaction)
                doomed = [c for c in commits[1:-1:2] if c in history.commits]
                grafts = history.find_grafts(set(history.commits) - set(doomed))
                for child, ancestors in grafts.items():
                    transaction.put("grafts", child, b"".join(ancestors))
                transaction.delete_all("commits", doomed)
            if is_read_again:
                note_records(transaction, find_usage(transaction).made)
            check_usage(transaction)
        index.close()


def check_usage(transaction: Transaction) -> None:
    usage = find_usage(transaction)
    history = History(transaction)
    has = {c: contents_of(transaction, found.root) for c, found in history.commits.items()}
    sizes = {key: size for contents in has.values() for key, size in contents.items()}

    def union(members: set[Digest]) -> set[bytes]:
        return {key for member in members for key in has[member]}

    everything = set(has)
    assert usage.total == plain_share(sizes, union(everything))
    assert set(usage.commits) == everything
    for own, use in usage.commits.items():
        alone = union({own}) - union(everything - {own})
        assert use == Use(plain_share(sizes, union({own})), *[plain_share(sizes, alone)] * 2)
    refs = dict(transaction.iter_refs())
    pins = {pin for _, pin in iter_pins(transaction) if pin in has}
    histories = {ref: set(history.walk(tip)) for ref, tip in refs.items()}
    kept = pins.union(*histories.values())
    assert usage.unreferenced == plain_share(sizes, union(everything) - union(kept))
    assert set(usage.refs) == set(refs)
    for ref, use in usage.refs.items():
        without = pins.union(*(members for name, members in histories.items() if name != ref))
        assert use == Use(
            plain_share(sizes, union(histories[ref])),
            plain_share(sizes, union(histories[ref]) - union(everything - histories[ref])),
            plain_share(sizes, union(kept) - union(without)),
        )


@few
@given(contents, contents)
def test_update(old: Content, new: Content) -> None:
    with place_in_memory() as place:
        Index.create(place)
        index = Index.open(place, writable=True)
        with index.transaction() as transaction:
            before, after = put_tree(transaction, old), put_tree(transaction, new)
            update = find_update(transaction, before, after)
            had, has = contents_of(transaction, before), contents_of(transaction, after)
            assert update.content == plain_share(has, set(has) - set(had))
            nodes = [
                {node.digest for node in iter_nodes(transaction, find_node(transaction, r, b"/"))}
                for r in (after, before)
            ]
            assert update.files + update.trees == len(nodes[0] - nodes[1])
            again = count_changes(transaction, before, after)
            back = count_changes(transaction, after, before)
            assert again == {digest: -change for digest, change in back.items()}
        index.close()
