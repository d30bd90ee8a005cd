# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which commits stay: every rule on histories that have no files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ostreefs_store.bisections import (
    find_output,
    forget,
    iter_bisections,
    put_held,
    put_output,
    put_state,
)
from ostreefs_store.codec import commit_digest, encode_commit
from ostreefs_store.config import Config, parse_config
from ostreefs_store.errors import (
    CommitInUseError,
    InvalidNameError,
    InvalidSettingError,
    PinExistsError,
    PinNotFoundError,
    RevisionNotFoundError,
)
from ostreefs_store.index import Index, Transaction
from ostreefs_store.model import Commit, Digest
from ostreefs_store.pins import delete_pin, iter_pins, set_pin
from ostreefs_store.pruning.keeping import History, Rules, find_kept
from ostreefs_store.refs import set_alias
from ostreefs_store.retention import parse_policy
from tests.support.commits import put_tree

DAY = 86400
PLAIN = Config("bare")


def put_dated(
    transaction: Transaction, subject: str, timestamp: int, parents: Sequence[Digest]
) -> Digest:
    commit = Commit(put_tree(transaction, {}), tuple(parents), timestamp, subject, "", {})
    encoded = encode_commit(commit)
    transaction.put_commit(commit_digest(encoded), encoded)
    return commit_digest(encoded)


class Repo:
    """Commits that are called by letters.

    main: a - b - c - d - e (the tip), a day between each; side: b - x - y; m joins e and y; o is
    an orphan.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.names: dict[Digest, str] = {}
        self.ids: dict[str, Digest] = {}
        with index.transaction() as transaction:
            for age, (name, parents) in enumerate(
                [("a", ""), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("x", "b"),
                 ("y", "x"), ("m", "ey"), ("o", "")]
            ):  # fmt: skip
                above = [self.ids[parent] for parent in parents]
                commit = put_dated(transaction, name, age * DAY, above)
                self.ids[name] = commit
                self.names[commit] = name
            for ref, name in {"main": "e", "side": "y", "os/merged": "m"}.items():
                transaction.set_ref(ref, self.ids[name])

    def kept(self, rules: Rules, config: Config = PLAIN) -> str:
        with self.index.snapshot() as snapshot:
            found = find_kept(snapshot, History(snapshot), rules, config)
        return "".join(sorted(self.names[commit] for commit in found))

    def delete(self, names: str) -> None:
        """Forget commits, and graft as a prune does."""
        with self.index.transaction() as transaction:
            history = History(transaction)
            kept = {commit for commit, name in self.names.items() if name not in names}
            grafts = history.find_grafts(kept & set(history.commits))
            for commit, ancestors in grafts.items():
                transaction.put("grafts", commit, b"".join(ancestors))
            transaction.delete_all("commits", [self.ids[name] for name in names])

    def drop_refs(self, *refs: str) -> None:
        with self.index.transaction() as transaction:
            for ref in refs:
                transaction.delete_ref(ref)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    Index.create(tmp_path)
    return Repo(Index.open(tmp_path, writable=True))


EVERYTHING = "abcdemoxy"


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({}, EVERYTHING),
        ({"depth": 0}, EVERYTHING),  # as ostree has it: without --refs-only all stay
        ({"refs_only": True}, "abcdemxy"),
        ({"refs_only": True, "depth": 0}, "emy"),
        ({"refs_only": True, "depth": 1}, "demxy"),
        ({"refs_only": True, "depth": 2}, "bcdemxy"),
        ({"branch_depths": {"main": 0}}, "abcdemxy"),
        ({"branch_depths": {"main": 0, "os/merged": 0}}, "abemxy"),
        ({"branch_depths": {"side": -1, "os/merged": 1}, "depth": 0}, "abemxy"),
        ({"only_branches": ["main"], "depth": 0}, "abcdemxy"),
        ({"only_branches": ["main", "os/merged"], "depth": 0}, "abemxy"),
        ({"only_branches": ["os/merged", "main"], "branch_depths": {"side": 0}, "depth": 0},
         "emy"),
        ({"younger_than": 0}, "abcdemxy"),
        ({"younger_than": 4 * DAY}, "emxy"),
        ({"younger_than": 3 * DAY}, "demxy"),
        ({"younger_than": 100 * DAY}, "emy"),
        ({"younger_than": 100 * DAY, "depth": 1}, "demxy"),
        ({"policy": "1 last"}, "emy"),
        ({"policy": "all"}, "abcdemxy"),
        ({"policy": "2 daily"}, "demxy" ),
        ({"policy": "1 weekly, 1 yearly"}, "emy"),
        ({"policy": "1 last", "younger_than": 5 * DAY}, "emxy"),
        ({"policy": "1 last", "branch_depths": {"side": 2, "os/merged": 0}}, "bemxy"),
        ({"delete": "c"}, "abdemoxy"),
        ({"delete": "co"}, "abdemxy"),
        ({"refs_only": True, "delete": "c"}, "abdemxy"),
    ],
)  # fmt: skip
def test_rules(repo: Repo, rules: Mapping[str, Any], kept: str) -> None:
    given = dict(rules)
    if "policy" in given:
        given["policy"] = parse_policy(given["policy"])
    if "delete" in given:
        given["delete"] = [repo.ids[name] for name in given["delete"]]
    assert repo.kept(Rules(**given)) == kept


def test_an_alias_is_under_the_rules_of_what_it_follows(repo: Repo) -> None:
    rules = Rules(branch_depths={"main": 0, "os/merged": 0})
    before = repo.kept(rules)
    with repo.index.transaction() as transaction:
        set_alias(transaction, "current", "main")
    assert repo.kept(rules) == before
    assert repo.kept(Rules(branch_depths={"current": 0, "os/merged": 0})) == before
    assert repo.kept(Rules(only_branches=["current", "os/merged"], depth=0)) == before


def test_a_missing_ref_is_said_before_anything_goes(repo: Repo) -> None:
    for rules in (Rules(only_branches=["mian"]), Rules(branch_depths={"mian": 0})):
        with pytest.raises(RevisionNotFoundError, match="mian"):
            repo.kept(rules)


def test_a_commit_in_use_is_not_deleted(repo: Repo) -> None:
    with pytest.raises(CommitInUseError, match="is referenced by 'main'"):
        repo.kept(Rules(delete=[repo.ids["e"]]))
    with repo.index.transaction() as transaction:
        set_pin(transaction, "release", repo.ids["c"])
    with pytest.raises(CommitInUseError, match="is pinned as 'release'"):
        repo.kept(Rules(delete=[repo.ids["c"]]))


def test_pins_keep_their_commits_alone(repo: Repo) -> None:
    with repo.index.transaction() as transaction:
        set_pin(transaction, "orphan", repo.ids["o"])
        set_pin(transaction, "/ostree/b.0", repo.ids["b"])
        set_pin(transaction, "/ostree/b.0", repo.ids["b"])
        with pytest.raises(PinExistsError):
            set_pin(transaction, "orphan", repo.ids["a"])
    assert repo.kept(Rules(refs_only=True, depth=0)) == "bemoy"
    with repo.index.transaction() as transaction:
        assert [name for name, _ in iter_pins(transaction)] == ["/ostree/b.0", "orphan"]
        delete_pin(transaction, "orphan")
        for name in ("orphan", "", "x" * 1000):
            with pytest.raises(PinNotFoundError):
                delete_pin(transaction, name)
    assert repo.kept(Rules(refs_only=True, depth=0)) == "bemy"


def test_a_pinned_commit_may_be_gone(repo: Repo) -> None:
    with repo.index.transaction() as transaction:
        set_pin(transaction, "gone", Digest(bytes(32)))
        transaction.set_ref("broken", Digest(bytes(32)))
    assert repo.kept(Rules(refs_only=True, depth=0)) == "emy"


# ---- policies of the configuration ----


def configured(*lines: str) -> Config:
    base = '[repository]\nformat = 1\nmode = "bare"\n[retention]\n'
    return parse_config(base + "\n".join(lines), "/r", writable=True)


@pytest.mark.parametrize(
    ("lines", "rules", "kept"),
    [
        (['"main" = "1 last"', '"*" = "2 last"'], Rules(refs_only=True), "emxy"),
        (['"*" = "2 last"', '"main" = "1 last"'], Rules(refs_only=True), "emxy"),
        (['"os/*" = "1 last"', '"*" = "2 last"'], Rules(refs_only=True), "demxy"),
        (['"os/*" = "1 last"'], Rules(refs_only=True), "abcdemxy"),
        (['"*" = "1 last"'], Rules(), EVERYTHING),
        (['"*" = "1 last"'], Rules(refs_only=True, depth=1), "demxy"),
        (['"*" = "1 last"'], Rules(policy=parse_policy("all")), "abcdemxy"),
        (['"*" = "1 last"'], Rules(branch_depths={"side": 1}), "emxy"),
    ],
)
def test_policies_of_refs(repo: Repo, lines: list[str], rules: Rules, kept: str) -> None:
    assert repo.kept(rules, configured(*lines)) == kept


def test_a_wrong_policy_stops_a_prune(repo: Repo) -> None:
    with pytest.raises(InvalidSettingError, match=r"retention\.main.*is no rule"):
        repo.kept(Rules(refs_only=True), configured('main = "some"'))


# ---- histories with gaps ----


def test_a_history_goes_on_behind_a_gap(repo: Repo) -> None:
    repo.drop_refs("os/merged", "side")
    repo.delete("bd")
    assert repo.kept(Rules(refs_only=True)) == "ace"
    assert repo.kept(Rules(refs_only=True, depth=1)) == "ce"
    assert repo.kept(Rules(policy=parse_policy("2 last"))) == "ce"
    repo.delete("c")
    assert repo.kept(Rules(refs_only=True)) == "ae"
    repo.delete("a")
    assert repo.kept(Rules(refs_only=True)) == "e"


def test_gaps_of_a_merge(repo: Repo) -> None:
    repo.drop_refs("main", "side")
    repo.delete("excd")
    with repo.index.snapshot() as snapshot:
        history = History(snapshot)
        assert [repo.names[p] for p in history.parents(repo.ids["m"])] == ["y", "b"]
        assert [repo.names[c] for c in history.walk(repo.ids["m"])] == ["m", "y", "b", "a"]
    repo.delete("by")
    assert repo.kept(Rules(refs_only=True)) == "am"


def test_a_long_history_is_no_recursion(tmp_path: Path) -> None:
    Index.create(tmp_path)
    index = Index.open(tmp_path, writable=True)
    with index.transaction() as transaction:
        parents: list[Digest] = []
        for number in range(5000):
            parents = [put_dated(transaction, "", number, parents)]
        transaction.set_ref("main", parents[0])
        history = History(transaction)
        assert len(list(history.walk(parents[0]))) == 5000
        assert len(set(history.walk_younger(parents[0], 10))) == 4990
        first = next(c for c, found in history.commits.items() if not found.parents)
        assert history.find_grafts({first, parents[0]})[parents[0]] == [first]


def test_a_bisection_keeps_what_it_needs(repo: Repo) -> None:
    repo.drop_refs("main", "side", "os/merged")
    with repo.index.transaction() as transaction:
        put_held(transaction, "one", [repo.ids["c"], repo.ids["x"]])
        put_state(transaction, "one", b"anything")
        put_held(transaction, "other", [repo.ids["o"]])
        put_state(transaction, "other", b"")
        put_output(transaction, "one", 3, b"printed")
    with repo.index.snapshot() as snapshot:
        assert [name for name, _ in iter_bisections(snapshot)] == ["one", "other"]
        assert find_output(snapshot, "one", 3) == b"printed"
    assert repo.kept(Rules(refs_only=True)) == "cox"
    with pytest.raises(CommitInUseError, match="needed by bisection 'other'"):
        repo.kept(Rules(delete=[repo.ids["o"]]))
    with repo.index.transaction() as transaction:
        assert forget(transaction, "one")
        assert not forget(transaction, "one")
        assert not forget(transaction, "oth")
    with repo.index.snapshot() as snapshot:
        assert find_output(snapshot, "one", 3) == b""
    assert repo.kept(Rules(refs_only=True)) == "o"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", ".x", "a\0b", "ä", "x" * 101])
def test_names_of_bisections(repo: Repo, name: str) -> None:
    with repo.index.transaction() as transaction, pytest.raises(InvalidNameError):
        put_state(transaction, name, b"")
