# SPDX-License-Identifier: LGPL-2.1-or-later
"""Patterns for refs, as a shell matches paths. Pure.

``*`` and ``?`` match no slash, ``**`` matches anything, ``[a-c]`` and ``[!a-c]`` one character. A
pattern means whole names: ``os/*`` is ``os/next`` and not ``os/next/amd64``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")

_TOKEN = re.compile(r"\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def is_pattern(text: str) -> bool:
    """Whether `text` holds a character that no ref holds and that means others."""
    return any(c in text for c in "*?[")


def matching(pattern: str, items: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """Those of the (name, value) pairs whose name matches."""
    expression = re.compile(translate(pattern), re.DOTALL)
    return {name: value for name, value in items if expression.fullmatch(name)}


def translate(pattern: str) -> str:
    """A regular expression for a pattern; one that is malformed means its own characters."""
    return "".join(_translate_token(token) for token in _TOKEN.findall(pattern))


def _translate_token(token: str) -> str:
    match token:
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case _ if len(token) > 1:
            return _translate_set(token[1:-1])
        case _:
            return re.escape(token)


def _translate_set(inside: str) -> str:
    negated, members = inside.startswith("!"), inside.removeprefix("!")
    escaped = re.sub(r"([\\\]\[^&~|])", r"\\\1", members)
    try:
        re.compile(f"[{escaped}]")
    except re.error:  # such as a range from z to a
        return re.escape(f"[{inside}]")
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
