# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which version of a package is newer, as dpkg and rpm have it. Pure.

Sources: deb-version(7) and dpkg's ``lib/dpkg/version.c``; rpm-version(7) and rpm's
``rpmio/rpmvercmp.c``. Each function gives a number below, equal to or above 0.
"""

from __future__ import annotations

import re

_SEGMENT = re.compile(r"[0-9]+|[a-zA-Z]+|~|\^", re.ASCII)
_DIGITS = "0123456789"


def compare_deb(one: str, other: str) -> int:
    """Compare Debian versions, ``[EPOCH:]UPSTREAM[-REVISION]``."""
    for part, counterpart in zip(_split_deb(one), _split_deb(other), strict=True):
        order = _compare_deb_part(part, counterpart)
        if order:
            return order
    return 0


def _split_deb(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.strip().partition(":")
    if not colon:
        epoch, rest = "0", version.strip()
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compare_deb_part(one: str, other: str) -> int:
    """Alternately what is no number, by `_weight`, and numbers; what is missing counts as 0."""
    here = there = 0
    while here < len(one) or there < len(other):
        while _is_no_digit(one, here) or _is_no_digit(other, there):
            order = _weight(one, here) - _weight(other, there)
            if order:
                return order
            here, there = here + 1, there + 1
        start, begin = here, there
        while here < len(one) and one[here] in _DIGITS:
            here += 1
        while there < len(other) and other[there] in _DIGITS:
            there += 1
        order = _compare_numbers(one[start:here], other[begin:there])
        if order:
            return order
    return 0


def _is_no_digit(text: str, position: int) -> bool:
    return position < len(text) and text[position] not in _DIGITS


def _weight(text: str, position: int) -> int:
    """A tilde comes before the end, and that before letters, and those before all else."""
    if position >= len(text) or text[position] in _DIGITS:
        return 0
    char = text[position]
    if char == "~":
        return -1
    return ord(char) if char.isascii() and char.isalpha() else ord(char) + 0x110000


def _compare_numbers(one: str, other: str) -> int:
    """Digits of any length, as numbers; none at all is 0."""
    left, right = one.lstrip("0"), other.lstrip("0")
    if len(left) != len(right):
        return len(left) - len(right)
    return (left > right) - (left < right)


def compare_rpm(one: str, other: str) -> int:
    """Compare rpm's ``[EPOCH:]VERSION[-RELEASE]``."""
    left, right = _split_rpm(one), _split_rpm(other)
    order = _compare_numbers(left[0], right[0])
    if order:
        return order
    return compare_rpm_part(left[1], right[1]) or compare_rpm_part(left[2], right[2])


def _split_rpm(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    main, dash, release = rest.rpartition("-")
    return (epoch, main, release) if dash else (epoch, rest, "")


def compare_rpm_part(one: str, other: str) -> int:
    """Compare versions alone, or releases alone: what rpmvercmp() does."""
    if one == other:
        return 0
    left, right = _SEGMENT.findall(one), _SEGMENT.findall(other)
    for mine, yours in zip(left, right, strict=False):
        order = _compare_segments(mine, yours)
        if order:
            return order
    return _compare_tails(left[len(right) :], right[len(left) :])


def _compare_segments(mine: str, yours: str) -> int:
    """A tilde is the oldest, then a caret; a number beats letters."""
    if mine == yours:
        return 0
    for sign in "~^":
        if sign in {mine, yours}:
            return -1 if mine == sign else 1
    if mine[0] in _DIGITS and yours[0] in _DIGITS:
        return _compare_numbers(mine, yours)
    if mine[0] in _DIGITS or yours[0] in _DIGITS:
        return 1 if mine[0] in _DIGITS else -1
    return (mine > yours) - (mine < yours)


def _compare_tails(mine: list[str], yours: list[str]) -> int:
    """What one version has more: newer, but for a tilde."""
    if mine:
        return -1 if mine[0] == "~" else 1
    if yours:
        return 1 if yours[0] == "~" else -1
    return 0
