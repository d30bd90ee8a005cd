# SPDX-License-Identifier: LGPL-2.1-or-later
"""A regression in a history of real Debian trees, found by running their own programs."""

import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from ostreefs.fuse.mounts import unmount
from tests.support.commands import OURSELVES, Account, command, ostreefs, ostreefs_output, run
from tests.support.debian import DebianTree
from tests.support.mounts import is_mounted

pytestmark = pytest.mark.mount

ADDED = ("grep", "sed", "hostname", "findutils", "gzip", "tar", "diffutils", "login", "mawk")
"""What is added build by build."""
BROKEN, WITHOUT_SHELL = 6, 4
"""The build that loses a library which ``cp`` needs, and one that has no shell."""


class History(NamedTuple):
    """The commits of a branch `debian`, the oldest first."""

    repository: Path
    commits: list[str]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Twelve builds."""
    if shutil.which("dpkg-query") is None:
        pytest.skip("needs a Debian system, whose packages these are")
    place = tmp_path_factory.mktemp("debian")
    repository = place / "repo"
    ostreefs_output("--repo", repository, "init", "--mode=bare-user")
    tree = DebianTree(place / "tree")
    commits: list[str] = []

    def commit(subject: str) -> None:
        words = ("commit", "-b", "debian", "-s", subject, place / "tree")
        commits.append(ostreefs_output("--repo", repository, *words).decode().strip())

    tree.install("coreutils", "dash")
    commit("coreutils and dash")
    for package in ADDED:
        added = tree.install(package)
        if len(commits) == WITHOUT_SHELL:
            (tree.path / "usr/bin/dash").rename(place / "dash")
        if len(commits) == WITHOUT_SHELL + 1:
            (place / "dash").rename(tree.path / "usr/bin/dash")
        if len(commits) == BROKEN:
            tree.remove("libacl1")
        commit(f"add {', '.join(added)}")
    return History(repository, commits)


@pytest.fixture(params=["ourselves", "ordinary user"])
def tester(request: pytest.FixtureRequest, user: Account) -> Account:
    return OURSELVES if request.param == "ourselves" else user


def test_a_lost_library_is_found(history: History, tester: Account) -> None:
    with tempfile.TemporaryDirectory(dir=tester.home) as folder:
        place = Path(folder)
        shutil.copytree(history.repository, place / "repo", symlinks=True)
        if tester.uid is not None:
            run("chown", "-R", f"{tester.uid}", place)
        ours = ("--repo", place / "repo", "bisect")
        try:
            ends = ("debian", history.commits[0])
            ostreefs_output(*ours, "start", f"--mount={place}/mnt", *ends, account=tester)
            test = ("dash", "-c", "cp /etc/passwd /tmp/copy || cp --version")
            done = ostreefs(*ours, "run", "--in-tree", *test, account=tester)
            report = json.loads(ostreefs_output(*ours, "--json", "report", account=tester))
            ostreefs_output(*ours, "reset", account=tester)
        finally:
            if is_mounted(place / "mnt"):
                unmount(place / "mnt", lazy=True)
    assert done.returncode == 0, done
    assert report["culprit"] == history.commits[BROKEN], done
    found = {each["commit"]: each for each in report["candidates"]}
    without = found[history.commits[WITHOUT_SHELL]]
    assert (without["verdict"], without["reason"]) == ("skipped", "it has no dash")
    broken = found[history.commits[BROKEN]]
    assert "libacl.so.1: cannot open shared object file" in broken["output"]
    removed = [each["name"] for each in report["changes"]["packages"] if each["old"]]
    assert removed == ["libacl1"]
    assert b"  removed     libacl1 " in done.stdout
    assert report["tested"] <= 5


def test_what_a_command_says_after_a_signal_is_no_verdict(
    history: History, tmp_path: Path
) -> None:
    ours = ("--repo", history.repository, "bisect")
    ends = ("debian", history.commits[0])
    ostreefs_output(*ours, "start", f"--mount={tmp_path}/mnt", *ends)
    script = "trap 'exit 1' TERM; echo ready; while :; do sleep 0.1; done"
    words = command(*ours, "run", "--in-tree", "dash", "-c", script)
    try:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, **OURSELVES.popen_arguments())
        assert process.stdout is not None
        assert b"ready\n" in process.stdout
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.stdout.close()
        assert process.wait(timeout=30) == 130
        assert not is_mounted(tmp_path / "mnt")
        log = json.loads(ostreefs_output(*ours, "--json", "log"))
        assert {each["status"] for each in log["verdicts"]} == {None}
    finally:
        ostreefs_output(*ours, "reset")


def test_a_command_that_no_build_has(history: History, tmp_path: Path) -> None:
    ours = ("--repo", history.repository, "bisect")
    ends = ("debian", history.commits[0])
    ostreefs_output(*ours, "start", f"--mount={tmp_path}/mnt", *ends)
    try:
        done = ostreefs(*ours, "run", "--in-tree", "gnome-shell", "--version")
        assert done.returncode == 1
        assert b"ostreefs: error: gnome-shell: not in the good commit " in done.stderr
    finally:
        ostreefs_output(*ours, "reset")
