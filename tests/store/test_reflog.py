# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reflog, and revisions that it answers."""

import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.errors import FormatError, RefConflictError, RevisionNotFoundError
from ostreefs_store.index import Index, Transaction
from ostreefs_store.model import Digest
from ostreefs_store.reflog import (
    iter_logged_refs,
    iter_moves,
    parse_moment,
    record,
)
from ostreefs_store.refs import delete_refs, resolve, set_alias, set_ref

NOON = 1_769_860_800
"""2026-01-31 12:00:00 UTC."""
DAY_END = NOON + 12 * 3600 - 1


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "index").mkdir()
    Index.create(tmp_path / "index")
    opened = Index.open(tmp_path / "index", writable=True)
    with opened.transaction() as transaction:
        for number in range(1, 100):
            transaction.put_commit(digest(number), b"")
    yield opened
    opened.close()


def move(index: Index, ref: str, *numbers: int, reason: str = "") -> None:
    for number in numbers:
        with index.transaction() as transaction:
            set_ref(transaction, ref, digest(number), reason=reason)


def values(index: Index, ref: str) -> list[tuple[int, int]]:
    """The log as (old, new), 0 for None."""
    with index.snapshot() as snapshot:
        moves = list(iter_moves(snapshot, ref))
    return [(m.old[0] if m.old else 0, m.new[0] if m.new else 0) for m in moves]


def find(index: Index, revision: str) -> int:
    with index.snapshot() as snapshot:
        return resolve(snapshot, revision)[0]


def why_not(index: Index, revision: str) -> str:
    with pytest.raises(RevisionNotFoundError) as caught:
        find(index, revision)
    assert caught.value.revision == revision
    return str(caught.value)


# ---- what is recorded ----


def test_moves(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    before = int(time.time())
    move(index, "main", 1, 2, reason="because")
    move(index, "main-2", 7)
    move(index, "main", 3)
    assert values(index, "main") == [(2, 3), (1, 2), (0, 1)]
    assert values(index, "main-2") == [(0, 7)]
    assert values(index, "mai") == values(index, "main/x") == values(index, "\udcff") == []
    with index.snapshot() as snapshot:
        assert list(iter_logged_refs(snapshot)) == ["main", "main-2"]
        newest, older, _ = iter_moves(snapshot, "main")
    assert before <= newest.time <= time.time()
    assert newest.who == pwd.getpwuid(os.geteuid()).pw_name
    assert (newest.reason, older.reason) == ("", "because")


def test_who_became_root(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    for number, (before, expected) in enumerate(
        [("alice", f"{name} (alice)"), (name, name), ("", name), ("a\nb", name)], 1
    ):
        monkeypatch.setenv("SUDO_USER", before)
        move(index, "main", number)
        with index.snapshot() as snapshot:
            assert next(iter_moves(snapshot, "main")).who == expected


def test_nothing_that_did_not_happen(index: Index) -> None:
    move(index, "main", 1, 1, 1)
    assert values(index, "main") == [(0, 1)]

    def fail() -> None:
        with index.transaction() as transaction:
            set_ref(transaction, "main", digest(2))
            set_ref(transaction, "main/below", digest(2))

    with pytest.raises(RefConflictError):
        fail()
    assert values(index, "main") == [(0, 1)]


def test_deletion(index: Index) -> None:
    move(index, "os/a", 1)
    move(index, "os/b", 2)
    with index.transaction() as transaction:
        delete_refs(transaction, "os", reason="gone")
    assert values(index, "os/a") == [(1, 0), (0, 1)]
    with index.snapshot() as snapshot:
        assert list(iter_logged_refs(snapshot)) == ["os/a", "os/b"]
        assert next(iter_moves(snapshot, "os/b")).reason == "gone"
    assert find(index, "os/a@{1}") == 1
    assert "no ref 'os/a' then" in why_not(index, "os/a@{0}")
    move(index, "os/a", 5)
    assert values(index, "os/a") == [(0, 5), (1, 0), (0, 1)]
    assert "no ref 'os/a' then" in why_not(index, "os/a@{1}")
    assert find(index, "os/a@{2}") == 1


@pytest.mark.parametrize("limit", [1, 3])
def test_limit(index: Index, limit: int) -> None:
    index.reflog_limit = lambda: 5
    move(index, "main", *range(1, 9))
    move(index, "other", 1)
    assert values(index, "main") == [(7, 8), (6, 7), (5, 6), (4, 5), (3, 4)]
    index.reflog_limit = lambda: limit
    move(index, "main", 9)
    assert values(index, "main") == [(8, 9), (7, 8), (6, 7)][:limit]
    assert values(index, "other") == [(0, 1)]


def test_aliases_are_followed(index: Index) -> None:
    move(index, "main", 1)
    move(index, "next", 5)
    with index.transaction() as transaction:
        set_alias(transaction, "current", "main")
    move(index, "main", 2)
    move(index, "next", 6)
    with index.transaction() as transaction:
        set_alias(transaction, "current", "next")
    move(index, "main", 3)
    with index.transaction() as transaction:
        delete_refs(transaction, "current")
    move(index, "next", 7)
    assert values(index, "current") == [(6, 0), (2, 6), (1, 2), (0, 1)]
    assert values(index, "next") == [(6, 7), (5, 6), (0, 5)]
    assert find(index, "current@{1}") == 6
    assert find(index, "current@{2}") == 2


def test_a_damaged_record(index: Index) -> None:
    move(index, "main", 1)
    with index.transaction() as transaction:
        [(key, _)] = transaction.items_from("reflog")
        transaction.put("reflog", bytes(key), b"\xff")
    with pytest.raises(FormatError):
        values(index, "main")


# ---- what it answers ----


def test_the_nth(index: Index) -> None:
    move(index, "main", 1, 2, 3)
    assert [find(index, f"main@{{{number}}}") for number in range(3)] == [3, 2, 1]
    assert "has 3 moves" in why_not(index, "main@{3}")
    assert "has 3 moves" in why_not(index, "main@{4}")
    move(index, "one", 9)
    assert "has 1 move" in why_not(index, "one@{5}")
    assert "'nothing' has no reflog" in why_not(index, "nothing@{1}")
    assert "name a ref" in why_not(index, "@{1}")


def test_beyond_what_was_forgotten(index: Index) -> None:
    index.reflog_limit = lambda: 2
    move(index, "main", 1, 2, 3, 4)
    assert find(index, "main@{2}") == 2, "the oldest move tells where it came from"
    assert "has 2 moves" in why_not(index, "main@{3}")
    assert "begins only at" in why_not(index, "main@{2001-01-01}")


def test_a_commit_that_is_gone(index: Index) -> None:
    move(index, "main", 1, 2)
    with index.transaction() as transaction:
        transaction.delete("commits", digest(1))
    assert f"{digest(1).hex()}, which is no longer" in why_not(index, "main@{1}")


def at(transaction: Transaction, ref: str, moment: int, old: int, new: int) -> None:
    """Record a move as if it had been made then."""
    record(transaction, ref, digest(old) if old else None, digest(new) if new else None, "")
    key, value = next(transaction.items_from("reflog", ref.encode() + b"\0"))
    assert b"\xce" in value
    now = int.from_bytes(value[value.index(b"\xce") + 1 :][:4], "big")
    changed = value.replace(now.to_bytes(4, "big"), moment.to_bytes(4, "big"))
    transaction.put("reflog", bytes(key), changed)


@pytest.fixture
def dated(index: Index) -> Index:
    with index.transaction() as transaction:
        at(transaction, "main", NOON - 86400, 0, 1)
        at(transaction, "main", NOON, 1, 2)
        at(transaction, "main", DAY_END, 2, 3)
        at(transaction, "main", DAY_END + 1, 3, 0)
        at(transaction, "main", DAY_END + 3600, 0, 4)
        transaction.set_ref("main", digest(4))
    return index


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-01-30", 1),
        ("2026-01-31", 3),
        ("20260131", 3),
        ("2026-01-31T12:00", 2),
        ("2026-01-31 12:00:00", 2),
        ("2026-01-31T11:59:59Z", 1),
        ("2026-01-31T12:59:59+01:00", 1),
        ("2026-01-31T13:00:00+01:00", 2),
        ("2026-02-01", 4),
        ("now", 4),
        ("today", 4),
        ("yesterday", 4),
        ("1 day ago", 4),
        ("2.weeks.ago", 4),
    ],
)
def test_dates(dated: Index, when: str, expected: int) -> None:
    assert find(dated, f"main@{{{when}}}") == expected


@pytest.mark.parametrize("when", ["2026-01-29", "2026-02-01T00:30", "2000-01-01"])
def test_dates_without_a_ref(dated: Index, when: str) -> None:
    assert "there was no ref 'main' then" in why_not(dated, f"main@{{{when}}}")


@pytest.mark.parametrize(
    "revision",
    ["main@{x}", "main@{}", "main@{-1}", "main@{2026-13-01}", "main@{99999999999}", "main@{1e3}"],
)
def test_no_moment(dated: Index, revision: str) -> None:
    assert "neither a number of moves nor a date" in why_not(dated, revision)


@pytest.mark.parametrize(
    "revision", ["main@1", "main@", "main@{1", "main^@{1}", "main@{1}@{1}", "main@{{1}}", "@"]
)
def test_no_revision(dated: Index, revision: str) -> None:
    assert "in this order" in why_not(dated, revision)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("today", DAY_END),
        ("yesterday", DAY_END - 86400),
        ("3 hours ago", NOON - 3 * 3600),
        ("1.minute.ago", NOON - 60),
        ("90 seconds ago", NOON - 90),
        ("2 weeks ago", NOON - 14 * 86400),
        ("2026-01-31", DAY_END),
        ("2026-W05-6", DAY_END),
        ("2026-01-31T12", NOON),
        ("tomorrow", None),
        ("ago", None),
        ("", None),
    ],
)
def test_parse_moment(text: str, expected: int | None) -> None:
    assert parse_moment(text, NOON) == expected
