# SPDX-License-Identifier: LGPL-2.1-or-later
"""Owners, modes and extended attributes of inodes."""

import os
import stat
from pathlib import Path

import pytest

from ostreefs_store.errors import PrivilegeError
from ostreefs_store.metadata import (
    Credentials,
    create_mode,
    read_xattrs,
    write_metadata,
    write_xattrs,
)
from ostreefs_store.model import EMPTY_CONTENT, RegularFile, Xattrs
from tests.support.crash import call_in_child
from tests.support.trees import ACCESS_ACL, FILE_CAPS, write

pytestmark = pytest.mark.root


def make_file(mode: int, uid: int, gid: int, xattrs: Xattrs = ()) -> RegularFile:
    return RegularFile(mode, uid, gid, xattrs, EMPTY_CONTENT, 0)


def test_read(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    assert read_xattrs(str(path)) == ()
    names = {
        "user.b": b"2",
        "user.a": b"",
        "trusted.t": b"3",
        "security.capability": FILE_CAPS,
        "system.posix_acl_access": ACCESS_ACL,
        "user.ostreefs.object": b"made up by a mount",
    }
    for name, value in names.items():
        os.setxattr(path, name, value)
    del names["user.ostreefs.object"]
    expected = tuple(sorted((os.fsencode(name), value) for name, value in names.items()))
    assert read_xattrs(str(path)) == expected
    with path.open() as file:
        assert read_xattrs(file.fileno()) == expected


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    os.setxattr(path, "trusted.t", b"of the file")
    (tmp_path / "link").symlink_to("file")
    assert read_xattrs(str(tmp_path / "link")) == ()
    write_xattrs(str(tmp_path / "link"), ((b"trusted.t", b"of the link"),))
    assert read_xattrs(str(tmp_path / "link")) == ((b"trusted.t", b"of the link"),)
    assert read_xattrs(str(path)) == ((b"trusted.t", b"of the file"),)


def test_write_removes_what_should_not_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    os.setxattr(path, "user.old", b"1")
    os.setxattr(path, "user.kept", b"1")
    wanted = ((b"user.kept", b"2"), (b"user.new", b"3"))
    write_xattrs(str(path), wanted)
    assert read_xattrs(str(path)) == wanted


def test_files_without_any(tmp_path: Path) -> None:
    assert read_xattrs("/proc/self/status") == ()
    with pytest.raises(FileNotFoundError):
        read_xattrs(str(tmp_path / "none"))


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711, 0o0000, 0o7777])
def test_setuid_bits_and_capabilities_outlive_the_change_of_owner(
    tmp_path: Path, mode: int
) -> None:
    xattrs = ((b"security.capability", FILE_CAPS), (b"user.a", b"1"))
    wanted = make_file(mode, 1234, 5678, xattrs)
    own = Credentials.own()
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, create_mode(wanted, own))
    write_metadata(fd, wanted, own, created_mode=create_mode(wanted, own))
    found = os.fstat(fd)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, 1234, 5678)
    assert read_xattrs(fd) == xattrs
    os.close(fd)


def test_nobody_can_open_it_before_it_has_its_owner() -> None:
    own = Credentials(0, 0)
    assert create_mode(make_file(0o4777, 1, 0), own) == 0o700
    assert create_mode(make_file(0o4777, 0, 1), own) == 0o700
    assert create_mode(make_file(0o4777, 0, 0), own) == 0o777


@pytest.mark.parametrize(
    "wanted",
    [make_file(0o644, 0, 0), make_file(0o644, 1234, 1234, ((b"security.x", b"1"),))],
)
def test_what_only_root_may_do(tmp_path: Path, wanted: RegularFile) -> None:
    path = write(tmp_path / "file")
    os.chown(path, 1234, 1234)
    fd = os.open(path, os.O_RDWR)

    def attempt() -> None:
        write_metadata(fd, wanted, Credentials.own(), created_mode=0o644)

    with pytest.raises(PrivilegeError) as caught:
        call_in_child(attempt, uid=1234)
    assert caught.value.hint
    os.close(fd)
