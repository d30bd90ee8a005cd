# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a server in the background: the caller returns when it is ready, or with its reason."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from ostreefs_store.errors import StoreError

log = logging.getLogger(__name__)

Ready = Callable[[], None]


def run_in_background(
    serve: Callable[[Ready], None],
    *,
    keep: Collection[int] = (),
    meanwhile: Callable[[], object] | None = None,
) -> int:
    """Fork; the child calls `serve`, which calls what it is given once it is ready.

    Returns the child's process id when it is ready. What `serve` raises before that is raised
    here. The child leaves the session, keeps neither a terminal nor any descriptor of the caller's
    but those in `keep`, and the standard ones until it is ready, and never returns. `meanwhile` is
    called here while the child makes itself ready.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _serve(serve, writing, keep)
    os.close(writing)
    if meanwhile is not None:
        meanwhile()
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    if answer:
        error = pickle.loads(answer)  # noqa: S301 -- our own child's
        if error is None:
            return child
        os.waitpid(child, 0)
        raise error
    _, status = os.waitpid(child, 0)
    raise StoreError(
        f"the daemon died before it was ready (wait status {status})",
        hint="'mount --foreground' shows what it says; if memory ran out, 'dmesg' does",
    )


def _serve(serve: Callable[[Ready], None], pipe: int, keep: Collection[int]) -> None:
    """The child's life."""
    status = 70
    is_ready = False

    def ready() -> None:
        nonlocal is_ready
        is_ready = True
        # Not before: an automount point lets nobody pass but the process group of systemd.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        _tell(pipe, None)

    try:
        close_all_but({pipe, *keep})
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.chdir("/")
        serve(ready)
        status = 0
    except BaseException as error:
        if is_ready:
            log.exception("the daemon dies")
        else:
            _tell(pipe, error)
    finally:
        os._exit(status)


def close_all_but(kept: Collection[int]) -> None:
    """Close what was inherited: a lock or a pipe of the caller's would be held by the daemon."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in kept:
            with suppress(OSError):  # the one that listed them
                os.close(fd)


def _tell(pipe: int, error: BaseException | None) -> None:
    try:
        message = pickle.dumps(error)
        pickle.loads(message)  # noqa: S301 -- an error that cannot be rebuilt fails here
    except Exception:  # noqa: BLE001 -- whatever an exception's constructor makes of it
        message = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    os.write(pipe, message)
    os.close(pipe)
