# SPDX-License-Identifier: LGPL-2.1-or-later
"""Policies: what they mean, and which commits they keep."""

from datetime import UTC, datetime, timedelta

import pytest

from ostreefs_store.retention import (
    KEEP_ALL,
    Policy,
    _month,
    choose,
    format_policy,
    parse_policy,
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("7 daily", Policy(((7, "daily"),))),
        (
            "7 daily, 52 weekly, 12 monthly",
            Policy(((7, "daily"), (52, "weekly"), (12, "monthly"))),
        ),
        (" 1last,2   yearly ,3 hourly", Policy(((1, "last"), (2, "yearly"), (3, "hourly")))),
        (" all ", KEEP_ALL),
    ],
)
def test_parse(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy
    assert parse_policy(format_policy(policy)) == policy


@pytest.mark.parametrize(
    "text",
    ["", "7", "daily", "daily 7", "7 dailies", "0 daily", "-1 daily", "7 daily,", "7 daily 3 last",
     "all, 7 daily", "\u0667 daily", "1.5 daily", "9999999999 daily", "7 DAILY"],
)  # fmt: skip
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule"):
        parse_policy(text)


# The letters are commits, the newest first.
HISTORY = [
    ("a", at("2026-03-02 12:00")),  # a Monday
    ("b", at("2026-03-02 11:59")),
    ("c", at("2026-03-02 11:01")),
    ("d", at("2026-03-01 23:59")),  # the Sunday before: another week, the same month
    ("e", at("2026-02-28 00:00")),
    ("f", at("2026-02-27 10:00")),
    ("g", at("2026-01-31 10:00")),
    ("h", at("2025-12-31 23:59")),
    ("i", at("2024-01-01 00:00")),
]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("1 last", "a"),
        ("3 last", "abc"),
        ("100 last", "abcdefghi"),
        ("1 hourly", "a"),
        ("2 hourly", "ab"),
        ("1 daily", "a"),
        ("3 daily", "ade"),
        ("1 weekly", "a"),
        ("2 weekly", "ad"),
        ("3 weekly", "adg"),
        ("2 monthly", "ae"),
        ("4 monthly", "aegh"),
        ("5 monthly", "aeghi"),
        ("2 yearly", "ah"),
        ("3 yearly", "ahi"),
        ("2 daily, 2 monthly, 2 yearly", "adeh"),
        ("2 last, 3 last", "abc"),
        ("all", "abcdefghi"),
    ],
)
def test_choose(policy: str, kept: str) -> None:
    assert choose(HISTORY, parse_policy(policy)) == set(kept)


def test_nothing_to_choose_from() -> None:
    assert choose([], parse_policy("3 daily")) == set()


def test_times_decide_where_they_disagree_with_the_history() -> None:
    history = [("tip", 0), ("old", 500), ("older", 500)]
    assert choose(history, parse_policy("1 last")) == {"old"}
    assert choose(history, parse_policy("1 daily")) == {"old"}


def test_days_without_a_commit_are_not_counted() -> None:
    history = [(day, -day * 10 * 86400) for day in range(20)]
    assert choose(history, parse_policy("7 daily")) == set(range(7))


@pytest.mark.parametrize("start", ["0001-01-01", "1899-12-31", "1970-01-01", "2000-02-28"])
def test_months_are_those_of_the_calendar(start: str) -> None:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in range(1500):
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        assert _month(seconds) == (moment.year, moment.month)
        moment += timedelta(days=1)


def test_times_beyond_the_calendar() -> None:
    history = [("far", 2**61), ("near", 0), ("past", -(2**61))]
    assert choose(history, parse_policy("2 monthly")) == {"far", "near"}
