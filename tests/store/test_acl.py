# SPDX-License-Identifier: LGPL-2.1-or-later
"""ACLs as text and as the kernel has them."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostreefs_store.acl import format_acl, implied_mode, is_minimal, parse_acl
from tests.support.trees import ACCESS_ACL, DEFAULT_ACL, acl

NO_ID = 0xFFFFFFFF
MINIMAL = acl((1, 6, NO_ID), (4, 4, NO_ID), (32, 0, NO_ID))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("user::rw-,user:1234:r--,group::r--,mask::rw-,other::r--", ACCESS_ACL),
        # GNU tar
        (
            "user::rw-\nuser:1234:r--\t#effective:r--\ngroup::r--\nmask::rw-\nother::r--\n",
            ACCESS_ACL,
        ),
        # bsdtar: its own order, names with numbers
        ("user::rw-,group::r--,other::r--,user:joe:r--:1234,mask::rw-", ACCESS_ACL),
        ("u::rw-,u:1234:r,g::r,m::rw,o:r", ACCESS_ACL),
        ("default:user::rwx,default:group::r-x,group:4321:rwx,mask::rwx,other::---", DEFAULT_ACL),
        ("user::rw-,group::r--,other::---", MINIMAL),
    ],
)  # fmt: skip
def test_parse(text: str, value: bytes) -> None:
    assert parse_acl(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lacks"),
        ("user::rw-,group::r--", "lacks"),
        ("user::rw-,user::r--,group::r--,other::r--", "same"),
        ("user::rw-,user:5:r--,user:5:rw-,group::r--,mask::r--,other::r--", "same"),
        ("user::rw-,user:5:r--,group::r--,other::r--", "no mask"),
        ("user::rw-,user:joe:r--,group::r--,mask::r--,other::r--", "number"),
        ("user::rw-,user:-1:r--,group::r--,mask::r--,other::r--", "number"),
        ("user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--", "number"),
        ("user::rw-,user:joe:r--:x,group::r--,mask::r--,other::r--", "number"),
        ("user::rw-,group::r--,mask:5:r--,other::r--", "number"),
        ("user::rq-,group::r--,other::r--", "permissions"),
        ("everyone@:rwx,group::r--,other::r--", "kind"),
        ("user", "three fields"),
        ("user:1:2:3:4", "three fields"),
    ],
)
def test_malformed(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_acl(text)


@pytest.mark.parametrize("value", [ACCESS_ACL, DEFAULT_ACL, MINIMAL])
def test_format_is_the_inverse(value: bytes) -> None:
    text = format_acl(value)
    assert text is not None
    assert parse_acl(text) == value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\2\0\0\0",
        b"\3" + MINIMAL[1:],
        MINIMAL[:-1],
        acl((4, 4, NO_ID), (1, 6, NO_ID), (32, 0, NO_ID)),  # not sorted
        acl((1, 6, 0), (4, 4, NO_ID), (32, 0, NO_ID)),  # an id where none belongs
        acl((1, 14, NO_ID), (4, 4, NO_ID), (32, 0, NO_ID)),  # a permission that there is not
        acl((1, 6, NO_ID), (4, 4, NO_ID), (32, 0, NO_ID), (64, 0, NO_ID)),
    ],
)
def test_no_text_for_what_is_none(value: bytes) -> None:
    assert format_acl(value) is None


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda end: b"\2\0\0\0" + end))
def test_any_bytes(value: bytes) -> None:
    text = format_acl(value)
    assert text is None or parse_acl(text) == value
    assert (implied_mode(value) or 0) <= 0o777


def test_implied_mode() -> None:
    assert implied_mode(ACCESS_ACL) == 0o664  # the group's bits are the mask
    assert implied_mode(MINIMAL) == 0o640
    assert implied_mode(b"") is None
    assert implied_mode(acl((1, 6, NO_ID))) is None
    assert (is_minimal(MINIMAL), is_minimal(ACCESS_ACL)) == (True, False)


@pytest.mark.root
def test_the_kernel_agrees(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o600)
    value = parse_acl(
        "user::rwx,user:7:-wx,user:3:r--,group::---,group:9:r-x,mask::r-x,other::--x"
    )
    os.setxattr(file, "system.posix_acl_access", value)
    assert os.getxattr(file, "system.posix_acl_access") == value
    assert file.stat().st_mode & 0o777 == implied_mode(value)
    said = subprocess.run(["getfacl", "-cn", file], check=True, capture_output=True, text=True)
    assert parse_acl(said.stdout) == value
