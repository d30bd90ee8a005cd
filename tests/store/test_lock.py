# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who waits for whom."""

import fcntl
import os
from pathlib import Path

import pytest

from ostreefs_store.lock import LOCK_NAME, shared_lock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / LOCK_NAME).touch()
    return tmp_path


def is_free(folder: Path, operation: int) -> bool:
    fd = os.open(folder / LOCK_NAME, os.O_RDONLY)
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_shared_with_others_exclusive_to_none(folder: Path) -> None:
    with shared_lock(folder):
        assert is_free(folder, fcntl.LOCK_SH)
        assert not is_free(folder, fcntl.LOCK_EX)
        with shared_lock(folder):
            assert not is_free(folder, fcntl.LOCK_EX)
    assert is_free(folder, fcntl.LOCK_EX)


def test_when_alone_is_alone(folder: Path) -> None:
    seen: list[bool] = []
    with shared_lock(folder, when_alone=lambda: seen.append(is_free(folder, fcntl.LOCK_SH))):
        # Nobody could have come in beside it; now others may, and then it is not called.
        assert seen == [False]
        with shared_lock(folder, when_alone=lambda: seen.append(True)):
            assert seen == [False]


def test_let_go_when_the_block_raises(folder: Path) -> None:
    with pytest.raises(KeyError), shared_lock(folder):
        raise KeyError
    assert is_free(folder, fcntl.LOCK_EX)


def test_waits_for_an_exclusive_holder(folder: Path) -> None:
    holder = os.open(folder / LOCK_NAME, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    entered, inside = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(holder)
        with shared_lock(folder, when_alone=lambda: None):
            os.write(inside, b"x")
        os._exit(0)
    os.set_blocking(entered, False)
    with pytest.raises(BlockingIOError):
        os.read(entered, 1)
    os.close(holder)
    os.set_blocking(entered, True)
    assert os.read(entered, 1) == b"x"
    os.waitpid(pid, 0)
    os.close(entered)
    os.close(inside)
