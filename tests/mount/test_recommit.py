# SPDX-License-Identifier: LGPL-2.1-or-later
"""Committing what is mounted: its numbers and times come back with other files behind them."""

import json
from pathlib import Path

import pytest

from tests.support.commands import Word, ostreefs_output
from tests.support.mounts import mounted
from tests.support.trees import make_small_tree, write

pytestmark = pytest.mark.mount


def test_two_mounts_at_one_place(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    ostreefs_output("init", "--repo", repo)
    for name in ("one", "two"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "f").write_text(name)
    (tmp_path / "two/d/new").write_text("new")
    roots = {}
    for name in ("one", "two"):
        ostreefs_output("commit", "--repo", repo, "-b", name, tmp_path / name)
        with mounted(repo, name, at=tmp_path / "mnt") as mount:
            ostreefs_output("commit", "--repo", repo, "-b", f"again/{name}", mount.path)
        roots[name] = ostreefs_output("diff", "--repo", repo, name, f"again/{name}")
    assert roots == {"one": b"", "two": b""}


def test_a_mount_is_committed_without_reading(tmp_path: Path) -> None:
    repo, source = tmp_path / "repo", make_small_tree(tmp_path / "source")
    ostreefs_output("init", "--repo", repo)
    ostreefs_output("commit", "--repo", repo, "-b", "main", source)
    write(tmp_path / "more/etc/more", b"more")
    commit: list[Word] = ["commit", "--json", "--repo", repo]
    with mounted(repo, "main", at=tmp_path / "mnt") as mount:
        whole = json.loads(ostreefs_output(*commit, "-b", "whole", mount.path))
        part = json.loads(ostreefs_output(*commit, "-b", "part", mount.path / "usr"))
        trees = (f"--tree=dir={mount.path}", f"--tree=dir={tmp_path / 'more'}")
        merged = json.loads(ostreefs_output(*commit, "-b", "merged", *trees))
        read = json.loads(ostreefs_output(*commit, "-b", "read", "--checksum", mount.path))
        changed = json.loads(ostreefs_output(*commit, "-b", "x", "--owner-uid=7", mount.path))
    assert (whole["files_read"], part["files_read"], merged["files_read"]) == (0, 0, 1)
    assert read["files_read"] == changed["files_read"] == 7
    root = json.loads(ostreefs_output("show", "--json", "--repo", repo, "main"))["root"]
    assert whole["root"] == read["root"] == root
    assert changed["root"] != root
    listed = json.loads(ostreefs_output("ls", "--json", "-d", "--repo", repo, "main", "/usr"))
    assert part["root"] == listed[0]["digest"]
    changes = ostreefs_output("diff", "--repo", repo, "main", "merged").split()
    assert changes == [b"A", b"/etc/more"]


def test_a_mount_of_another_repository_is_read(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    for name in ("one", "two"):
        ostreefs_output("init", "--repo", tmp_path / name)
    ostreefs_output("commit", "--repo", tmp_path / "one", "-b", "main", source)
    with mounted(tmp_path / "one", "main", at=tmp_path / "mnt") as mount:
        words = ("commit", "--json", "--repo", tmp_path / "two", "-b", "main", mount.path)
        first = json.loads(ostreefs_output(*words))
        again = json.loads(ostreefs_output(*words))
    assert (first["files_read"], again["files_read"]) == (7, 0)
    assert first["root"] == again["root"]
