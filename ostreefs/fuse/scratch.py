# SPDX-License-Identifier: LGPL-2.1-or-later
"""A writable layer over a mounted commit (``mount --rw``): the commit below, changes above.

The commit is mounted in a directory of its own, an overlay of it and the upper directory where
the user wants it, and then the first mount is detached: the overlay holds it. So one umount(8)
takes down all, and the daemon, which learns of it, deletes what was made for this mount alone.

Root gets the kernel's overlayfs, everybody else fuse-overlayfs(1). Redirects and metadata-only
copies are off: what is above can be read without the commit below (see `upper` in the store).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from ostreefs.fuse.mounts import SCRATCH_SOURCE, MountError, find_mount, unmount

_TEMPORARY = "/var/tmp"  # noqa: S108 -- survives a reboot, and is large; mkdtemp makes it ours
_PLAIN = "redirect_dir=off,metacopy=off,index=off"


class Scratch(NamedTuple):
    """The directories of a writable mount, all absolute.

    `lower` is where the commit is mounted at first; `temporary` are what nobody wants to keep.
    """

    lower: Path
    upper: Path
    work: Path
    temporary: tuple[Path, ...]


def prepare(upper: Path | None) -> Scratch:
    """Make the directories; without `upper`, what is written is lost when the mount is gone.

    Raises `MountError` when the tools are missing or `upper` cannot be one.
    """
    if os.geteuid() != 0 and shutil.which("fuse-overlayfs") is None:
        raise MountError(
            "mount --rw needs fuse-overlayfs for users other than root",
            hint="install the package fuse-overlayfs",
        )
    if upper is not None and upper.exists() and not upper.is_dir():
        raise MountError(f"the upper directory {upper} is not a directory")
    base = Path(tempfile.mkdtemp(prefix="ostreefs-rw-", dir=_TEMPORARY))
    lower = base / "lower"
    lower.mkdir()
    if upper is None:
        upper, work = base / "upper", base / "work"
    else:
        work = upper.with_name(f".{upper.name}.work")  # on the same filesystem, as it must be
    try:
        upper.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
    except OSError:
        shutil.rmtree(base)
        raise
    return Scratch(lower, upper, work, (work, base))


def put_over(scratch: Scratch, mount_point: Path, options: tuple[str, ...]) -> None:
    """Mount the overlay, and detach the mount below. Raises `MountError`; nothing is left then."""
    layers = ",".join(
        f"{name}={_escape(path)}"
        for name, path in (
            ("lowerdir", scratch.lower),
            ("upperdir", scratch.upper),
            ("workdir", scratch.work),
        )
    )
    flags = [option for option in options if option in {"suid", "dev", "noexec"}]
    if "suid" not in flags:
        flags.append("nosuid")
    if "dev" not in flags:
        flags.append("nodev")
    if os.geteuid() == 0:
        words = [layers, _PLAIN, *flags]
        command = ["mount", "-t", "overlay", SCRATCH_SOURCE, "-o", ",".join(words)]
    else:
        command = ["fuse-overlayfs", "-o", layers]
    done = subprocess.run([*command, mount_point], capture_output=True, text=True, check=False)
    reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
    if done.returncode == 0 and find_mount(mount_point) is not None:
        unmount(scratch.lower, lazy=True)
        return
    unmount(scratch.lower, lazy=True)
    raise MountError(
        f"cannot put a writable layer over {mount_point}: {reason[0]}",
        hint="the upper directory must be on a disk of its own kind: not on an overlay or FUSE",
    )


def clean_up(scratch: Scratch) -> None:
    """Delete what was made for a mount that is gone."""
    for path in scratch.temporary:
        shutil.rmtree(path, ignore_errors=True)


def _escape(path: Path) -> str:
    r"""A path as overlayfs takes it: ``,`` ``:`` and ``\`` have a backslash before them."""
    return "".join("\\" + c if c in ",:\\" else c for c in str(path))
