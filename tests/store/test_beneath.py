# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories beneath another: long paths, and no way out."""

import os
from pathlib import Path

import pytest

from ostreefs_store.beneath import open_beneath, remove_beneath
from tests.support.trees import make_deep_directory, write


def names_beneath(root: Path, path: bytes) -> list[str]:
    root_fd = os.open(root, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    try:
        with open_beneath(root_fd, path) as fd:
            return os.listdir(fd)
    finally:
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"
        os.close(root_fd)


def test_short_paths(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").touch()
    assert names_beneath(tmp_path, b"") == ["a"]
    assert names_beneath(tmp_path, b"a") == ["b"]
    assert names_beneath(tmp_path, b"a/b") == ["c"]


@pytest.mark.parametrize("length", [1, 10, 199, 255])
def test_paths_beyond_path_max(deep_path: Path, length: int) -> None:
    name = b"d" * length
    depth = 9000 // (length + 1)
    make_deep_directory(deep_path / "top", name, depth)
    path = b"/".join([name] * depth)
    assert len(path) > 4096 * 2 - 300
    assert sorted(names_beneath(deep_path / "top", path)) == ["file", "link"]


def test_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, error in (
        (b"file", NotADirectoryError),
        (b"file/x", NotADirectoryError),
        (b"none", FileNotFoundError),
    ):
        with pytest.raises(error):
            names_beneath(tmp_path, path)


@pytest.mark.parametrize("path", [b"link", b"link/sub", b"real/link", b"real/link/sub"])
def test_symbolic_links_are_never_followed(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "root/real").mkdir(parents=True)
    (tmp_path / "root/link").symlink_to("../outside")
    (tmp_path / "root/real/link").symlink_to("../../outside")
    with pytest.raises(NotADirectoryError):
        names_beneath(tmp_path / "root", path)


def test_remove_beneath(tmp_path: Path) -> None:
    write(tmp_path / "outside/kept")
    write(tmp_path / "dir/sub/sub/file")
    (tmp_path / "dir/link").symlink_to("../outside")
    (tmp_path / "link").symlink_to("outside")
    write(tmp_path / "file")
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in (b"dir", b"link", b"file", b"nothing"):
        remove_beneath(fd, name)
    os.close(fd)
    assert {path.name for path in tmp_path.rglob("*")} == {"outside", "kept"}
