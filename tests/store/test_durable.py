# SPDX-License-Identifier: LGPL-2.1-or-later
"""Publishing on disk: what each function leaves, and that every step can be watched."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store import durable


class _StopError(Exception):
    """What a hook raises to end an operation at a trace point."""


@pytest.fixture
def points() -> Iterator[list[str]]:
    """Record the names of the trace points that are passed."""
    passed: list[str] = []
    durable.set_trace_hook(passed.append)
    yield passed
    durable.set_trace_hook(None)


def test_write_file(tmp_path: Path, points: list[str]) -> None:
    path = tmp_path / "file"
    durable.write_file(path, b"old")
    durable.write_file(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]
    assert points[:4] == [
        "write_file:written",
        "write_file:synced",
        "write_file:renamed",
        "write_file:done",
    ]


def test_write_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_file(path, b"old")

    def fail(point: str) -> None:
        if point == "write_file:synced":
            raise _StopError

    durable.set_trace_hook(fail)
    try:
        with pytest.raises(_StopError):
            durable.write_file(path, b"new")
    finally:
        durable.set_trace_hook(None)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_ensure_directory(tmp_path: Path, points: list[str]) -> None:
    durable.ensure_directory(tmp_path / "new", 0o700)
    durable.ensure_directory(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert points == ["mkdir:made"]


def test_replace_file_at(tmp_path: Path) -> None:
    (tmp_path / "staged").write_bytes(b"whole")
    target = tmp_path / "target"
    target.write_bytes(b"half")
    seen: list[tuple[str, bytes]] = []
    durable.set_trace_hook(lambda point: seen.append((point, target.read_bytes())))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        durable.replace_file_at(fd, "staged", fd, "target")
    finally:
        durable.set_trace_hook(None)
        os.close(fd)
    assert seen == [("replace:synced", b"half"), ("replace:renamed", b"whole")]
    assert os.listdir(tmp_path) == ["target"]


def test_rename_new(tmp_path: Path, points: list[str]) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/file").touch()
    durable.rename_new(tmp_path / "made", tmp_path / "target")
    assert (tmp_path / "target/file").exists()
    assert points == ["rename_new:before", "rename_new:done"]


@pytest.mark.parametrize("kind", ["full directory", "file", "symlink"])
def test_rename_new_never_replaces(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    (tmp_path / "made").mkdir()
    if kind == "full directory":
        target.mkdir()
        (target / "file").touch()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to(tmp_path)
    before = target.lstat()
    with pytest.raises(FileExistsError) as caught:
        durable.rename_new(tmp_path / "made", target)
    assert caught.value.filename == str(target)
    assert (target.lstat().st_ino, (tmp_path / "made").is_dir()) == (before.st_ino, True)


def test_sync(tmp_path: Path, points: list[str]) -> None:
    durable.sync_directory(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    durable.sync_filesystem(fd)
    os.close(fd)
    assert points == ["syncfs:before", "syncfs:done"]
    with pytest.raises(OSError, match="syncfs") as caught:
        durable.sync_filesystem(fd)
    assert caught.value.errno == errno.EBADF
