# SPDX-License-Identifier: LGPL-2.1-or-later
"""Use files as a program would: ``python -m benchmarks.access VERB PATH NUMBER``.

What takes microseconds is done so often that starting the interpreter is lost in it.
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SEED = 20140101
_PAGE = 4096
_MORE_THAN_SMALL = 1 << 20
_CHUNK = 1 << 20


def stat_again(path: str, number: int) -> None:
    """Ask for the attributes of one path."""
    for _ in range(number):
        os.lstat(path)


def read_small(root: str, number: int) -> None:
    """Open, read and close every file below a directory, several times over."""
    files = [os.path.join(where, name) for where, _, names in os.walk(root) for name in names]
    for _ in range(number):
        for path in files:
            fd = os.open(path, os.O_RDONLY)
            os.read(fd, _MORE_THAN_SMALL)
            os.close(fd)


def read_pages(path: str, number: int) -> None:
    """Read single pages from all over a file, the same ones each time."""
    source = random.Random(_SEED)
    fd = os.open(path, os.O_RDONLY)
    pages = os.fstat(fd).st_size // _PAGE
    for _ in range(number):
        os.pread(fd, _PAGE, source.randrange(pages) * _PAGE)
    os.close(fd)


VERBS: dict[str, Callable[[str, int], None]] = {
    "stat": stat_again,
    "small": read_small,
    "pages": read_pages,
}


if __name__ == "__main__":
    VERBS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
