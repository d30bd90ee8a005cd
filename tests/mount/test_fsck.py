# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking and repairing a repository while it is mounted and committed to."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import OURSELVES, command, ostreefs, ostreefs_output
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import mounted
from tests.support.trees import make_small_tree, write

pytestmark = pytest.mark.mount


def test_beside_a_mount_and_commits(tmp_path: Path) -> None:
    repository, source = init_repository(tmp_path / "repo"), make_small_tree(tmp_path / "source")
    commit = commit_directory(repository, source)
    tool = source / "usr/bin/tool"
    words = command(f"--repo={repository}", "commit", "-b", "busy", tmp_path / "busy")
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        for number in range(5):
            write(tmp_path / "busy/file", b"%d" % number)
            busy = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=OURSELVES.environment())
            for option in ("-q", "--quick"):
                ostreefs_output(f"--repo={repository}", "fsck", option)
            assert busy.wait() == 0
        digest = os.getxattr(mount.path / "usr/bin/tool", "user.ostreefs.object").decode()
        (repository / "objects" / digest[:2] / digest[2:]).write_bytes(b"damaged")
        done = ostreefs(f"--repo={repository}", "fsck", "--repair", f"--from={source}")
        assert (done.returncode, done.stderr) == (0, b"")
        assert f"fsck: a mount shows commit {commit}".encode() in done.stdout
        assert (mount.path / "usr/bin/tool").read_bytes() == tool.read_bytes()


def test_deleting_does_not_wait_for_mounts(tmp_path: Path) -> None:
    """A mount that needs what was deleted says EIO, and goes on."""
    repository, source = init_repository(tmp_path / "repo"), make_small_tree(tmp_path / "source")
    commit_directory(repository, source)
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        digest = os.getxattr(mount.path / "usr/bin/tool", "user.ostreefs.object").decode()
        (repository / "objects" / digest[:2] / digest[2:]).write_bytes(b"damaged")
        assert ostreefs(f"--repo={repository}", "fsck", "--delete").returncode == 3
        mount.expect(f"{digest} is missing")
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "usr/bin/tool").read_bytes()
        assert (mount.path / "usr/share/same").read_bytes() == b"same content"
