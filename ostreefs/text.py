# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sizes and times as text for people. Pure."""

from __future__ import annotations

import time


def format_size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_time(timestamp: int) -> str:
    """Seconds since 1970 for a person, in UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime(timestamp))
    except (ValueError, OverflowError, OSError):
        return f"@{timestamp}"


def format_duration(seconds: int) -> str:
    """A time that has passed for a person, its largest two units."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, length in units:
        count, seconds = divmod(seconds, length)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def format_growth(count: int) -> str:
    """By how many bytes something grew, with a sign."""
    return f"{'-' if count < 0 else '+' if count else ''}{format_size(abs(count))}"


def format_counts(added: int, removed: int, modified: int) -> str:
    """How many came, went and changed; nothing for none."""
    counts = (("+", added), ("-", removed), ("~", modified))
    return " ".join(f"{sign}{count}" for sign, count in counts if count)
