# SPDX-License-Identifier: LGPL-2.1-or-later
"""A place for what is killed and made again many times."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import place_in_memory


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory where that can be: what a kill leaves is the same, and syncing costs nothing."""
    with place_in_memory() as path:
        yield path
