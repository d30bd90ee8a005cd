# SPDX-License-Identifier: LGPL-2.1-or-later
"""The caller's view of a server in the background."""

import logging
import os
import select
import signal
from pathlib import Path

import pytest

from ostreefs.fuse.daemon import Ready, run_in_background
from ostreefs.fuse.mounts import MountError
from ostreefs_store.errors import ObjectMissingError, StoreError


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe that the child opens: it waits until we write."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def test_returns_when_ready(gate: Path, tmp_path: Path) -> None:
    def serve(ready: Ready) -> None:
        (tmp_path / "before").touch()
        ready()
        gate.read_bytes()
        facts = [os.getcwd(), str(os.getsid(0) == os.getpid()), os.readlink("/proc/self/fd/1")]
        (tmp_path / "after").write_text("\n".join(facts))

    child = run_in_background(serve)
    assert (tmp_path / "before").exists()
    assert not (tmp_path / "after").exists()
    gate.write_bytes(b"x")
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert (tmp_path / "after").read_text().split("\n") == ["/", "True", "/dev/null"]


def test_a_terminal_that_closes_is_no_end(gate: Path) -> None:
    def serve(ready: Ready) -> None:
        ready()
        gate.read_bytes()

    child = run_in_background(serve)
    os.kill(child, signal.SIGHUP)
    gate.write_bytes(b"x")
    assert os.waitpid(child, 0)[1] == 0


def test_the_caller_s_descriptors_are_not_kept(gate: Path) -> None:
    """A lock of his would be held for as long as the mount lasts."""

    def serve(ready: Ready) -> None:
        ready()
        gate.read_bytes()

    reading, writing = os.pipe()
    high = os.dup2(writing, 200)
    child = run_in_background(serve)
    os.close(writing)
    os.close(high)
    assert select.select([reading], [], [], 10)[0]
    assert os.read(reading, 1) == b""
    os.close(reading)
    gate.write_bytes(b"x")
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "error",
    [
        MountError("no mount point", hint="make one"),
        ObjectMissingError("commit", b"x" * 32),
        FileNotFoundError(2, "No such file or directory", "/there"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_before_ready(error: BaseException) -> None:
    def serve(_: Ready) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run_in_background(serve)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "hint", None) == getattr(error, "hint", None)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_error_that_cannot_travel() -> None:
    class LocalError(Exception):
        pass

    def serve(_: Ready) -> None:
        raise LocalError("what happened")

    with pytest.raises(RuntimeError, match="LocalError: what happened"):
        run_in_background(serve)


@pytest.mark.parametrize("kind", ["killed", "exit", "returns"])
def test_death_before_ready(kind: str) -> None:
    def serve(_: Ready) -> None:
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "exit":
            os._exit(3)

    with pytest.raises(StoreError, match="died before it was ready") as caught:
        run_in_background(serve)
    assert caught.value.hint


def test_error_after_ready_is_in_the_log(tmp_path: Path) -> None:
    """Nobody waits for it any more, so it must not be lost."""

    def serve(ready: Ready) -> None:
        logging.getLogger().addHandler(logging.FileHandler(tmp_path / "log"))
        ready()
        raise ZeroDivisionError("too late")

    child = run_in_background(serve)
    descriptor = os.pidfd_open(child)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 70
    assert "ZeroDivisionError: too late" in (tmp_path / "log").read_text()
