# SPDX-License-Identifier: LGPL-2.1-or-later
"""Refs and revisions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.codec import commit_digest, encode_commit
from ostreefs_store.errors import (
    AmbiguousRevisionError,
    InvalidNameError,
    ObjectMissingError,
    RefConflictError,
    RefExistsError,
    RefHasAliasError,
    RefIsAliasError,
    RefMovedError,
    RevisionNotFoundError,
    StoreError,
)
from ostreefs_store.index import Index, Snapshot, Transaction
from ostreefs_store.model import Commit, Digest
from ostreefs_store.refs import (
    aliases_of,
    commits_with_prefix,
    delete_refs,
    read_commit,
    resolve,
    set_alias,
    set_ref,
)

ROOT = Digest(bytes(32))
CRAFTED = [bytes.fromhex(prefix).ljust(32, b"\x33") for prefix in ("abcd12", "abcd13", "abce")]


def add_commit(transaction: Transaction, subject: str, *parents: Digest) -> Digest:
    encoded = encode_commit(Commit(ROOT, parents, 0, subject, "", {}))
    digest = commit_digest(encoded)
    transaction.put_commit(digest, encoded)
    return digest


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "index").mkdir()
    Index.create(tmp_path / "index")
    opened = Index.open(tmp_path / "index", writable=True)
    yield opened
    opened.close()


@pytest.fixture
def history(index: Index) -> list[Digest]:
    """Five commits in a line, newest first (it is `main`), and one that is a second parent."""
    with index.transaction() as transaction:
        commits = [add_commit(transaction, "0")]
        side = add_commit(transaction, "side")
        for number in range(1, 5):
            others = (side,) if number == 2 else ()
            commits.append(add_commit(transaction, f"{number}", commits[-1], *others))
        set_ref(transaction, "main", commits[-1])
        set_ref(transaction, "os/stable", commits[2])
        for crafted in CRAFTED:
            transaction.put_commit(Digest(crafted), b"")
    return commits[::-1]


def find(index: Index, revision: str) -> Digest:
    with index.snapshot() as snapshot:
        return resolve(snapshot, revision)


@pytest.mark.parametrize(
    ("revision", "steps"),
    [
        ("main", 0),
        ("main^", 1),
        ("main^^", 2),
        ("main~", 1),
        ("main~0", 0),
        ("main~1", 1),
        ("main~3", 3),
        ("main~03", 3),
        ("main~2^", 3),
        ("main^~2", 3),
        ("main~~", 2),
        ("main~1~2^", 4),
        ("os/stable", 2),
        ("os/stable^", 3),
    ],
)
def test_revisions(index: Index, history: list[Digest], revision: str, steps: int) -> None:
    assert find(index, revision) == history[steps]


@pytest.mark.parametrize("length", [64, 63, 40, 13, 8])
def test_ids_and_prefixes(index: Index, history: list[Digest], length: int) -> None:
    for commit in history:
        assert find(index, commit.hex()[:length]) == commit
    assert find(index, history[0].hex()[:length] + "~2") == history[2]


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "^",
        "~1",
        "none",
        "os",
        "main^2",
        "main~x",
        "main^x",
        "main~-1",
        "main~5",
        "main^^^^^",
        "main~99999999999999999999",
        "main~" + "9" * 5000,
        "main/",
        "MAIN",
        "0" * 64,
        "f" * 65,
        "F" * 8,
        "abcd1z",
        "x" * 600,
        "\udcff",
        "größe",
        "a\0b",
        "main\n",
        "../main",
    ],
)
@pytest.mark.usefixtures("history")
def test_what_is_not_there(index: Index, revision: str) -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        find(index, revision)
    assert caught.value.revision == revision


@pytest.mark.usefixtures("history")
def test_the_end_of_history_is_told(index: Index) -> None:
    with pytest.raises(RevisionNotFoundError, match="after 4 of 9 steps"):
        find(index, "main~9")


@pytest.mark.parametrize("prefix", ["abc", "abcd", "abcd1"])
@pytest.mark.usefixtures("history")
def test_ambiguous_prefixes(index: Index, prefix: str) -> None:
    with pytest.raises(AmbiguousRevisionError) as caught:
        find(index, prefix)
    assert caught.value.prefix == prefix
    assert list(caught.value.candidates) == [
        commit.hex()[:16] for commit in CRAFTED if commit.hex().startswith(prefix)
    ]


@pytest.mark.usefixtures("history")
def test_a_prefix_of_one(index: Index) -> None:
    assert find(index, "abcd12") == CRAFTED[0]
    assert find(index, "abce") == CRAFTED[2]
    with index.snapshot() as snapshot:
        assert commits_with_prefix(snapshot, "abcd", limit=1) == [CRAFTED[0]]
        assert commits_with_prefix(snapshot, "ffff", limit=9) == []


@pytest.mark.usefixtures("history")
def test_short_prefixes_are_refused(index: Index) -> None:
    with index.transaction() as transaction:
        transaction.put_commit(Digest(b"\x0e" + bytes(31)), b"")
    found = commits_with_prefix(index.snapshot(), "0e0", limit=2)
    if len(found) == 1:
        with pytest.raises(RevisionNotFoundError, match="at least 4"):
            find(index, "0e0")


def test_a_ref_that_looks_like_a_prefix_comes_first(index: Index, history: list[Digest]) -> None:
    with index.transaction() as transaction:
        set_ref(transaction, "abce", history[3])
    assert find(index, "abce") == history[3]


def test_a_parent_that_was_pruned_ends_the_history(index: Index) -> None:
    with index.transaction() as transaction:
        set_ref(transaction, "main", add_commit(transaction, "child", ROOT))
    with pytest.raises(RevisionNotFoundError, match="its history ends after 0 of 1 steps"):
        find(index, "main^")
    with index.snapshot() as snapshot, pytest.raises(ObjectMissingError):
        read_commit(snapshot, ROOT)


# ---- setting and deleting ----


@pytest.mark.parametrize(
    ("ref", "other"),
    [("main/x", "main"), ("os", "os/stable"), ("os/stable/x/y", "os/stable")],
)
def test_conflicts(index: Index, history: list[Digest], ref: str, other: str) -> None:
    def attempt() -> None:
        with index.transaction() as transaction:
            set_ref(transaction, ref, history[0])

    with pytest.raises(RefConflictError) as caught:
        attempt()
    assert (caught.value.ref, caught.value.other) == (ref, other)


def test_neighbours_are_no_conflict(index: Index, history: list[Digest]) -> None:
    names = ["main-x", "main.x", "os-2", "os/stable2", "os/stable-x/y", "main"]
    with index.transaction() as transaction:
        for name in names:
            set_ref(transaction, name, history[0])
    for name in names:
        assert find(index, name) == history[0]


@pytest.mark.parametrize("ref", ["", "a b", "/a", "a/", "..", "0" * 64, "x" * 256, "\udcff"])
def test_bad_names(index: Index, history: list[Digest], ref: str) -> None:
    def attempt() -> None:
        with index.transaction() as transaction:
            set_ref(transaction, ref, history[0])

    with pytest.raises(InvalidNameError):
        attempt()


def delete(index: Index, ref: str) -> list[str]:
    with index.transaction() as transaction:
        return delete_refs(transaction, ref)


def all_refs(snapshot: Snapshot) -> list[str]:
    return [ref for ref, _ in snapshot.iter_refs()]


@pytest.mark.usefixtures("history")
def test_delete(index: Index) -> None:
    assert delete(index, "os/stable") == ["os/stable"]
    for missing in ("os/stable", "os", "", "mai", "x" * 600, "\udcff"):
        with pytest.raises(StoreError):
            delete(index, missing)
    with index.snapshot() as snapshot:
        assert all_refs(snapshot) == ["main"]


def test_delete_a_folder(index: Index, history: list[Digest]) -> None:
    with index.transaction() as transaction:
        for name in ("os/testing/a", "os-2", "osx"):
            set_ref(transaction, name, history[0])
    assert delete(index, "os") == ["os/stable", "os/testing/a"]
    with index.snapshot() as snapshot:
        assert all_refs(snapshot) == ["main", "os-2", "osx"]


# ---- what a ref is expected to be ----


def attempt(index: Index, ref: str, commit: Digest, expected: Digest | None) -> None:
    with index.transaction() as transaction:
        set_ref(transaction, ref, commit, expected=expected)


def test_expected(index: Index, history: list[Digest]) -> None:
    attempt(index, "main", history[1], history[0])
    attempt(index, "new", history[1], None)
    attempt(index, "new", history[1], history[3])
    assert find(index, "main") == find(index, "new") == history[1]


@pytest.mark.parametrize(
    ("ref", "expected", "told"),
    [("main", 1, "moved to "), ("main", None, "was created"), ("none", 1, "was deleted")],
)
def test_not_as_expected(
    index: Index, history: list[Digest], ref: str, expected: int | None, told: str
) -> None:
    tip = None if expected is None else history[expected]
    with pytest.raises(RefMovedError, match=told) as caught:
        attempt(index, ref, history[4], tip)
    found = history[0] if ref == "main" else None
    assert (caught.value.expected, caught.value.found) == (tip, found)
    with index.snapshot() as snapshot:
        assert snapshot.find_ref(ref) == found


# ---- aliases ----


def alias(index: Index, name: str, target: str, *, replace: bool = False) -> Digest:
    with index.transaction() as transaction:
        return set_alias(transaction, name, target, replace=replace)


def test_an_alias_follows(index: Index, history: list[Digest]) -> None:
    assert alias(index, "os/current", "os/stable") == history[2]
    assert find(index, "os/current^") == history[3]
    attempt(index, "os/stable", history[0], history[2])
    assert find(index, "os/current") == history[0]
    with index.snapshot() as snapshot:
        assert all_refs(snapshot) == ["main", "os/current", "os/stable"]
        assert list(snapshot.iter_refs("os")) == [
            ("os/current", history[0]),
            ("os/stable", history[0]),
        ]
        assert list(snapshot.iter_aliases()) == [("os/current", "os/stable")]
        assert list(snapshot.iter_aliases("main")) == []
        assert aliases_of(snapshot, "os/stable") == ["os/current"]
    alias(index, "os/current", "main")
    with index.snapshot() as snapshot:
        assert snapshot.find_alias("os/current") == "main"


@pytest.mark.usefixtures("history")
def test_an_alias_is_never_moved(index: Index) -> None:
    alias(index, "al", "main")
    with pytest.raises(RefIsAliasError) as caught:
        attempt(index, "al", ROOT, None)
    assert (caught.value.ref, caught.value.target) == ("al", "main")


@pytest.mark.usefixtures("history")
def test_no_chains_and_no_loops(index: Index) -> None:
    alias(index, "al", "main")
    for name, target, replace in [
        ("al2", "al", False),
        ("al", "al", False),
        ("main", "al", True),
    ]:
        with pytest.raises(RefIsAliasError):
            alias(index, name, target, replace=replace)
    with pytest.raises(InvalidNameError, match="stand for itself"):
        alias(index, "main", "main", replace=True)
    with pytest.raises(RefHasAliasError):
        alias(index, "main", "os/stable", replace=True)


@pytest.mark.usefixtures("history")
def test_what_cannot_be_an_alias(index: Index) -> None:
    for name, target, kind in [
        ("al", "nothing", RevisionNotFoundError),
        ("al", "main^", RevisionNotFoundError),
        ("al", "", RevisionNotFoundError),
        ("a b", "main", InvalidNameError),
        ("main", "os/stable", RefExistsError),
        ("main/x", "os/stable", RefConflictError),
        ("os", "main", RefConflictError),
    ]:
        with pytest.raises(kind):
            alias(index, name, target)
    alias(index, "al", "main")
    for name in ("al/x", "al/x/y"):
        with pytest.raises(RefConflictError):
            attempt(index, name, ROOT, None)


def test_an_alias_in_the_place_of_a_ref(index: Index, history: list[Digest]) -> None:
    alias(index, "main", "os/stable", replace=True)
    assert find(index, "main") == history[2]
    with index.snapshot() as snapshot:
        assert snapshot.find_alias("main") == "os/stable"


def test_deleting_with_aliases(index: Index, history: list[Digest]) -> None:
    alias(index, "os/current", "os/stable")
    alias(index, "al", "os/stable")
    with pytest.raises(RefHasAliasError) as caught:
        delete(index, "os")
    assert (caught.value.ref, caught.value.alias) == ("os/stable", "al")
    assert delete(index, "al") == ["al"]
    assert find(index, "os/stable") == history[2]
    assert delete(index, "os") == ["os/current", "os/stable"]
    with index.snapshot() as snapshot:
        assert all_refs(snapshot) == ["main"]
        assert list(snapshot.iter_aliases()) == []


def test_delete_by_pattern(index: Index, history: list[Digest]) -> None:
    for name in ("os/testing/a", "os-2", "osx"):
        attempt(index, name, history[0], None)
    assert delete(index, "os/*") == ["os/stable"]
    assert delete(index, "os?*") == ["os-2", "osx"]
    assert delete(index, "**/a") == ["os/testing/a"]
    for nothing in ("x*", "*/*", "[", "mai?n"):
        with pytest.raises(RevisionNotFoundError):
            delete(index, nothing)


@pytest.mark.parametrize("wanted", ["al", "a*", "**"])
def test_an_alias_of_nothing_can_be_deleted(
    index: Index, history: list[Digest], wanted: str
) -> None:
    with index.transaction() as transaction:
        transaction.put("aliases", b"al", b"lost")
    with index.snapshot() as snapshot:
        assert "al" not in all_refs(snapshot)
    assert "al" in delete(index, wanted)
    with index.snapshot() as snapshot:
        assert list(snapshot.iter_aliases()) == []
