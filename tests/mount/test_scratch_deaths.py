# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writable mounts of root and of ordinary users: listed, taken down, and what deaths leave."""

import errno
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.commands import (
    OURSELVES,
    Account,
    complaint,
    ostreefs,
    ostreefs_output,
    output,
    run,
)
from tests.support.mounts import clean_up, is_free, is_mounted, wait_until

pytestmark = pytest.mark.mount

_FOLDER = Path("/var/tmp")


class Scene(NamedTuple):
    """A repository with a commit on `main`, and a place to mount it, of one user."""

    home: Path
    account: Account

    @property
    def at(self) -> Path:
        return self.home / "mnt"

    def mount(self, *words: str) -> int:
        repo = ("--json", "--repo", self.home / "repo")
        said = ostreefs_output(
            *repo, "mount", "--rw", *words, "main", self.at, account=self.account
        )
        pid: int = json.loads(said)["pid"]
        return pid

    def write(self) -> None:
        output("sh", "-c", f"echo new >{self.at}/new", account=self.account)

    def listed(self) -> dict[str, Any]:
        said = json.loads(ostreefs_output("--json", "mounts", account=self.account))
        (found,) = [mount for mount in said if mount["mount_point"] == str(self.at)]
        return dict(found)

    def bases(self) -> set[str]:
        """The directories that mounts of this scene have, or have left."""
        found = set()
        for path in _FOLDER.glob("ostreefs-rw-*"):
            with suppress(OSError):  # somebody else's
                if f"{self.at}" in (path / "mount.json").read_text():
                    found.add(path.name)
        return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")


@pytest.fixture(params=["ourselves", "user"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    account, home = OURSELVES, tmp_path
    if request.param == "user":
        account = request.getfixturevalue("user")
        assert account.home is not None
        home = Path(account.home) / tmp_path.name
    output("mkdir", "-p", home / "source/usr", home / "mnt", account=account)
    output("sh", "-c", f"cd {home}/source/usr; echo old | tee old equal", account=account)
    ostreefs_output("--repo", home / "repo", "init", account=account)
    ostreefs_output(
        "--repo", home / "repo", "commit", "-b", "main", home / "source", account=account
    )
    scene = Scene(home, account)
    yield scene
    clean_up(home / "mnt", None)
    assert scene.bases() == set()


def test_it_is_listed_and_taken_down(scene: Scene) -> None:
    pid = scene.mount()
    tip = ostreefs_output("--repo", scene.home / "repo", "rev-parse", "main").decode().strip()
    found = scene.listed()
    assert found["source"] == f"{scene.home}/repo#main"
    assert (found["state"], found["pid"], found["commit"]) == ("running", pid, tip)
    assert found["seconds"] < 60
    done = ostreefs("switch", scene.at, "main", account=scene.account)
    assert "shows one commit for ever" in complaint(done)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (scene.listed()["state"], scene.listed()["pid"]) == ("hanging", pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    scene.write()
    ostreefs_output("umount", scene.at, account=scene.account)
    assert not is_mounted(scene.at)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")


def test_what_is_written_shows_in_one_of_equal_files(scene: Scene) -> None:
    pid = scene.mount()
    script = "cat equal; echo new >>old; echo; cat equal; rm equal; cat old; stat -c %h old"
    said = output("sh", "-ec", f"cd {scene.at}/usr; {script}", account=scene.account)
    assert said == b"old\n\nold\nold\nnew\n1\n"
    kill(pid, signal.SIGTERM)


def test_a_signal_takes_down_both(scene: Scene) -> None:
    pid = scene.mount("-o", "noexec")
    options = output("findmnt", "-n", "-o", "OPTIONS", "--mountpoint", scene.at)
    assert {b"rw", b"nosuid", b"nodev", b"noexec"} <= set(options.strip().split(b","))
    scene.write()
    kill(pid, signal.SIGTERM)
    assert not is_mounted(scene.at)
    assert os.listdir(scene.at) == []


def test_a_death_is_seen_and_the_next_mount_replaces_it(scene: Scene) -> None:
    kept = scene.home / "kept"
    pid = scene.mount(f"--upper={kept}")
    scene.write()
    kill(pid)
    found = scene.listed()
    assert (found["state"], found["pid"], found["commit"]) == ("dead", None, None)
    [before] = scene.bases()
    again = scene.mount(f"--upper={kept}")
    [after] = scene.bases()
    assert before != after
    assert output("cat", scene.at / "usr/old", account=scene.account) == b"old\n"
    assert output("cat", scene.at / "new", account=scene.account) == b"new\n"
    kill(again)
    ostreefs_output("umount", scene.at, account=scene.account)
    assert output("cat", kept / "new", account=scene.account) == b"new\n"


def test_umount_cleans_up_after_a_death(scene: Scene) -> None:
    pid = scene.mount()
    scene.write()
    kill(pid)
    assert len(scene.bases()) == 1
    ostreefs_output("umount", scene.at, account=scene.account)
    assert not is_mounted(scene.at)


def test_what_lies_around_is_swept_by_the_next_mount(scene: Scene) -> None:
    """Here umount(8) has taken the mount down, which knows nothing of what we keep."""
    kill(scene.mount())
    [left] = scene.bases()
    tool = (
        ["umount"] if scene.account is OURSELVES and os.geteuid() == 0 else ["fusermount3", "-u"]
    )
    assert run(*tool, scene.at, account=scene.account).returncode == 0
    wait_until(lambda: is_free(_FOLDER / left), "the end of fuse-overlayfs")
    pid = scene.mount()
    assert left not in scene.bases()
    kill(pid, signal.SIGTERM)


def test_fuse_overlayfs_dies(user: Account, tmp_path: Path) -> None:
    assert user.home is not None
    home = Path(user.home) / tmp_path.name
    output("mkdir", "-p", home / "source", home / "mnt", account=user)
    repo = ("--repo", home / "repo")
    ostreefs_output(*repo, "init", account=user)
    ostreefs_output(*repo, "commit", "-b", "main", home / "source", account=user)
    scene = Scene(home, user)
    daemon = scene.mount()
    overlay = output("pgrep", "-f", f"fuse-overlayfs.*{scene.at}").split()
    for pid in overlay:
        kill(int(pid))
    wait_until(lambda: not Path(f"/proc/{daemon}").exists(), "the end of the daemon")
    assert run("ls", scene.at, account=user).returncode != 0, os.strerror(errno.ENOTCONN)
    assert scene.listed()["state"] == "dead"
    kill(scene.mount(), signal.SIGTERM)
    assert scene.bases() == set()
