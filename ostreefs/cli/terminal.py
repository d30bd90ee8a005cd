# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a terminal can show: colours, and so many columns."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from typing import Literal

When = Literal["auto", "always", "never"]

YELLOW = "33"
GREEN = "1;32"
RED = "1;31"
LINES = ("31", "32", "33", "34", "35", "36")
"""The colours of lines that run side by side."""


class Terminal:
    """Standard output: whether it takes colours, and its width, None where nobody counts."""

    def __init__(self, when: When = "auto") -> None:
        is_terminal = sys.stdout.isatty()
        asked_not = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self.has_colours = when == "always" or (when == "auto" and is_terminal and not asked_not)
        self.width = shutil.get_terminal_size().columns if is_terminal else None

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, given by the number that ECMA-48 has for it."""
        return f"\033[{colour}m{text}\033[m" if self.has_colours and text else text

    def fit(self, text: str, used: int) -> str:
        """As much of a text as there is room for behind so many columns."""
        return text if self.width is None else cut_text(text, max(self.width - used, 0))


def cut_text(text: str, width: int) -> str:
    """As much of a text as fits, with an ellipsis where something is missing."""
    if count_columns(text) <= width:
        return text
    kept = text[:width]  # no character is narrower than a column, but for marks on others
    while kept and count_columns(kept) >= width:
        kept = kept[:-1]
    return kept + "…" * (width > 0)


def count_columns(text: str) -> int:
    """Columns that a terminal needs for a text without control characters."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in {"W", "F"})
        for character in text
    )
