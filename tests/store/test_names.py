# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which names are let in."""

import pytest

from ostreefs_store import names
from ostreefs_store.errors import InvalidNameError


@pytest.mark.parametrize("name", [b"a", b"...", b"-", b"a" * 255, b"\xff\n", b" ", "é".encode()])
def test_good_file_names(name: bytes) -> None:
    names.check_file_name(name)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0b", b"a" * 256])
def test_bad_file_names(name: bytes) -> None:
    with pytest.raises(InvalidNameError) as caught:
        names.check_file_name(name)
    assert (caught.value.what, caught.value.name) == ("file name", name)


@pytest.mark.parametrize(
    ("name", "value"), [(b"user.a", b""), (b"u" * 255, b"x" * 65536), (b"user.ostreefsx", b"")]
)
def test_good_xattrs(name: bytes, value: bytes) -> None:
    names.check_xattr(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"", b""),
        (b"user.\0", b""),
        (b"u" * 256, b""),
        (b"user.a", b"x" * 65537),
        (b"user.ostreefs.object", b""),
    ],
)
def test_bad_xattrs(name: bytes, value: bytes) -> None:
    with pytest.raises(InvalidNameError):
        names.check_xattr(name, value)


def test_symlink_targets() -> None:
    for good in (b"x", b"/", b"../..", b"t" * 4095, b"\xff\n"):
        names.check_symlink_target(good)
    for bad in (b"", b"a\0b", b"t" * 4096):
        with pytest.raises(InvalidNameError):
            names.check_symlink_target(bad)


@pytest.mark.parametrize(
    "ref",
    [
        "main",
        "gnome/46/x86_64-runtime",
        "a.b_c-d+e",
        "_private",
        "0",
        "a" * 255,
        "deadbeef",
        "a..b",
        "f" * 63,
        "F" * 64,
    ],
)
def test_good_refs(ref: str) -> None:
    names.check_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/..",
        "a/../b",
        ".hidden",
        "-option",
        "a/-b",
        "a b",
        "a\n",
        "a\0",
        "a^",
        "a~1",
        "größe",
        "\udc80",
        "a" * 256,
        "f" * 64,
        "0" * 64,
    ],
)
def test_bad_refs(ref: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        names.check_ref(ref)
    assert "\n" not in str(caught.value)


def test_commit_ids() -> None:
    assert names.looks_like_commit_id("0a" * 32)
    assert not names.looks_like_commit_id("0A" * 32)
    assert not names.looks_like_commit_id("0a" * 32 + "\n")
    assert names.is_hex("0123456789abcdef")
    assert not names.is_hex("")
    assert not names.is_hex("٣")
