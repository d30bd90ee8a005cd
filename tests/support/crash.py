# SPDX-License-Identifier: LGPL-2.1-or-later
"""Operations in a child process: killed at any trace point, or run as somebody else."""

import faulthandler
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ostreefs_store import durable

T = TypeVar("T")

_TOKENS_MAX = 60_000


def dies_after(operation: Callable[[], object], points: int) -> bool:
    """Run an operation in a child that is killed at the trace point after `points` others.

    The child and every worker that it forks share one pipe with `points` bytes in it; each trace
    point takes one, and who finds it empty kills the whole process group with SIGKILL. So every
    point counts, whichever process passes it. Whether it died; False when it came to its end.
    """
    assert points <= _TOKENS_MAX, "the operation has more trace points than a pipe holds"
    tokens, ours = os.pipe()
    os.set_blocking(tokens, False)
    os.write(ours, b"x" * points)
    os.close(ours)
    last_gasp, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run_to_death(operation, tokens)
    os.close(tokens)
    os.close(alive)
    _, status = os.waitpid(pid, 0)
    os.read(last_gasp, 1)  # ends when the last worker, who holds the other end, is dead
    os.close(last_gasp)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}, f"the operation failed (status {code}); see stderr"
    return code != 0


def _run_to_death(operation: Callable[[], object], tokens: int) -> None:
    status = 1
    try:
        os.setpgid(0, 0)

        def hook(_: str) -> None:
            if not os.read(tokens, 1):
                os.killpg(0, signal.SIGKILL)

        durable.set_trace_hook(hook)
        operation()
        status = 0
    except BaseException:  # noqa: BLE001 -- told, then the child ends in any case
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def every_death(
    operation: Callable[[], object], *, first: int = 0, step: int = 1
) -> Iterator[int]:
    """Kill an operation at each trace point in turn, from the `first` on; yield after each death.

    The caller looks at what is left, and puts things back so that the operation can run anew. Ends
    after the first run that comes to its end; that one is not yielded.
    """
    points = first
    while dies_after(operation, points):
        yield points
        points += step
    assert points, "the operation has no trace point"


def call_in_child(function: Callable[[], T], *, uid: int | None = None) -> T:
    """Call a function in a forked child, as another user if asked; what it returns or raises."""
    # What is imported lazily must be here before the child may not read it any more.
    import ctypes  # noqa: F401, PLC0415 -- see above
    import shutil  # noqa: F401, PLC0415 -- see above
    import socket  # noqa: F401, PLC0415 -- see above

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _call_and_exit(function, uid, writer)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(pid, 0)
    assert answer, f"the child died: {os.waitstatus_to_exitcode(status)}"
    succeeded, result = pickle.loads(answer)
    if not succeeded:
        raise result
    value: T = result
    return value


def _call_and_exit(function: Callable[[], Any], uid: int | None, writer: int) -> None:
    try:
        faulthandler.disable()  # a death is an answer here, not news for the terminal
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        try:
            answer = pickle.dumps((True, function()))
        except BaseException as error:  # noqa: BLE001 -- raised again by the parent
            traceback.print_exc()
            answer = pickle.dumps((False, error))
        with open(writer, "wb") as file:
            file.write(answer)
    finally:
        os._exit(0)
