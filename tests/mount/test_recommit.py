# SPDX-License-Identifier: LGPL-2.1-or-later
"""Committing what is mounted: its numbers and times come back with other files behind them."""

from pathlib import Path

import pytest

from tests.support.commands import ostreefs_output
from tests.support.mounts import mounted

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
