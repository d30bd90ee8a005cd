# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each commit of a history brought."""

from pathlib import Path

from ostreefs_store.comparing.ancestry import read_ancestry
from ostreefs_store.comparing.builds import Build, describe_builds
from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from tests.support.builds import Builder, dpkg_status

STATUS = "var/lib/dpkg/status"


def describe(path: Path, tip: Digest, limit: int) -> list[Build]:
    with Repository.open(path) as repository, repository.index.snapshot() as snapshot:
        return list(
            describe_builds(repository, snapshot, read_ancestry(snapshot, [tip]), limit=limit)
        )


def test_builds(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "repo", tmp_path / "source")
    one = {"a": b"1" * 10, "b": b"2" * 20, STATUS: dpkg_status({"x": "1", "y": "1"})}
    two = one | {"b": b"3" * 25, "d/c": b"4" * 5000, "e": b"", STATUS: dpkg_status({"x": "2"})}
    three = two | {STATUS: dpkg_status({"x": "2", "z": "1"})}
    del three["d/c"]
    tip: tuple[Digest, ...] = ()
    for files in (one, two, three, three):
        tip = (builder.build(files, parents=tip),)
    newest, third, second, first = describe(builder.path, tip[0], 3)
    assert (newest.stats.growth, newest.changes, newest.count_packages()) == (0, [], (0, 0, 0))
    assert [change.path for change in third.changes] == [b"/d/c", b"/" + STATUS.encode()]
    assert third.count_packages() == (1, 0, 0)
    assert [change.path for change in second.changes][::2] == [b"/d/c", b"/b"]
    assert second.count_packages() == (0, 1, 1)
    assert (second.stats.added.files, second.stats.modified.files) == (2, 2)
    assert second.stats.added.directories == 1
    assert (first.ancestor.parents, first.packages, first.stats.added.files) == ((), [], 3)
    assert first.stats.growth == sum(map(len, one.values()))


def test_counted_without_a_list(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "repo", tmp_path / "source")
    tip = builder.build({"a": b"1", "b": b"2"})
    [build] = describe(builder.path, tip, 0)
    assert (build.changes, build.stats.added.files) == ([], 2)
