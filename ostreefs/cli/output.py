# SPDX-License-Identifier: LGPL-2.1-or-later
"""What verbs print: lines that may hold any bytes, JSON, warnings, progress."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from ostreefs_store.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tqdm import tqdm

_PATIENCE = 1.0
"""Seconds of work without a progress bar."""


def print_line(line: bytes) -> None:
    """Print a line as it is, file names that are no text included."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text as they come."""
    for line in lines:
        print(line)


def print_json(document: object) -> None:
    """Print a JSON document. Bytes that are no UTF-8 become what `os.fsdecode` gives."""
    import json  # noqa: PLC0415 -- only for those who ask for it

    print(json.dumps(document, indent=2, default=_encode))


def _encode(value: object) -> object:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    raise TypeError(type(value))


def complain(message: str, hint: str | None = None) -> None:
    """Print an error on stderr: one line, whatever paths it names, and perhaps one of advice."""
    print(f"ostreefs: error: {one_line(message)}", file=sys.stderr)
    if hint:
        print(f"ostreefs: hint: {one_line(hint)}", file=sys.stderr)


def one_line(message: str) -> str:
    """The message with control characters and undecodable bytes escaped."""
    return printable(os.fsencode(message))


def warn(message: str) -> None:
    """Print a warning on stderr."""
    print(f"ostreefs: warning: {one_line(message)}", file=sys.stderr)


def inform(message: str) -> None:
    """Print something that -v asked for."""
    print(f"ostreefs: {message}", file=sys.stderr)


class ProgressBar:
    """A bar on stderr for work of more than a second; nothing unless stderr is a terminal."""

    def __init__(self, description: str, unit: str) -> None:
        self._description = description
        self._unit = unit
        self._due = time.monotonic() + _PATIENCE
        self._enabled = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show how much is done, in units."""
        if not self._enabled or time.monotonic() < self._due:
            return
        if self._bar is None:
            from tqdm import tqdm  # noqa: PLC0415 -- 30 ms that short work need not pay

            self._bar = tqdm(
                total=total, desc=self._description, unit=self._unit, unit_scale=True, leave=False
            )
        self._bar.n = done
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.refresh()

    @property
    def callback(self) -> Callable[[int, int], None] | None:
        """`update` with a total, or None where nobody looks."""
        return self.update if self._enabled else None
