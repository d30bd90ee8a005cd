# SPDX-License-Identifier: LGPL-2.1-or-later
"""The mount through which every candidate is seen: one place, one process, many commits.

A commit is shown by a request to the process that serves the mount (`fuse.control`), which takes
milliseconds whatever the commit holds. Where there is no such process, after a reboot for
instance, one is started. Objects are checked against their digests when they are opened first, so
that damage is never taken for the fault that is looked for.
"""

from __future__ import annotations

import os
import stat
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
        """What is shown; None when there is no mount, or nobody serves it any more."""
        mount = mounts.find_mount(self.place)
        if mount is None or not self._is_ours():
            return None
        try:
            answer = control.ask(self.place, {"verb": "status"})
        except MountError:
            if find_status(mount).state == DEAD:
                return None
            raise
        return Seen(answer["commit"], answer.get("damage"))

    def hide(self, *, lazy: bool = False) -> None:
        """Take the mount down if there is one. Raises `MountError` when it is in use."""
        if self._is_ours():
            mounts.unmount(self.place, lazy=lazy)

    def _is_ours(self) -> bool:
        """Whether a mount of this repository is there; one of all commits is none."""
        mount = mounts.find_mount(self.place)
        if mount is None or mount.fstype != FSTYPE:
            return False
        source = str(self._repository).encode("ascii", "backslashreplace").decode()
        return mount.source.startswith(f"{source}#")

    def _serve(self, commit: str, ready: Callable[[], None]) -> None:
        from ostreefs.fuse.serve import MountRequest, serve  # noqa: PLC0415 -- in the daemon alone

        self._prepare()
        options = parse_options([_VERIFIED, *self._options])
        serve(MountRequest(self._repository, commit, self.place, options), ready)


def default_place(name: str) -> Path:
    """Where the bisection of this name shows its candidates: it goes with a reboot.

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
    return hall / name


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
