# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mount points, and what is mounted where, without mounting."""

import errno
import os
from pathlib import Path

import pytest

from ostreefs.fuse import mounts
from ostreefs.fuse.mounts import Mount, MountError

MOUNTINFO = (
    r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:21 / /mnt/a\040b ro,nosuid shared:2 master:3 - fuse.ostreefs /repo#main ro,user_id=0
23 21 0:22 / /tab\011nl\012bs\134hash\043end rw - tmpfs /a\040-\040b rw
24 21 0:23 / /twice rw - tmpfs one rw
25 24 0:24 / /twice rw - fuse.ostreefs two rw
26 21 0:25 / /dash\040-\040dash rw optional:1 optional:2 - fuse.ostreefs x rw
27 21 0:26 / /latin-%b rw - tmpfs none rw
28 21 0:27 / /cr-%c-end rw - tmpfs none rw
""".lstrip()
    .encode()
    .replace(b"%b", b"\xff")
    .replace(b"%c", b"\r")
)


@pytest.fixture
def mountinfo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the kernel's file be ours."""
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    monkeypatch.setattr(mounts, "_MOUNTINFO", path)


@pytest.mark.usefixtures("mountinfo")
def test_mountinfo() -> None:
    assert [mount[:3] for mount in mounts.iter_mounts()] == [
        ("/dev/vda", "/", "ext4"),
        ("/repo#main", "/mnt/a b", "fuse.ostreefs"),
        ("/a - b", "/tab\tnl\nbs\\hash#end", "tmpfs"),
        ("one", "/twice", "tmpfs"),
        ("two", "/twice", "fuse.ostreefs"),
        ("x", "/dash - dash", "fuse.ostreefs"),
        ("none", os.fsdecode(b"/latin-\xff"), "tmpfs"),
        ("none", "/cr-\r-end", "tmpfs"),
    ]


@pytest.mark.usefixtures("mountinfo")
def test_the_topmost_mount_counts() -> None:
    assert mounts.find_mount("/twice") == Mount("two", "/twice", "fuse.ostreefs", "0:24", "rw")
    options = "ro,user_id=0"
    expected = Mount("/repo#main", "/mnt/a b", "fuse.ostreefs", "0:21", options)
    assert mounts.find_mount("/mnt/../mnt/a b/") == expected
    assert mounts.find_mount("/mnt") is None


@pytest.mark.usefixtures("mountinfo")
def test_a_mount_point_need_not_be_touched_to_be_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where nobody answers, whoever touches it hangs."""

    def realpath(path: str | Path) -> str:
        assert os.fspath(path) != "/mnt/a b"
        return str(path)

    (tmp_path / "link").symlink_to("/mnt/a b")
    assert mounts.find_mount(tmp_path / "link") is not None
    assert mounts.find_mount(tmp_path / "link/..") is None
    monkeypatch.setattr(os.path, "realpath", realpath)
    assert mounts.find_mount("/mnt/a b/") is not None


def test_who_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """An open(2) of a pipe to which nobody writes never returns."""
    os.mkfifo(tmp_path / "pipe")
    assert mounts._try_for(0.01, os.open, str(tmp_path / "pipe"), os.O_RDONLY) is None
    assert mounts._try_for(60, os.stat, str(tmp_path / "pipe")) == 0
    assert mounts._try_for(60, os.stat, str(tmp_path / "no")) == errno.ENOENT


def test_the_real_mountinfo() -> None:
    assert mounts.find_mount("/") is not None
    found = mounts.find_mount("/proc")
    assert found is not None
    assert found[:3] == ("proc", "/proc", "proc")


def test_good_mount_points(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    mounts.check_mount_point(empty)
    (tmp_path / "link").symlink_to(empty)
    mounts.check_mount_point(tmp_path / "link")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "does not exist"),
        ("file", "is not a directory"),
        ("fifo", "is not a directory"),
        ("full", "is not empty"),
    ],
)
def test_bad_mount_points(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "full/below").mkdir(parents=True)
    with pytest.raises(MountError, match=reason) as caught:
        mounts.check_mount_point(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert caught.value.hint


def test_below_a_file_is_no_mount_point(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        mounts.check_mount_point(tmp_path / "file/below")


def test_mounted_is_no_mount_point() -> None:
    with pytest.raises(MountError, match=r"/proc is already mounted \(proc\)") as caught:
        mounts.check_mount_point(Path("/proc"))
    assert caught.value.hint is not None
    assert "ostreefs umount" not in caught.value.hint  # it is not for that to take down


@pytest.mark.usefixtures("mountinfo")
def test_mounted_by_ostreefs_is_no_mount_point() -> None:
    with pytest.raises(MountError, match="already mounted") as caught:
        mounts.check_mount_point(Path("/twice"))
    assert caught.value.hint == "'ostreefs umount /twice' takes it down"


def test_unmount_of_what_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="is not mounted"):
        mounts.unmount(tmp_path)
    with pytest.raises(MountError, match="is not mounted"):
        mounts.unmount(tmp_path / "missing")
    with pytest.raises(MountError, match="a mount of type proc, not of ostreefs") as caught:
        mounts.unmount(Path("/proc"))
    assert caught.value.hint == "'umount /proc' takes down any mount"
    assert mounts.find_mount("/proc") is not None


@pytest.mark.usefixtures("mountinfo")
@pytest.mark.parametrize("lazy", [False, True])
def test_unmount_that_fails(lazy: bool) -> None:
    with pytest.raises(MountError, match="cannot unmount /twice: ") as caught:
        mounts.unmount(Path("/twice"), lazy=lazy)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
