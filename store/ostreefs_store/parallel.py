# SPDX-License-Identifier: LGPL-2.1-or-later
"""Batches of work in forked processes.

Hashing and creating files is a stream of short system calls. Threads would hand the interpreter
lock back and forth at each of them (measured: two threads are slower than one); two processes run
side by side. A fork costs about a millisecond, so small work never leaves this process.

Batches travel over one SOCK_SEQPACKET pair that all workers read, so that whoever is free takes
the next; answers come back over another. The parent never blocks on one while the other is full.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from contextlib import ExitStack, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ostreefs_store.errors import WorkerError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

B = TypeVar("B")
R = TypeVar("R")

MESSAGE_MAX = 128 * 1024
"""Bytes of one message; larger answers travel in pieces, larger batches are done by the parent."""

_SOCKET_BUFFER = 1 << 20
_END = object()


def worker_count() -> int:
    """How many workers this machine is good for."""
    return min(len(os.sched_getaffinity(0)), 8)


def map_unordered(
    function: Callable[[B], R], batches: Iterable[B], *, workers: int | None = None
) -> Iterator[R]:
    """Yield `function(batch)` for every batch, in whatever order they end.

    A single batch runs here; from the second one on, forked workers take over. They see this
    process as it was at that moment and share nothing afterwards: `function` must not touch the
    index. Batches are drawn from the iterable as workers have room. What `function` raises is
    raised here, and ends the other workers. A worker that dies raises `WorkerError`.
    """
    remaining = iter(batches)
    first = list(islice(remaining, 2))
    count = worker_count() if workers is None else workers
    if len(first) < 2 or count < 2 or threading.active_count() > 1:
        for batch in chain(first, remaining):
            yield function(batch)
        return
    with _Pool(function, count) as pool:
        yield from pool.run(chain(first, remaining))


def map_growing(
    function: Callable[[B], tuple[R, list[B]]], first: B, *, workers: int | None = None
) -> Iterator[R]:
    """As `map_unordered`, for work of which each part tells what else there is to do.

    `function(batch)` gives a result and further batches. The first batch runs here.
    """
    found: deque[B] = deque([first])
    count = worker_count() if workers is None else workers
    alone = count < 2 or threading.active_count() > 1
    is_first = True
    while found and (alone or is_first):
        result, more = function(found.popleft())
        found += more
        is_first = False
        yield result
    if found:
        with _Pool(function, count) as pool:
            for result, more in pool.run(_Growing(found)):
                found += more
                yield result


class _Growing:
    """Draws from a queue that may be empty now and not later."""

    def __init__(self, queue: deque[Any]) -> None:
        self._queue = queue

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if not self._queue:
            raise StopIteration
        return self._queue.popleft()


class _Pool:
    """Forked workers and the two socket pairs between them and us."""

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        self._function = function
        self._count = count
        self._pids: dict[int, int] = {}
        self._partial: dict[int, list[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        import socket  # noqa: PLC0415 -- only large work pays for it

        kind = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
        self._jobs, job_end = socket.socketpair(socket.AF_UNIX, kind)
        self._answers, answer_end = socket.socketpair(socket.AF_UNIX, kind)
        for end in (self._jobs, self._answers, job_end, answer_end):
            self._stack.callback(end.close)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        sys.stdout.flush()
        sys.stderr.flush()
        # A child that is interrupted before it says otherwise would unwind as if it were us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._count):
                pid = os.fork()
                if pid == 0:
                    self._work(job_end, answer_end)
                pidfd = os.pidfd_open(pid)
                self._pids[pidfd] = pid
                self._stack.callback(os.close, pidfd)
        except BaseException:
            self.__exit__()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        job_end.close()
        answer_end.close()
        self._jobs.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.close()
        for pid in self._pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._pids.values():
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._stack.close()

    def run(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Feed the batches in, yield the answers; after each, there may be batches again."""
        import pickle  # noqa: PLC0415 -- only large work pays for these
        import select  # noqa: PLC0415 -- likewise

        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        for pidfd in self._pids:
            poll.register(pidfd, select.POLLIN)
        outstanding = 0
        waiting: bytes | None = None
        exhausted = False
        while not exhausted or outstanding:
            if waiting is None and not exhausted:
                batch = next(batches, _END)
                exhausted = batch is _END
                if not exhausted and len(waiting := pickle.dumps(batch)) > MESSAGE_MAX:
                    waiting = None
                    yield self._function(batch)
                    exhausted = False
                outstanding += waiting is not None
            if waiting is not None and self._send(waiting):
                waiting = None
            poll.register(self._jobs, select.POLLOUT if waiting is not None else 0)
            idle = waiting is not None or exhausted
            for fd, _ in poll.poll(None if idle and outstanding else 0):
                if fd in self._pids:
                    self._died(fd)
                if fd != self._answers.fileno():
                    continue
                done, answer = self._receive()
                if done:
                    outstanding -= 1
                    yield answer
                    exhausted = False

    def _send(self, message: bytes) -> bool:
        try:
            self._jobs.send(message)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False  # full, or all workers are dead: poll tells which
        return True

    def _receive(self) -> tuple[bool, Any]:
        import pickle  # noqa: PLC0415 -- imported already, see `run`

        message = self._answers.recv(MESSAGE_MAX + 16)
        if not message:  # all workers are dead; their descriptors say how
            return False, None
        sender, more = int.from_bytes(message[:4], "little"), message[4]
        pieces = self._partial.setdefault(sender, [])
        pieces.append(message[5:])
        if more:
            return False, None
        succeeded, answer = pickle.loads(b"".join(self._partial.pop(sender)))  # noqa: S301 -- ours
        if not succeeded:
            raise answer
        return True, answer

    def _died(self, pidfd: int) -> None:
        _, status = os.waitpid(self._pids.pop(pidfd), 0)
        code = os.waitstatus_to_exitcode(status)
        name = f"signal {-code}" if code < 0 else f"status {code}"
        raise WorkerError(name)

    def _work(self, jobs: socket.socket, answers: socket.socket) -> None:
        """The whole life of a worker: it never returns."""
        status = 70
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._jobs.close()
            self._answers.close()
            while message := jobs.recv(MESSAGE_MAX):
                _answer(answers, self._function, message)
            status = 0
        finally:
            os._exit(status)


def _answer(answers: socket.socket, function: Callable[[Any], Any], message: bytes) -> None:
    import pickle  # noqa: PLC0415 -- in a worker alone

    try:
        result = (True, function(pickle.loads(message)))  # noqa: S301 -- from our own parent
    except Exception as error:  # noqa: BLE001 -- handed to the parent, which raises it
        result = (False, _portable(error))
    data = pickle.dumps(result)
    sender = os.getpid().to_bytes(4, "little")
    for start in range(0, len(data), MESSAGE_MAX):
        more = start + MESSAGE_MAX < len(data)
        answers.send(sender + bytes([more]) + data[start : start + MESSAGE_MAX])


def _portable(error: Exception) -> Exception:
    """The error itself where it survives pickling, else one with its text."""
    import pickle  # noqa: PLC0415 -- in a worker alone

    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- a value of our own
    except Exception:  # noqa: BLE001 -- whatever an exception's constructor makes of it
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error if isinstance(copy, type(error)) else RuntimeError(str(error))
