# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mount through which every candidate is seen: one place, one process, many commits.

A commit is shown by a request to the process that serves the mount (`fuse.control`), which takes
milliseconds whatever the commit holds. Where there is no such process, after a reboot for
instance, one is started. Objects are checked against their digests when they are opened first, so
that damage is never taken for the fault that is looked for.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse import control, mounts
from ostreefs.fuse.daemon import run_in_background
from ostreefs.fuse.leftovers import detach_dead
from ostreefs.fuse.mounts import FSTYPE, MountError
from ostreefs.fuse.options import parse_options
from ostreefs.fuse.status import DEAD, find_status

if TYPE_CHECKING:
    from collections.abc import Callable

_VERIFIED = "verify=open"
_ID = re.compile("[0-9a-f]{64}")


class Seen(NamedTuple):
    """What the mount shows."""

    commit: str
    """An id in hex."""
    damage: str | None = None
    """What of it could not be shown since it is damaged, if somebody asked for it."""


class Shown:
    """The mount of one bisection.

    `prepare` is called in the process that is to serve it, before it does.
    """

    def __init__(
        self,
        repository: Path,
        place: Path,
        options: tuple[str, ...],
        prepare: Callable[[], None],
    ) -> None:
        self.place = place
        self._repository = repository
        self._options = options
        self._prepare = prepare

    def show(self, commit: str) -> None:
        """Let the mount show a commit; what is opened from then on is of it.

        Raises `MountError`, for instance when the place is used by something else.
        """
        if self._is_ours():
            try:
                control.ask(self.place, {"verb": "switch", "revision": commit})
            except MountError:
                if not detach_dead(self.place):
                    raise
            else:
                return
        detach_dead(self.place)
        self.place.mkdir(mode=0o755, parents=True, exist_ok=True)
        mounts.check_mount_point(self.place)
        mounts.check_fuse()
        run_in_background(lambda ready: self._serve(commit, ready))

    def find(self) -> Seen | None:
        """What is shown; None when there is no mount, or nobody serves it any more.

        Raises `MountError` when something else is to be seen there.
        """
        mount = mounts.find_mount(self.place)
        if mount is None or mount.fstype == mounts.AUTOFS:
            return None
        if not self._made(mount):
            raise MountError(
                f"{self.place} shows something else: {mount.source} ({mount.fstype})",
                hint="take that down first",
            )
        try:
            answer = control.ask(self.place, {"verb": "status"})
        except MountError:
            if find_status(mount).state == DEAD:
                return None
            raise
        return Seen(answer["commit"], answer.get("damage"))

    def hide(self, *, lazy: bool = False) -> None:
        """Take the mount down if there is one; never what somebody else has mounted there.

        Raises `MountError` when it is in use, or below another one.
        """
        if self._is_ours():
            mounts.unmount(self.place, lazy=lazy)
            return
        place = os.path.realpath(self.place)
        if any(each.target == place and self._made(each) for each in mounts.iter_mounts()):
            raise MountError(
                f"something else is mounted over the candidate at {self.place}",
                hint="take that down first",
            )

    def _is_ours(self) -> bool:
        """Whether the mount that is to be seen is one that we have made."""
        mount = mounts.find_mount(self.place)
        return mount is not None and self._made(mount)

    def _made(self, mount: mounts.Mount) -> bool:
        """Whether this is of our repository, and of an id, as nobody types it."""
        source = str(self._repository).encode("ascii", "backslashreplace").decode()
        repository, _, commit = mount.source.rpartition("#")
        return (
            mount.fstype == FSTYPE and repository == source and _ID.fullmatch(commit) is not None
        )

    def _serve(self, commit: str, ready: Callable[[], None]) -> None:
        from ostreefs.fuse.serve import MountRequest, serve  # noqa: PLC0415 -- in the daemon alone

        self._prepare()
        options = parse_options([_VERIFIED, *self._options])
        serve(MountRequest(self._repository, commit, self.place, options), ready)


def default_place(name: str, repository: Path) -> Path:
    """Where the bisection of this name shows its candidates: it goes with a reboot.

    Every repository has places of its own, so that all may have one that is called the same.

    The directory above is made; it is not that of `fuse.rooms`, where everything goes with the
    process that made it. Raises `MountError` when somebody else has it.
    """
    hall = _choose_hall()
    with suppress(FileExistsError):
        hall.mkdir(0o711)
    found = hall.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise MountError(
            f"{hall} is not a directory that you alone may write",
            hint="remove it, or name a directory of yours with --mount=DIR",
        )
    return hall / f"{name}-{zlib.crc32(os.fsencode(repository)):08x}"


def _choose_hall() -> Path:
    user = os.geteuid()
    runtime = "/run" if user == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime, "ostreefs-bisect")
    return Path(f"/tmp/ostreefs-bisect-{user}")  # noqa: S108 -- looked at before it is used


def remove_place(place: Path) -> None:
    """Delete the directory that was made for a mount, if nothing is in it."""
    with suppress(OSError):
        place.rmdir()
