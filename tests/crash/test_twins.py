# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deaths while content changes hands: a commit of new metadata, a checkout that needs inodes."""

import os
from pathlib import Path

import pytest

from ostreefs_store.objects import MODES, Mode
from ostreefs_store.repository import Repository
from tests.support.crash import every_death
from tests.support.scenes import (
    assert_sound,
    commit,
    committed,
    find_tip,
    make_source,
    renew,
)
from tests.support.trees import (
    check_out,
    list_tree,
    make_sparse,
    remove_tree,
    settle,
)


def make_old_source(path: Path) -> Path:
    make_source(path)
    make_sparse(path / "large", 2 << 20, {0: b"a file that is staged"})
    settle(path)
    return path


def change_modes(source: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode ^ 0o011)
    settle(source)


@pytest.mark.parametrize("mode", MODES)
def test_new_metadata_are_committed_or_not(place: Path, mode: Mode) -> None:
    repository, source = place / "repo", make_old_source(place / "source")
    old = list_tree(source)

    def start() -> None:
        renew(repository, mode)
        commit(repository, source)

    start()
    before = find_tip(repository)
    change_modes(source)
    new = list_tree(source)
    assert new != old

    def back() -> None:
        change_modes(source)
        start()
        change_modes(source)

    for _ in every_death(lambda: commit(repository, source)):
        assert_sound(repository)
        assert committed(repository, place) == (old if find_tip(repository) == before else new)
        commit(repository, source, "again")
        assert_sound(repository)
        assert committed(repository, place, "again") == new
        back()
        before = find_tip(repository)
    assert committed(repository, place) == new


@pytest.mark.root
def test_twins_get_their_files_whole_or_not(place: Path) -> None:
    repository, source, out = place / "repo", make_old_source(place / "source"), place / "out"

    def start() -> None:
        renew(repository, "bare")
        commit(repository, source)
        change_modes(source)
        commit(repository, source)

    def operation() -> None:
        with Repository.open(repository, writable=True) as opened:
            check_out(opened, out)

    start()
    for _ in every_death(operation):
        assert_sound(repository)
        expected = list_tree(source)
        assert committed(repository, place) == expected
        remove_tree(out)
        operation()
        assert_sound(repository)
        assert list_tree(out) == expected
        assert os.path.samefile(*_both_names(repository, out))
        remove_tree(out)
        start()
    assert list_tree(out) == list_tree(source)


def _both_names(repository: Path, out: Path) -> tuple[Path, Path]:
    """A file of a checkout, and the object file that it is a link of."""
    inode = (out / "large").stat().st_ino
    [found] = [path for path in repository.glob("objects/*/*") if path.stat().st_ino == inode]
    return out / "large", found
