# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places for tests to work in."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.trees import remove_tree


@contextmanager
def place_in_memory() -> Iterator[Path]:
    """A directory in memory where that can be: nothing is synced, and much is deleted at once."""
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="ostreefs-test-", dir=folder))
    try:
        yield path
    finally:
        remove_tree(path)
