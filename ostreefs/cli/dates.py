# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dates as people type them."""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError

from ostreefs_store.reflog import parse_moment

_MONTHS = {"month": 1, "year": 12}

_DAY_LEFT = 86399
"""From the end of a day, which the reflog means by its name, to its beginning."""


def parse_date(text: str) -> int:
    """Seconds since 1970, for argparse: ``@SECONDS``, ISO 8601, or as in ``30 days ago``.

    Of a day it is the beginning.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 -- only for those who use it

    if text.startswith("@") and text[1:].isdigit() and text.isascii():
        return int(text[1:])
    try:
        moment = datetime.fromisoformat(text)  # of a date alone, its beginning
    except ValueError:
        found = _parse_months(text) or parse_moment(text, int(time.time()))
        if found is None:
            raise ArgumentTypeError(f"Could not parse '{text}'") from None
        return found - _DAY_LEFT if text in {"today", "yesterday"} else found
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _parse_months(text: str) -> int | None:
    """The same day and time of an earlier month; of a day that it has not got, its last day."""
    match = re.fullmatch(r"([0-9]{1,4}) (month|year)s? ago", text, re.ASCII)
    if match is None:
        return None
    import calendar  # noqa: PLC0415 -- only for those who use it

    now = int(time.time())
    year, month, day = time.gmtime(now)[:3]
    year, month = divmod(year * 12 + month - 1 - int(match[1]) * _MONTHS[match[2]], 12)
    if year < 1:
        return None
    day = min(day, calendar.monthrange(year, month + 1)[1])
    return calendar.timegm((year, month + 1, day, 0, 0, 0)) + now % 86400
