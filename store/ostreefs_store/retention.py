# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which commits of a history to keep: ``7 daily, 52 weekly, 12 monthly``. Pure.

A policy is a list of rules, and a commit stays when any of them wants it. ``N daily`` keeps the
newest commit of each of the last N days *on which there was one*, and so for the other periods;
``N last`` keeps the N newest, ``all`` everything. As with restic
(https://restic.readthedocs.io/en/stable/060_forget.html), each rule counts for itself: a commit
that stays for its day may also be the one that stays for its week.

Periods are those of UTC. A week begins on Monday.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

Unit = Literal["last", "hourly", "daily", "weekly", "monthly", "yearly"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_RULE = re.compile(rf"([0-9]{{1,9}}) *({'|'.join(UNITS)})", re.ASCII)
_EVERYTHING = "all"
_HOUR = 3600
_DAY = 24 * _HOUR


class Policy(NamedTuple):
    """Rules in the order in which they were given; None for one that keeps everything."""

    rules: tuple[tuple[int, Unit], ...] | None


KEEP_ALL = Policy(None)


def parse_policy(text: str) -> Policy:
    """Read ``7 daily, 52 weekly`` or ``all``. Raises `ValueError` with a line for a person."""
    if text.strip() == _EVERYTHING:
        return KEEP_ALL
    rules: list[tuple[int, Unit]] = []
    for word in text.split(","):
        match = _RULE.fullmatch(word.strip())
        if match is None or int(match[1]) == 0:
            raise ValueError(
                f"'{word.strip()}' is no rule: write a number and one of {', '.join(UNITS)},"
                " such as '7 daily, 52 weekly', or 'all'"
            )
        unit: Unit = match[2]  # type: ignore[assignment]  # the pattern has nothing but units
        rules.append((int(match[1]), unit))
    return Policy(tuple(rules))


def format_policy(policy: Policy) -> str:
    """The text that `parse_policy` reads."""
    if policy.rules is None:
        return _EVERYTHING
    return ", ".join(f"{count} {unit}" for count, unit in policy.rules)


def choose(history: Iterable[tuple[T, int]], policy: Policy) -> set[T]:
    """The commits that a policy keeps, of (commit, timestamp) with the newest first.

    Where timestamps do not follow the history they decide, as they do for a person who looks for
    a day; of equal ones the first given is the newest.
    """
    commits = sorted(history, key=lambda item: -item[1])
    if policy.rules is None:
        return {commit for commit, _ in commits}
    kept: set[T] = set()
    for count, unit in policy.rules:
        newest: dict[object, T] = {}
        for position, (commit, timestamp) in enumerate(commits):
            period = position if unit == "last" else _PERIODS[unit](timestamp)
            if period not in newest:
                if len(newest) == count:
                    break
                newest[period] = commit
        kept.update(newest.values())
    return kept


def _month(timestamp: int) -> tuple[int, int]:
    """Year and month of a time, see https://howardhinnant.github.io/date_algorithms.html.

    `datetime` knows the years 1 to 9999 alone; a commit may be of any.
    """
    era, day = divmod(timestamp // _DAY + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    month = (5 * (day - (365 * year + year // 4 - year // 100)) + 2) // 153
    year += era * 400
    return (year, month + 3) if month < 10 else (year + 1, month - 9)


_PERIODS: dict[Unit, Callable[[int], object]] = {
    "hourly": lambda timestamp: timestamp // _HOUR,
    "daily": lambda timestamp: timestamp // _DAY,
    "weekly": lambda timestamp: (timestamp // _DAY + 3) // 7,  # 1970 began on a Thursday
    "monthly": _month,
    "yearly": lambda timestamp: _month(timestamp)[0],
}
