# SPDX-License-Identifier: LGPL-2.1-or-later
"""`ostreefs mounts`: what is mounted where, who serves it, and how that one is."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostreefs.fuse import control, mounts
from tests.support.commands import OURSELVES, Account, ostreefs_output
from tests.support.mounts import Mounted, clean_up, mounted, mounted_in_background, wait_until

pytestmark = pytest.mark.mount


def listed(path: Path, account: Account = OURSELVES) -> dict[str, Any]:
    """What is said of the mount at a path."""
    found = json.loads(ostreefs_output("--json", "mounts", account=account))
    [mount] = [item for item in found if item["mount_point"] == str(path)]
    return dict(mount)


def line_of(path: Path) -> list[str]:
    headings, *lines = ostreefs_output("mounts").decode().splitlines()
    assert headings.split() == ["MOUNTPOINT", "SOURCE", "COMMIT", "PID", "SINCE", "STATE"]
    [line] = [line for line in lines if line.startswith(f"{path} ")]
    return line.split()


@pytest.fixture
def mount(small_repository: Path, tmp_path: Path) -> Iterator[Mounted]:
    with mounted(small_repository, "main", at=tmp_path / "mnt") as mount:
        yield mount


def test_one_commit(mount: Mounted, small_repository: Path) -> None:
    found = listed(mount.path)
    assert 0 <= found.pop("seconds") < 60
    assert abs(found.pop("since") - time.time()) < 60
    commit = os.getxattr(mount.path, "user.ostreefs.commit").decode()
    assert found == {
        "mount_point": str(mount.path),
        "source": f"{small_repository}#main",
        "state": "running",
        "pid": mount.pid,
        "uid": os.geteuid(),
        "commit": commit,
    }
    path, source, shown, pid, *_, state = line_of(mount.path)
    assert (path, source) == (str(mount.path), f"{small_repository}#main")
    assert (shown, pid, state) == (commit[:12], str(mount.pid), "running")


def test_all_commits(small_repository: Path, tmp_path: Path) -> None:
    with mounted_in_background(small_repository, "--all", at=tmp_path / "mnt") as mount:
        found = listed(mount.path)
        assert (found["state"], found["pid"], found["commit"]) == ("running", mount.pid, None)
        assert line_of(mount.path)[2] == "all"


@pytest.mark.root
def test_a_writable_one(small_repository: Path, tmp_path: Path) -> None:
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    words = ("--json", "--repo", small_repository, "mount", "--rw", "main", mnt)
    daemon = json.loads(ostreefs_output(*words))["pid"]
    try:
        assert listed(mnt)["state"] == "running"
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: listed(mnt)["state"] == "dead", "the end of the daemon")
    finally:
        overlay = mounts.find_mount(mnt)
        clean_up(mnt, None)
        if overlay is not None:
            [upper] = re.findall(r"upperdir=([^,]+)", overlay.options)
            shutil.rmtree(Path(upper).parent)  # who was killed could not


@pytest.mark.root
def test_of_somebody_else(small_repository: Path, user: Account) -> None:
    """An ordinary user sees what is mounted, and who serves it; that is all."""
    assert user.home is not None
    with mounted(small_repository, "main", at=user.home / "root's") as mount:
        found = listed(mount.path, user)
        assert (found["state"], found["pid"], found["uid"]) == ("running", mount.pid, 0)
        assert (found["commit"], found["since"]) == (None, None)


@pytest.mark.root
def test_root_sees_mounts_into_which_he_may_not_look(
    small_repository: Path, user: Account
) -> None:
    assert user.home is not None
    readable = user.home / "readable"
    ostreefs_output("--repo", readable, "init", account=user)
    (user.home / "seen by root").mkdir()
    os.chown(user.home / "seen by root", 65534, 65534)
    ostreefs_output(
        "--repo", readable, "commit", "-b", "x", user.home / "seen by root", account=user
    )
    with mounted(readable, "x", at=user.home / "user's", account=user) as mount:
        with pytest.raises(PermissionError):
            os.listdir(mount.path)
        found = listed(mount.path)
        assert (found["state"], found["pid"], found["uid"]) == ("running", mount.pid, 65534)
        assert len(found["commit"]) == 64


def test_a_process_that_hangs(mount: Mounted) -> None:
    """It hangs nobody who asks, and is named."""
    os.kill(mount.pid, signal.SIGSTOP)
    try:
        found = listed(mount.path)
    finally:
        os.kill(mount.pid, signal.SIGCONT)
    assert (found["state"], found["pid"], found["commit"]) == ("hanging", mount.pid, None)
    assert listed(mount.path)["state"] == "running"


def test_a_process_that_has_died(small_repository: Path, tmp_path: Path) -> None:
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    said = ostreefs_output("--json", "--repo", small_repository, "mount", "main", mnt)
    try:
        daemon = json.loads(said)["pid"]
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: listed(mnt)["state"] == "dead", "the end of the daemon")
        found = listed(mnt)
        assert (found["pid"], found["commit"], found["since"]) == (None, None, None)
        assert line_of(mnt)[2:] == ["-", "-", "-", "dead"]
    finally:
        clean_up(mnt, None)


IMPOSTOR = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind({address!r})
s.listen()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.root
def test_nobody_can_speak_for_a_mount(mount: Mounted, user: Account) -> None:
    """Anyone can listen where a daemon would; who did not make the mount is not believed."""
    found = mounts.find_mount(mount.path)
    assert found is not None
    code = IMPOSTOR.format(address=control.address("0:99999"))
    impostor = subprocess.Popen(
        [user.python, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **user.popen_arguments(),
    )
    assert impostor.stdout is not None
    impostor.stdout.readline()
    try:
        with (
            pytest.raises(ConnectionRefusedError, match="somebody else"),
            control.connect(found._replace(device="0:99999"), 10),
        ):
            pass
    finally:
        impostor.communicate()
