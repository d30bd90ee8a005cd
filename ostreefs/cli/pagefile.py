# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a page goes that ``--html=FILE`` asks for."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ostreefs.cli.arguments import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments


def check_page(arguments: Arguments) -> None:
    """Raise `UsageError` for a page that would go where something else does."""
    if arguments.html == "":
        raise UsageError("--html has no file")
    if arguments.html == "-" and arguments.json:
        raise UsageError("--json needs --html=FILE: the page goes to standard output")
    if arguments.html == "-" and sys.stdout.isatty():
        raise UsageError("a page is not for a terminal: redirect it, or use --html=FILE")


@contextmanager
def open_page(arguments: Arguments) -> Iterator[IO[bytes]]:
    """What to write a page to: standard output for ``-``, a file that is replaced once whole."""
    if arguments.html == "-":
        with open(1, "wb", closefd=False) as out:
            yield out
        return
    from ostreefs_store.tar.export import replaced_file  # noqa: PLC0415 -- slow to load

    with replaced_file(Path(arguments.html)) as out:
        yield out
