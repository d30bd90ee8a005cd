# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sysroots with releases to deploy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.sysroot.layout import Sysroot
from tests.support.sysroots import temporary_sysroot


@pytest.fixture
def sysroot(tmp_path: Path) -> Iterator[Sysroot]:
    """An empty one, with entries of the Boot Loader Specification."""
    with temporary_sysroot(tmp_path / "sysroot") as made:
        yield made
