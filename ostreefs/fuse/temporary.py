# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mount for as long as a process needs it, taken down whatever becomes of that process.

The daemon holds one end of a pipe, we the other: when ours is closed, by us or because we were
killed, the daemon unmounts and deletes the directory that was made for the mount.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from ostreefs.fuse.daemon import run_in_background
from ostreefs.fuse.mounts import (
    MountError,
    check_fuse,
    check_mount_point,
    find_mount,
    unmount,
)
from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.rooms import Room, make_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def temporary_mount(
    repository: Path,
    revision: str,
    *,
    mountpoint: Path | None = None,
    options: MountOptions | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[Path]:
    """Mount a commit; the directory, absolute, in which it can be used until the block ends.

    That is `mountpoint`, an empty directory, or a new one in the user's runtime directory, which
    is deleted in the end. Whatever still uses the mount then gets ENOTCONN. `meanwhile` is called
    while the daemon makes itself ready. Raises `StoreError` and `OSError` as a mount does.
    """
    check_fuse()
    with ExitStack() as stack:
        if mountpoint is None:
            room = make_room()
            stack.callback(room.leave)
            stack.callback(room.remove)
            place = room.make("tree")
        else:
            from ostreefs.fuse.leftovers import detach_dead  # noqa: PLC0415 -- loads 10 ms more

            room = None
            place = mountpoint.absolute()
            detach_dead(place)
            check_mount_point(place)
        chosen = options or MountOptions()
        serve = _server(repository.absolute(), revision, place, chosen, room)
        stack.callback(_make_sure, place)
        stack.enter_context(_running(serve, room, meanwhile))
        yield place


@contextmanager
def _running(
    serve: Callable[[int, Callable[[], None]], None],
    room: Room | None,
    meanwhile: Callable[[], object] | None,
) -> Iterator[None]:
    """A daemon that ends when the block does, or when we die."""
    reading, writing = os.pipe()
    keep = [reading] if room is None else [reading, room.lock]
    try:
        daemon = run_in_background(
            lambda ready: serve(reading, ready), keep=keep, meanwhile=meanwhile
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        yield
    finally:
        os.close(writing)
        with suppress(ChildProcessError):  # somebody has waited for all of our children
            os.waitpid(daemon, 0)


def _server(
    repository: Path, revision: str, place: Path, options: MountOptions, room: Room | None
) -> Callable[[int, Callable[[], None]], None]:
    """What the daemon does, with its end of the pipe."""

    def run(lifeline: int, ready: Callable[[], None]) -> None:
        from ostreefs.fuse.serve import MountRequest, serve  # noqa: PLC0415 -- in the daemon alone

        try:
            serve(MountRequest(repository, revision, place, options, lifeline=lifeline), ready)
        finally:
            if room is not None:
                room.remove()

    return run


def _make_sure(place: Path) -> None:
    """Take the mount away that a daemon which was killed has left."""
    if find_mount(place) is not None:
        with suppress(MountError):
            unmount(place, lazy=True)
