# SPDX-License-Identifier: LGPL-2.1-or-later
"""Repositories and places for the tests of the store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from tests.support.places import place_in_memory
from tests.support.trees import new_repository, remove_tree


@pytest.fixture(params=MODES)
def any_repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repository]:
    """An empty repository, in each mode in turn."""
    with new_repository(tmp_path / "repo", request.param) as repository:
        yield repository


@pytest.fixture
def own_mode() -> str:
    """The mode that links its checkouts for whoever runs the tests."""
    return "bare" if os.geteuid() == 0 else "bare-user"


@pytest.fixture
def repository(own_mode: str, tmp_path: Path) -> Iterator[Repository]:
    """An empty repository of the mode that is the default for whoever runs the tests."""
    with new_repository(tmp_path / "repo", own_mode) as opened:
        yield opened


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A place in memory where there is one: deleting 100,000 files from a disk takes long."""
    with place_in_memory() as path:
        yield path


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    """A place for trees that are too deep for pytest to delete."""
    (tmp_path / "deep").mkdir()
    yield tmp_path / "deep"
    remove_tree(tmp_path / "deep")
