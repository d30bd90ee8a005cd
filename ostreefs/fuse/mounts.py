# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mount points: whether one can be used, what is mounted where, taking a mount down.

Needs neither pyfuse3 nor a repository, so that it starts quickly.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FSTYPE = "fuse.ostreefs"
SCRATCH_SOURCE = "ostreefs-rw"
"""What a writable layer of the kernel's overlayfs is called in the table of mounts."""
SCRATCH_FSTYPE = "fuse.fuse-overlayfs"
"""The type of one that an ordinary user has made; it takes no name."""
AUTOFS = "autofs"
_DEVICE = "/dev/fuse"
_MOUNTINFO = "/proc/self/mountinfo"


class MountError(StoreError):
    """A mount that cannot be made or taken down."""


class Mount(NamedTuple):
    """A line of mountinfo: what (``REPO#REV`` for ours), where, of which type and device."""

    source: str
    target: str
    fstype: str
    device: str
    """``MAJOR:MINOR``"""
    options: str
    """Those of the filesystem, such as ``ro,user_id=0,group_id=0``"""

    @property
    def owner(self) -> int:
        """The user who made a FUSE mount, else 0."""
        found = re.search(r"(?:^|,)user_id=([0-9]+)", self.options)
        return int(found[1]) if found else 0


def iter_mounts() -> Iterator[Mount]:
    """Every mount that this process sees, see proc_pid_mountinfo(5)."""
    with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            fstype, source, options, *_ = after.rstrip("\n").split(" ")
            _, _, device, _, target, *_ = before.split(" ")
            yield Mount(_unescape(source), _unescape(target), fstype, device, options)


def find_mount(path: str | os.PathLike[str]) -> Mount | None:
    """The topmost mount at exactly this path, if there is one.

    Does not touch the mount where it can do without: one that hangs would hang us.
    """
    folder, name = os.path.split(os.path.abspath(path))
    if name and not {".", ".."} & set(os.fspath(path).split("/")):
        found = _find_resolved(os.path.join(os.path.realpath(folder), name))
        if found is not None:
            return found
    return _find_resolved(os.path.realpath(path))


def _find_resolved(target: str) -> Mount | None:
    found = None
    for mount in iter_mounts():
        if mount.target == target:
            found = mount
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def errno_of_statfs(mount: Mount, seconds: float) -> int | None:
    """The errno that a mount answers, 0 for none; None for no answer within so many seconds.

    Only statfs(2) always asks the daemon; since one that hangs does not answer, a process of its
    own looks, and is given up after a while. Who may not look into a mount always gets 0.
    """
    return _try_for(seconds, os.statvfs, mount.target)


def errno_of_listing(mount: Mount, seconds: float) -> int | None:
    """The same for a list of what is in a mount, which asks all layers of one that has several."""
    return _try_for(seconds, os.listdir, mount.target)


def _try_for(seconds: float, look: Callable[..., object], *arguments: object) -> int | None:
    """The errno with which a call fails, 0 where it does not; None when it takes too long."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            # Whoever reads our output need not wait for this process.
            os.closerange(0, os.sysconf("SC_OPEN_MAX"))
            look(*arguments)
        except OSError as error:
            status = error.errno or 0
        finally:
            os._exit(status)
    process = os.pidfd_open(child)
    try:
        if select.select([process], [], [], seconds)[0]:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.pidfd_send_signal(process, signal.SIGKILL)
        return None
    finally:
        os.close(process)


def check_mount_point(path: Path) -> None:
    """Raise `MountError` unless an empty, unmounted directory is there.

    One that waits to be mounted on when somebody looks (autofs(5)) is as good.
    """
    mount = find_mount(path)
    if mount is not None and mount.fstype != AUTOFS:
        raise MountError(
            f"{path} is already mounted ({mount.source})",
            hint=(
                f"'ostreefs umount {path}' takes it down"
                if mount.fstype == FSTYPE
                else f"it is a mount of type {mount.fstype}: mount on another, empty directory"
            ),
        )
    try:
        found = path.stat()
    except FileNotFoundError:
        raise MountError(
            f"mount point {path} does not exist", hint=f"make it with 'mkdir {path}'"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise MountError(
            f"mount point {path} is not a directory", hint="mount on an empty directory"
        )
    with os.scandir(path) as entries:
        if next(entries, None) is not None:
            raise MountError(
                f"mount point {path} is not empty", hint="mount on an empty directory"
            )


def check_fuse() -> None:
    """Raise `MountError` unless this machine and this user can mount with FUSE."""
    if not os.path.exists(_DEVICE):
        raise MountError(
            f"FUSE is not available: there is no {_DEVICE}",
            hint="load the kernel module with 'modprobe fuse'; a container needs the device",
        )
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise MountError(
            f"FUSE is not available: {_DEVICE} may not be opened by you",
            hint=f"an administrator can allow it with 'chmod 666 {_DEVICE}'",
        )
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise MountError(
            "FUSE is not available: fusermount3 is missing", hint="install the package fuse3"
        )


def find_device(resolved: str) -> str | None:
    """The device number of the mount at a resolved mount point, without touching the mount."""
    mount = _find_resolved(resolved)
    return None if mount is None else mount.device


def widen_read_ahead(resolved: str, kilobytes: int) -> None:
    """Let the kernel read further ahead in a mount than libfuse's 128 KiB; for root alone.

    Takes the resolved mount point and does not touch the mount, so that the process that is about
    to serve it may call this.
    """
    mount = _find_resolved(resolved)
    if mount is not None:
        with suppress(OSError):
            Path(f"/sys/class/bdi/{mount.device}/read_ahead_kb").write_text(f"{kilobytes}")


def unmount(path: Path, *, lazy: bool = False) -> None:
    """Take down an ostreefs mount, also one whose daemon has died.

    Raises `MountError` when there is none at the path, or when it is in use.
    """
    mount = find_mount(path)
    if mount is None:
        raise MountError(
            f"{path} is not mounted", hint="'ostreefs mounts' lists the mounts of ostreefs"
        )
    if not _is_ours(mount):
        raise MountError(
            f"{path} is a mount of type {mount.fstype}, not of ostreefs",
            hint=f"'umount {path}' takes down any mount",
        )
    take_down(mount, lazy=lazy)


def _is_ours(mount: Mount) -> bool:
    """Whether a mount is one of ours, or a writable layer over one."""
    return mount.fstype in {FSTYPE, SCRATCH_FSTYPE} or mount.source == SCRATCH_SOURCE


def take_down(mount: Mount, *, lazy: bool) -> None:
    """Take down a mount. Raises `MountError`."""
    if os.geteuid() == 0:
        command = ["umount", "--no-canonicalize", *(["--lazy"] if lazy else [])]
    else:
        command = ["fusermount3", "-u", *(["-z"] if lazy else [])]
    done = subprocess.run(
        [*command, "--", mount.target], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        hint = "whoever mounted it, or root, can take it down"
        if "busy" in reason[0]:
            hint = "close what uses it, or detach it with -l"
        raise MountError(f"cannot unmount {mount.target}: {reason[0]}", hint=hint)
