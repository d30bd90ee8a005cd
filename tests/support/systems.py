# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small trees in which commands really run: one static program under many names."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

_NAMES = (
    *("cat", "echo", "env", "false", "grep", "id", "ip", "kill", "ls", "mkdir", "mount", "nohup"),
    *("ps", "pwd", "readlink", "rm", "rmdir", "sh", "sleep", "stat", "stty", "touch", "true"),
    *("tty", "umount", "uname", "wc"),
)
_MOUNT_POINTS = ("dev", "home", "proc", "run", "sys", "tmp", "var")


def make_system(root: Path, mount_points: Sequence[str] = _MOUNT_POINTS) -> Path:
    """Make a tree of about 2 MB with a shell and tools, as distributions lay theirs out today."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs a static busybox")
    folders = ("etc", "root", "usr/bin", "usr/share", *mount_points)
    for folder in folders:
        (root / folder).mkdir(parents=True)
    shutil.copy2(busybox, root / "usr/bin/busybox")
    for name in _NAMES:
        (root / "usr/bin" / name).symlink_to("busybox")
    (root / "bin").symlink_to("usr/bin")
    write_account(root, "root:x:0:0:root:/root:/bin/sh")
    (root / "etc/group").write_text("root:x:0:\n")
    if "var" in mount_points:
        (root / "var/lib/pkg").mkdir(parents=True)
        (root / "var/lib/pkg/list").write_text("busybox\n")
        (root / "var/tmp").mkdir()
        (root / "var/tmp").chmod(0o1777)
        (root / "var/run").symlink_to("../run")
    return root


def write_account(root: Path, *lines: str) -> None:
    """Make these the users of a tree."""
    (root / "etc/passwd").write_text("".join(f"{line}\n" for line in lines))


def make_old_system(root: Path) -> Path:
    """One that was not made to be mounted: programs in /bin, and no directory to mount on."""
    make_system(root, ())
    (root / "bin").unlink()
    os.rename(root / "usr/bin", root / "bin")
    return root
