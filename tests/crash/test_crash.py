# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every trace point: refs are wholly old or wholly new, and nothing is lost.

The places are on a filesystem in memory where there is one: what a kill leaves does not depend on
it, and syncing costs nothing there.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ostreefs_store.checkouts.filemaker import CheckoutOptions, Union
from ostreefs_store.committing.commit import Target, write_commit
from ostreefs_store.lock import shared_lock
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
    MESSAGE,
    Listing,
    check_out,
    delete,
    list_tree,
    make_sparse,
    remove_tree,
    take_in,
    write,
)

pytestmark = pytest.mark.crash


def consume(repository: Path, source: Path) -> None:
    with Repository.open(repository, writable=True) as opened, opened.in_use(writing=True):
        taken = take_in(opened, source, consume=True)
        write_commit(opened, taken.batch, taken.root, MESSAGE, Target("main"))
        delete(source, taken)


def make_large_source(path: Path, jobs: int = 3) -> Path:
    """Make a tree that is large enough for several jobs, and so for worker processes."""
    for number in range(jobs):
        folder = path / f"{number}"
        folder.mkdir(parents=True)
        make_sparse(folder / "volume", 17 << 20, {0: f"volume {number}".encode()})
        write(folder / "file", f"file {number}".encode())
        write(folder / "same", b"the same")
    return path


# ---- init ----


@pytest.mark.parametrize("mode", MODES)
def test_init(place: Path, mode: Mode) -> None:
    """Whatever a death leaves, it is no repository, or a whole one; and init completes it."""
    repository = place / "repo"
    # The 256 folders of objects are alike: every seventh point is enough, and the last ones all.
    for _ in every_death(lambda: Repository.init(repository, mode), step=7):
        check_init(repository, mode)
    for _ in every_death(lambda: Repository.init(repository, mode), first=255):
        check_init(repository, mode)


def check_init(repository: Path, mode: Mode) -> None:
    if (repository / "config.toml").exists():
        assert_sound(repository)
    Repository.init(repository, mode)
    assert_sound(repository)
    assert not Repository.init(repository, mode)
    with Repository.open(repository, writable=True) as opened, opened.in_use(writing=True):
        parts = ["config.toml", "index", "lock", "objects", "tmp"]
        assert sorted(p.name for p in repository.iterdir()) == parts
    remove_tree(repository)


# ---- commit ----


@pytest.mark.parametrize("mode", MODES)
def test_first_commit(place: Path, mode: Mode) -> None:
    repository, source = place / "repo", make_source(place / "source")
    expected = list_tree(source)
    renew(repository, mode)
    for _ in every_death(lambda: commit(repository, source)):
        assert_sound(repository)
        tip = find_tip(repository)
        if tip is not None:
            assert committed(repository, place) == expected
        commit(repository, source, "again")
        assert_sound(repository)
        assert committed(repository, place, "again") == expected
        assert find_tip(repository) == tip
        assert os.listdir(repository / "tmp") == []
        renew(repository, mode)
    assert committed(repository, place) == expected
    assert list_tree(source) == expected


@pytest.mark.parametrize("mode", MODES)
def test_commit_with_workers(place: Path, mode: Mode) -> None:
    repository, source = place / "repo", make_large_source(place / "source")
    expected = list_tree(source)
    renew(repository, mode)
    for _ in every_death(lambda: commit(repository, source)):
        assert_sound(repository)
        if find_tip(repository) is not None:
            assert committed(repository, place) == expected
        commit(repository, source)
        assert_sound(repository)
        assert committed(repository, place) == expected
        renew(repository, mode)


@pytest.mark.parametrize("mode", MODES)
def test_second_commit_moves_the_ref(place: Path, mode: Mode) -> None:
    """All deaths one after another in one repository, as a bad day would have it."""
    repository = place / "repo"
    first, second = make_source(place / "first"), make_source(place / "second")
    write(second / "usr/bin/tool", b"a newer tool", 0o755)
    write(second / "opt/new", b"new")
    (second / "etc/empty").unlink()
    before, after = list_tree(first), list_tree(second)
    renew(repository, mode)
    commit(repository, first)
    old = find_tip(repository)
    for _ in every_death(lambda: commit(repository, second)):
        assert_sound(repository)
        tip = find_tip(repository)
        assert committed(repository, place) == (before if tip == old else after)
        if tip != old:
            assert committed(repository, place, "main^") == before
            break
    commit(repository, second)
    assert committed(repository, place) == after
    assert os.listdir(repository / "tmp") == []
    assert_sound(repository)


# ---- consume ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [make_source, make_large_source])
def test_consume_loses_nothing(place: Path, mode: Mode, make: Callable[[Path], Path]) -> None:
    repository, source = place / "repo", make(place / "source")
    expected = list_tree(source)
    remove_tree(source)
    points = 0
    while True:
        renew(repository, mode)
        make(source)
        died = next(iter(every_death(lambda: consume(repository, source), first=points)), None)
        if died is None:
            break
        points += 1
        assert_sound(repository)
        if find_tip(repository) is None:
            assert list_tree(source) == expected, "neither the source nor a commit is whole"
            consume(repository, source)
        assert committed(repository, place) == expected
        assert_sound(repository)
        if source.exists():
            remove_tree(source)
    assert points
    assert not source.exists()
    assert committed(repository, place) == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_source_that_was_almost_consumed_shares_nothing_with_a_later_commit(
    place: Path, mode: Mode
) -> None:
    """Who writes to a file of the source after an ordinary commit must not write to an object."""
    repository, source = place / "repo", place / "source"
    points = 0
    while True:
        renew(repository, mode)
        make_source(source)
        died = next(iter(every_death(lambda: consume(repository, source), first=points)), None)
        points += 1
        if died is None or find_tip(repository) is not None:
            break
        commit(repository, source)
        for path in source.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                with path.open("r+b") as file:
                    file.write(b"CHANGED")
        assert_sound(repository)
        remove_tree(source)
    assert points > 2


# ---- checkout ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [make_source, make_large_source])
def test_new_checkout_is_absent_or_whole(
    place: Path, mode: Mode, make: Callable[[Path], Path]
) -> None:
    repository, source, out = place / "repo", make(place / "source"), place / "out"
    expected = list_tree(source)
    renew(repository, mode)
    commit(repository, source)

    def operation() -> None:
        with Repository.open(repository) as opened:
            check_out(opened, out)

    for _ in every_death(operation):
        assert_sound(repository)
        if out.exists():
            assert list_tree(out) == expected
            remove_tree(out)
        operation()
        assert list_tree(out) == expected
        remove_tree(out)


def prepare_union(out: Path, union: Union) -> None:
    (out / "usr").mkdir(parents=True)
    if union != "identical":
        write(out / "usr/bin/tool", b"old", 0o700)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("union", ["overwrite", "add", "identical"])
def test_union_checkout_is_completed_by_the_next(place: Path, mode: Mode, union: Union) -> None:
    """No file is lost, and the next run makes what an undisturbed one would have made."""
    repository, out = place / "repo", place / "out"
    renew(repository, mode)
    commit(repository, make_source(place / "source"))

    def operation() -> None:
        with Repository.open(repository) as opened:
            check_out(opened, out, options=CheckoutOptions(union=union))

    prepare_union(out, union)
    operation()
    expected = list_tree(out)
    old = b"old" if union != "identical" else None
    remove_tree(out)
    prepare_union(out, union)
    for _ in every_death(operation):
        assert_sound(repository)
        if old is not None:
            assert (out / "usr/bin/tool").read_bytes() in {old, b"#!/bin/sh\necho tool\n"}
        operation()
        assert contents(list_tree(out)) == contents(expected)
        remove_tree(out)
        prepare_union(out, union)


def contents(listing: Listing) -> dict[bytes, tuple[int, object]]:
    """Leave out the metadata of directories, which a union does not give to those that are there,
    and the hidden names of files that were to replace others."""
    return {
        path: (entry.kind, entry.data)
        for path, entry in listing.items()
        if not path.rpartition(b"/")[2].startswith(b".ostreefs-")
    }


# ---- what crashes of other kinds leave ----


def stored_objects(repository: Path) -> list[Path]:
    return sorted(p for p in (repository / "objects").rglob("*") if p.is_file())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "mode", "whole"])
def test_an_object_that_the_index_does_not_know(place: Path, mode: Mode, damage: str) -> None:
    """A power cut leaves names without content; the next commit puts the right one there."""
    repository, source = place / "repo", make_source(place / "source")
    renew(place / "model", mode)
    commit(place / "model", source)
    renew(repository, mode)
    for path in stored_objects(place / "model"):
        target = repository / path.relative_to(place / "model")
        content = path.read_bytes()
        match damage:
            case "empty":
                content = b""
            case "truncated":
                content = content[: len(content) // 2]
            case "garbage":
                content = bytes(len(content))
            case _:
                pass
        write(target, content, 0o600 if damage == "mode" else path.stat().st_mode & 0o7777)
    assert_sound(repository)
    commit(repository, source)
    assert_sound(repository)
    assert committed(repository, place) == list_tree(source)
    assert {p.stat().st_mtime_ns for p in stored_objects(repository)} == {0}


@pytest.mark.parametrize("mode", MODES)
def test_deaths_while_such_an_object_is_replaced(place: Path, mode: Mode) -> None:
    repository, source = place / "repo", make_source(place / "source")
    renew(place / "model", mode)
    commit(place / "model", source)
    renew(repository, mode)
    for path in stored_objects(place / "model"):
        write(repository / path.relative_to(place / "model"), b"garbage")
    for _ in every_death(lambda: commit(repository, source)):
        assert_sound(repository)
    assert_sound(repository)
    assert committed(repository, place) == list_tree(source)


def test_tmp_is_cleaned_by_a_writer_that_is_alone(place: Path) -> None:
    repository, source = place / "repo", make_source(place / "source")
    renew(repository, "bare-user")
    write(repository / "tmp/left", b"from a crash")
    with shared_lock(repository):
        commit(repository, source)
        assert os.listdir(repository / "tmp") == ["left"]
    commit(repository, source)
    assert os.listdir(repository / "tmp") == []
