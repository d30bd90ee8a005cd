# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mount options: ours, libfuse's, and what fstab has beside them."""

import grp
import os
import pwd
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import MountError
from ostreefs.fuse.options import MountOptions, parse_options, split_options


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", ()),
        ("allow_other", ("allow_other",)),
        (",,allow_other,", ("allow_other",)),
        ("suid,nosuid", ("nosuid",)),
        ("nosuid,suid,noexec,exec", ("suid", "exec")),
        ("nosuid,allow_suid,allow_dev,nodev", ("suid", "nodev")),
        ("max_read=4096,allow_root", ("max_read=4096", "allow_root")),
        ("max_read=1,max_read=2", ("max_read=1", "max_read=2")),
        ("nonsense", ("nonsense",)),
        ("users=1", ("users=1",)),
    ],
)
def test_what_libfuse_gets(asked: str, expected: tuple[str, ...]) -> None:
    assert parse_options([asked]) == MountOptions(expected)


def test_several_lists() -> None:
    assert parse_options(["suid,debug", "nosuid"]).libfuse == ("debug", "nosuid")


OF_FSTAB = """
defaults auto noauto nofail _netdev user nouser users owner group user=joe comment=a=b
x-systemd.automount x-systemd.device-timeout=5 x-é X-mount.mkdir=0755 helper=x
rw ro sync async dirsync atime noatime nodiratime diratime relatime norelatime strictatime
nostrictatime lazytime nolazytime iversion noiversion mand nomand silent loud
"""


@pytest.mark.parametrize("option", OF_FSTAB.split())
def test_what_is_for_fstab_alone(option: str) -> None:
    assert parse_options([f"suid,{option},dev"]) == MountOptions(("suid", "dev"))


def test_ours() -> None:
    assert parse_options(["uid=5,gid=0"]) == MountOptions(uid=5, gid=0)
    assert parse_options(["follow"]) == MountOptions(follow=True)
    assert parse_options(["uid=5,uid=6"]) == MountOptions(uid=6)
    assert parse_options([r"stats=/a\,b\\c=d,suid"]) == MountOptions(
        ("suid",), stats=Path("/a,b\\c=d")
    )
    assert parse_options(["stats=here"]).stats == Path.cwd() / "here"


def test_names_of_users_and_groups() -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    asked = f"uid={user.pw_name},gid={group.gr_name}"
    assert parse_options([asked]) == MountOptions(uid=user.pw_uid, gid=group.gr_gid)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("é", "unknown mount option 'é'"),
        ("remount", "a mount of ostreefs cannot be remounted"),
        ("uid", "mount option 'uid' needs a value"),
        ("stats", "mount option 'stats' needs a value"),
        ("uid=", "there is no user ''"),
        ("uid=-1", "there is no user '-1'"),
        ("gid=4294967295", "there is no group '4294967295'"),
        ("gid=no such group", "there is no group 'no such group'"),
    ],
)
def test_what_is_refused(asked: str, reason: str) -> None:
    with pytest.raises(MountError) as caught:
        parse_options([asked])
    assert str(caught.value) == reason
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a,b=\,c,d", ["a", r"b=\,c", "d"]),
        (r"a\\,b", [r"a\\", "b"]),
        ("a\\", ["a\\"]),
        ("a\n,b", ["a\n", "b"]),
    ],
)
def test_commas(text: str, expected: list[str]) -> None:
    assert list(split_options(text)) == expected
