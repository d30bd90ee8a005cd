# SPDX-License-Identifier: LGPL-2.1-or-later
"""A writable layer over a mounted commit (``mount --rw``): the commit below, changes above.

The commit is mounted in a directory of its own, an overlay of it and the upper directory where
the user wants it, and then the first mount is detached: the overlay holds it. So one umount(8)
takes down all, and the daemon, which learns of it, deletes what was made for this mount alone; if
it cannot any more, the user's next writable mount does (`writable`).

Root gets the kernel's overlayfs, everybody else fuse-overlayfs(1). Redirects and metadata-only
copies are off: what is above can be read without the commit below (see `upper` in the store).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse.mounts import (
    SCRATCH_SOURCE,
    Mount,
    MountError,
    errno_of_statfs,
    find_mount,
    take_down,
    unmount,
)
from ostreefs.fuse.writable import find_overlay, hold, make_base, read_record, sweep, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PLAIN = "redirect_dir=off,metacopy=off,index=off"
_FOR_BOTH = {"allow_other", "allow_root", "noexec"}
"""Options that mean something to fuse-overlayfs, too."""
_PATIENCE = 5.0


class Scratch(NamedTuple):
    """The directories of a writable mount, all absolute.

    `base` is its own; `lower` is where the commit is mounted at first; `temporary` are what nobody
    wants to keep. `lock` is a descriptor that keeps others from deleting `base`.
    """

    base: Path
    lock: int
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
            "a writable layer needs fuse-overlayfs for users other than root",
            hint="install the package fuse-overlayfs",
        )
    if upper is not None and upper.exists() and not upper.is_dir():
        raise MountError(f"the upper directory {upper} is not a directory")
    sweep()
    base, lock = make_base()
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
    return Scratch(base, lock, lower, upper, work, (work, base))


def put_over(scratch: Scratch, mount_point: Path, options: tuple[str, ...]) -> None:
    """Mount the overlay, and detach the mount below. Raises `MountError`; nothing is left then."""
    try:
        overlay = lay_over(scratch, mount_point, options)
        lower = find_mount(scratch.lower)
        if lower is not None:
            write_record(scratch.base, overlay, lower)
    finally:
        unmount(scratch.lower, lazy=True)


def lay_over(scratch: Scratch, mount_point: Path, options: tuple[str, ...]) -> Mount:
    """Mount the overlay, over whatever `lower` is. Raises `MountError`."""
    _look_alike(scratch)
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
        words = [layers, *(option for option in options if option in _FOR_BOTH)]
        command = ["fuse-overlayfs", "-o", ",".join(words)]
    done = subprocess.run(
        [*command, mount_point],
        capture_output=True,
        text=True,
        check=False,
        pass_fds=[scratch.lock],  # fuse-overlayfs keeps it for as long as it lives
    )
    reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
    overlay = find_mount(mount_point) if done.returncode == 0 else None
    if overlay is not None:
        return overlay
    raise MountError(
        f"cannot put a writable layer over {mount_point}: {reason[0]}",
        hint="the upper directory must be on a disk of its own kind: not on an overlay or FUSE",
    )


def _look_alike(scratch: Scratch) -> None:
    """Give a new upper directory the metadata of the tree's root, which it will stand for.

    What the umask or the user of this process are would otherwise be a change to the tree. An
    ordinary user could not write in a directory without all of the owner's permissions, so it has
    them in any case.
    """
    if any(scratch.upper.iterdir()):
        return
    status = scratch.lower.stat()
    mode = stat.S_IMODE(status.st_mode)
    if os.geteuid() == 0:
        os.chown(scratch.upper, status.st_uid, status.st_gid)
    else:
        mode |= stat.S_IRWXU
    for name in os.listxattr(scratch.lower):
        with suppress(OSError):  # not everyone may set all, nor has every filesystem them
            os.setxattr(scratch.upper, name, os.getxattr(scratch.lower, name))
    scratch.upper.chmod(mode)


@contextmanager
def serving(scratch: Scratch) -> Iterator[None]:
    """Around the life of the process that serves the commit below: deletes what it leaves.

    Where the mount can be used and this process ends with an error, nothing is touched: whoever
    works there must see that it is gone. So it is where fuse-overlayfs has died before.
    """
    hold(scratch.base)
    try:
        yield
    except BaseException:
        if read_record(scratch.base) is None:
            delete_temporary(scratch)
        raise
    record = read_record(scratch.base)
    overlay = None if record is None else find_overlay(record)
    if overlay is None or errno_of_statfs(overlay, _PATIENCE) == 0:
        delete_temporary(scratch)


def take_down_over(scratch: Scratch) -> None:
    """Detach the overlay that lies over a mount which is being served still."""
    record = read_record(scratch.base)
    overlay = None if record is None else find_overlay(record)
    if overlay is not None:
        with suppress(MountError):
            take_down(overlay, lazy=True)


def delete_temporary(scratch: Scratch) -> None:
    """Delete what nobody wants to keep; nothing may be mounted there any more."""
    for path in scratch.temporary:
        shutil.rmtree(path, ignore_errors=True)


def _escape(path: Path) -> str:
    r"""A path as overlayfs takes it: ``,`` ``:`` and ``\`` have a backslash before them."""
    return "".join("\\" + c if c in ",:\\" else c for c in str(path))
