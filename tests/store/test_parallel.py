# SPDX-License-Identifier: LGPL-2.1-or-later
"""Forked workers: every answer arrives, every failure is told, nobody is left behind."""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ostreefs_store.errors import SourceChangedError, WorkerError
from ostreefs_store.parallel import MESSAGE_MAX, map_unordered, worker_count


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    for pid in filter(_is_zombie, children()):  # one that hung, and that its test gave up
        os.waitpid(pid, 0)
    descriptors = set(os.listdir("/proc/self/fd"))
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert set(os.listdir("/proc/self/fd")) == descriptors


def wait_for_deaths(count: int) -> None:
    """Wait until so many children are zombies, and leave them that."""
    while sum(_is_zombie(pid) for pid in children()) < count:
        os.sched_yield()


def children() -> list[int]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"


def test_worker_count() -> None:
    assert 1 <= worker_count() <= 8


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000])
def test_every_batch_is_answered_once(count: int) -> None:
    answers = list(map_unordered(lambda n: n * n, range(count), workers=2))
    assert sorted(answers) == [n * n for n in range(count)]


def test_one_batch_stays_here() -> None:
    assert list(map_unordered(lambda _: os.getpid(), [1], workers=2)) == [os.getpid()]


def test_more_batches_leave_here() -> None:
    pids = set(map_unordered(lambda _: os.getpid(), range(10), workers=2))
    assert os.getpid() not in pids


def test_one_worker_or_other_threads_means_here() -> None:
    assert set(map_unordered(lambda _: os.getpid(), range(3), workers=1)) == {os.getpid()}
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    try:
        assert set(map_unordered(lambda _: os.getpid(), range(3), workers=2)) == {os.getpid()}
    finally:
        event.set()
        thread.join()


def test_batches_are_drawn_while_workers_work() -> None:
    drawn: list[int] = []

    def batches() -> Iterator[int]:
        for number in range(100_000):
            drawn.append(number)
            yield number

    # Batches that fill a socket buffer are not drawn far ahead of the answers.
    results = map_unordered(lambda n: len(str(n)), batches(), workers=2)
    next(results)
    assert len(drawn) < 50_000
    results.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("size", [MESSAGE_MAX - 100, MESSAGE_MAX, MESSAGE_MAX + 1, 3_000_000])
def test_large_batches(size: int) -> None:
    batches = [bytes([n]) * size for n in range(6)]
    answers = list(map_unordered(lambda b: (b[0], len(b)), batches, workers=2))
    assert sorted(answers) == [(n, size) for n in range(6)]


@pytest.mark.parametrize("size", [MESSAGE_MAX - 100, MESSAGE_MAX, MESSAGE_MAX + 1, 3_000_000])
def test_large_answers(size: int) -> None:
    answers = list(map_unordered(lambda n: bytes([n]) * size, range(6), workers=2))
    assert sorted(answers) == [bytes([n]) * size for n in range(6)]


def test_errors_arrive_with_all_facts() -> None:
    def fail(_: int) -> None:
        raise SourceChangedError(b"a\xff")

    with pytest.raises(SourceChangedError) as caught:
        list(map_unordered(fail, range(10), workers=2))
    assert caught.value.path == b"a\xff"
    assert caught.value.hint == SourceChangedError.hint


def test_os_errors_arrive_with_all_facts() -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/path")

    with pytest.raises(OSError, match="some/path") as caught:
        list(map_unordered(fail, range(10), workers=2))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "some/path")


class _StubbornError(Exception):
    """Cannot be pickled: its constructor wants two arguments that args does not have."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_other_errors_arrive_as_text() -> None:
    def fail(_: int) -> None:
        raise _StubbornError(1, 2)

    with pytest.raises(RuntimeError, match="_StubbornError: 1 and 2"):
        list(map_unordered(fail, range(10), workers=2))


def test_a_worker_that_dies() -> None:
    def die(number: int) -> int:
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(WorkerError) as caught:
        list(map_unordered(die, range(1000), workers=2))
    assert caught.value.status == "signal 9"


def test_a_worker_that_exits() -> None:
    with pytest.raises(WorkerError) as caught:
        list(map_unordered(lambda _: os._exit(7), range(10), workers=2))
    assert caught.value.status == "status 7"


@pytest.mark.parametrize("more", [0, 1, 100])
def test_all_workers_die_at_once(more: int) -> None:
    """Neither a closed socket's silence nor EPIPE hides what happened."""
    gate, opener = os.pipe()

    def die(_: int) -> None:
        os.read(gate, 1)
        os._exit(1)

    def batches() -> Iterator[int]:
        yield from range(4)
        os.write(opener, b"xx")
        wait_for_deaths(2)
        yield from range(more)

    with pytest.raises(WorkerError) as caught:
        list(map_unordered(die, batches(), workers=2))
    assert caught.value.status == "status 1"
    os.close(gate)
    os.close(opener)


def test_closing_early_ends_the_workers() -> None:
    """Also those that would never end by themselves."""

    def block(number: int) -> int:
        if number:
            signal.pause()
        return number

    results = map_unordered(block, range(50), workers=2)
    assert next(results) == 0
    assert len(children()) == 2
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert not children()


def test_an_error_of_the_batches_ends_the_workers() -> None:
    def batches() -> Iterator[int]:
        yield from range(5)
        raise KeyError("from the plan")

    with pytest.raises(KeyError, match="from the plan"):
        list(map_unordered(lambda n: n, batches(), workers=2))


def test_workers_end_with_their_parent() -> None:
    """Also one that was killed: whoever holds the pipe is alive."""
    last_gasp, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            for number in map_unordered(lambda n: n, range(10**9), workers=2):
                if number > 100:
                    os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    os.close(alive)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert os.read(last_gasp, 1) == b""
    os.close(last_gasp)
