# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests with real mounts share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import unmount
from tests.support.bisected import Builds
from tests.support.commands import OURSELVES, Account, ordinary_user
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import Mounted, is_mounted, mounted
from tests.support.trees import make_small_tree


@pytest.fixture(scope="session")
def user() -> Iterator[Account]:
    """Someone without privileges."""
    with ordinary_user() as account:
        yield account


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_tree(tmp_path_factory.mktemp("small") / "source")


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory, small_source: Path) -> Path:
    """A repository that no test changes, with the small tree on `main`."""
    repository = init_repository(tmp_path_factory.mktemp("small") / "repo")
    commit_directory(repository, small_source)
    return repository


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, small_repository: Path) -> Iterator[Mounted]:
    """The small tree, mounted once for the tests of a module, which leave it as it is."""
    with mounted(small_repository, "main", at=tmp_path_factory.mktemp("small") / "mnt") as mount:
        yield mount


@pytest.fixture(params=["ourselves", "ordinary user"])
def builds(request: pytest.FixtureRequest, user: Account) -> Iterator[Builds]:
    account = OURSELVES if request.param == "ourselves" else user
    with tempfile.TemporaryDirectory(dir=account.home) as place:
        made = Builds(Path(place), account)
        try:
            yield made
        finally:
            if is_mounted(made.mount):
                unmount(made.mount, lazy=True)


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Builds]:
    made = Builds(tmp_path, OURSELVES)
    yield made
    if is_mounted(made.mount):
        unmount(made.mount, lazy=True)
