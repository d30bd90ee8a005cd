# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bisection over a real mount, and the page about it."""

import json
from pathlib import Path

import pytest

from tests.pages.markup import check_page
from tests.support.builds import Builder
from tests.support.commands import ostreefs_output


@pytest.mark.mount
def test_page_of_a_bisection(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "repo", tmp_path / "source")
    commits = [builder.build({"n": b"0"}, subject="Build 0")]
    for number in range(1, 12):
        files = {"n": b"%d" % number} | ({"broken": b"<b>"} if number > 6 else {})
        commits.append(
            builder.build(files, subject=f"Build {number}", parents=commits[-1:], ref="main")
        )
    page = tmp_path / "page.html"

    def bisect(*words: str) -> str:
        done = ostreefs_output("--repo", builder.path, "bisect", *words)
        return done.decode()

    bisect("start", f"--mount={tmp_path / 'here'}", "main", commits[0].hex())
    try:
        drawn = bisect("visualize").splitlines()
        assert drawn[0].startswith(f"* bad       {commits[-1].hex()[:12]}  Build 11")
        assert drawn[-1].startswith("* good")
        bisect("run", "sh", "-c", "cat $OSTREEFS_MOUNT/broken; test ! -e $OSTREEFS_MOUNT/broken")
        assert bisect("report", f"--html={page}") == ""
        report = json.loads(bisect("report", "--json"))
        assert bisect("report", "--html=-") == page.read_text()
    finally:
        bisect("reset")
    assert report["culprit"] == commits[7].hex()
    texts = check_page(page.read_text()).texts
    assert texts[texts.index("The first bad commit") + 1] == "Build 7"
    assert "<b>" in texts
    assert "1 file added" in texts
