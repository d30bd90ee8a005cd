# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every trace point of a prune: what is kept is whole, the next one ends the work."""

import os
from pathlib import Path

import pytest

from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.repository import Repository
from tests.support.commits import commit_files
from tests.support.crash import every_death
from tests.support.scenes import assert_sound, renew
from tests.support.trees import check_out, remove_tree, settle, write

pytestmark = pytest.mark.crash

DOOMED = {"a": b"doomed a", "d/b": b"doomed b", "d/e": b"in both"}
KEPT = {"a": b"kept a", "d/b": b"kept b", "d/e": b"in both", "twin": DOOMED["a"]}
FILES = 4
"""Object files in the end: one of each content, that of the twin with an object that went."""


def prune_to_the_tip(repository: Path) -> None:
    with Repository.open(repository, writable=True) as opened:
        prune(opened, Rules(refs_only=True, depth=0))


def commit(repository: Path, source: Path, files: dict[str, bytes], branch: str = "main") -> None:
    with Repository.open(repository, writable=True) as opened:
        commit_files(opened, source, files, branch)


def contents(repository: Path, place: Path, revision: str) -> dict[str, bytes]:
    out = place / "look"
    with Repository.open(repository) as opened:
        check_out(opened, out, revision, options=CheckoutOptions(force_copy=True))
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    remove_tree(out)
    return found


def make_repository(repository: Path, place: Path, mode: Mode) -> None:
    renew(repository, mode)
    commit(repository, place / "source", DOOMED)
    settle(place / "source")
    commit(repository, place / "source", DOOMED)  # the stat cache believes in all of it now
    write(place / "other/twin", KEPT["twin"], 0o755)
    commit(repository, place / "other", KEPT)
    write(repository / "objects/00" / ("0" * 62), b"left by a crash")
    write(repository / "tmp/left", b"by a crash")


def count_files(repository: Path) -> int:
    return sum(path.is_file() for path in (repository / "objects").rglob("*"))


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupted_prune_is_ended_by_the_next(place: Path, mode: Mode) -> None:
    repository = place / "repo"
    make_repository(repository, place, mode)
    for _ in every_death(lambda: prune_to_the_tip(repository)):
        assert_sound(repository)
        assert contents(repository, place, "main") == KEPT
        prune_to_the_tip(repository)
        assert_sound(repository)
        assert contents(repository, place, "main") == KEPT
        assert count_files(repository) == FILES
        assert os.listdir(repository / "tmp") == []
        make_repository(repository, place, mode)
    assert count_files(repository) == FILES


@pytest.mark.parametrize("mode", MODES)
def test_what_an_interrupted_prune_deleted_can_be_committed_again(place: Path, mode: Mode) -> None:
    repository = place / "repo"
    make_repository(repository, place, mode)
    for _ in every_death(lambda: prune_to_the_tip(repository)):
        commit(repository, place / "source", DOOMED, "again")
        assert_sound(repository)
        assert contents(repository, place, "again") == DOOMED
        assert contents(repository, place, "main") == KEPT
        make_repository(repository, place, mode)


@pytest.mark.parametrize("mode", MODES)
def test_deaths_one_after_another(place: Path, mode: Mode) -> None:
    """All of them in one repository, as a bad day would have it."""
    repository = place / "repo"
    make_repository(repository, place, mode)
    for _ in every_death(lambda: prune_to_the_tip(repository)):
        assert_sound(repository)
        assert contents(repository, place, "main") == KEPT
    assert count_files(repository) == FILES
