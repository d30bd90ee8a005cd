# SPDX-License-Identifier: LGPL-2.1-or-later
"""The quickstart and `make clean`: what they remove, and what they must not."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support.commands import OURSELVES, Account, Done, run
from tests.support.mounts import is_mounted, mounted_in_background, wait_until
from tests.support.project import ROOT
from tests.support.trees import write

SCRIPT = ROOT / "docs/quickstart.sh"


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """With `ostreefs` among his commands, and where `make` looks for it."""
    folder = tmp_path / "checkout/.venv/bin"
    script = f'#!/bin/sh\nexec "{sys.executable}" -m ostreefs "$@"\n'
    write(folder / "ostreefs", script.encode(), 0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return Account(OURSELVES.python, OURSELVES.path, variables={"PATH": path})


def quickstart(account: Account, tree: Path, folder: Path) -> Done:
    variables = account.variables | {"TREE": str(tree), "QUICKSTART_DIR": str(folder)}
    return run(SCRIPT, account=Account(account.python, account.path, variables=variables))


@pytest.mark.mount
def test_twice(account: Account, tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d", "e"):
        write(tmp_path / "tree" / name, name.encode())
    for _ in range(2):
        done = quickstart(account, tmp_path / "tree", tmp_path / "quick")
        assert done.returncode == 0, done
        assert b"Everything agrees." in done.stdout
        assert not is_mounted(tmp_path / "quick/mnt")


@pytest.mark.parametrize("name", ["repo", "changed", "other"])
def test_a_directory_of_the_user_s(
    account: Account, small_source: Path, tmp_path: Path, name: str
) -> None:
    write(tmp_path / "mine" / name / "data", b"precious")
    done = quickstart(account, small_source, tmp_path / "mine")
    assert done.returncode == 1
    assert b"is not empty" in done.stderr
    assert (tmp_path / "mine" / name / "data").read_bytes() == b"precious"
    assert os.listdir(tmp_path / "mine") == [name]


@pytest.mark.parametrize("name", ["", "repo", "changed/below"])
def test_a_tree_in_the_directory(account: Account, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "quick"
    write(folder / ".made-by-ostreefs-quickstart")
    write(folder / name / "data", b"precious")
    done = quickstart(account, folder / name, folder)
    assert done.returncode == 1
    assert done.stderr.startswith(b"quickstart: error: TREE=")
    assert (folder / name / "data").read_bytes() == b"precious"


@pytest.mark.mount
def test_clean_after_a_daemon_died(
    account: Account, small_repository: Path, tmp_path: Path
) -> None:
    """Its mount is still there; mountpoint(1) no longer sees it."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    checkout = tmp_path / "checkout"
    (checkout / "quickstart").mkdir()
    mnt = checkout / "quickstart/mnt"
    with mounted_in_background(small_repository, "--all", at=mnt) as mount:
        os.kill(mount.pid, signal.SIGKILL)
        wait_until(lambda: not _is_served(mnt), "the daemon's death")
        assert is_mounted(mnt)
        done = run("make", "-f", ROOT / "Makefile", "clean", account=account, cwd=checkout)
        assert (done.returncode, done.stderr) == (0, b"")
        assert not is_mounted(mnt)
    assert not (checkout / "quickstart").exists()


def _is_served(path: Path) -> bool:
    try:
        os.statvfs(path)
    except OSError:
        return False
    return True
