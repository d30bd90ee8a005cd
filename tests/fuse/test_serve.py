# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options for libfuse, from what was asked."""

import logging
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import MountError
from ostreefs.fuse.serve import MountRequest, fuse_options, is_news

ALWAYS = {"ro", "default_permissions", "subtype=ostreefs"}


def options(*asked: str, revision: str | None = "main", repository: str = "/repo") -> set[str]:
    return fuse_options(MountRequest(Path(repository), revision, Path("/mnt"), asked))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), {"nosuid", "nodev"}),
        (("allow_other",), {"nosuid", "nodev", "allow_other"}),
        (("suid",), {"suid", "nodev"}),
        (("dev", "suid"), {"dev", "suid"}),
        (("noexec",), {"nosuid", "nodev", "noexec"}),
        (("suid", "nosuid"), {"nosuid", "nodev"}),
        (("max_read=4096", "allow_root"), {"nosuid", "nodev", "max_read=4096", "allow_root"}),
    ],
)
def test_options(asked: tuple[str, ...], expected: set[str]) -> None:
    assert options(*asked) == {*ALWAYS, "fsname=/repo#main", *expected}


@pytest.mark.parametrize("asked", ["rw", "debug,rw", "async"])
def test_never_writable(asked: str) -> None:
    assert "ro" in options(*asked.split(","))
    assert "rw" not in options(*asked.split(","))


@pytest.mark.parametrize(
    ("repository", "revision", "expected"),
    [
        ("/repo", None, "/repo"),
        ("/repo", "os/stable^", "/repo#os/stable^"),
        ("/a,b", "main", "/a\\,b#main"),
        ("/a\\b", None, "/a\\\\b"),
        ("/a b", None, "/a b"),
        ("/é\udcff", None, "/\\\\xe9\\\\udcff"),
    ],
)
def test_source(repository: str, revision: str | None, expected: str) -> None:
    assert f"fsname={expected}" in options(repository=repository, revision=revision)


def test_option_that_nobody_knows() -> None:
    with pytest.raises(MountError, match="unknown mount option 'é'"):
        options("é")


@pytest.mark.parametrize(
    ("message", "argument", "expected"),
    [
        ("fuse_release(): fuse_reply_* failed with %s", "No such file or directory", False),
        ("fuse_release(): fuse_reply_* failed with %s", "Invalid argument", True),
        ("something else: %s", "No such file or directory", True),
    ],
)
def test_answers_that_nobody_waits_for(message: str, argument: str, *, expected: bool) -> None:
    record = logging.LogRecord("pyfuse3", logging.ERROR, "", 0, message, (argument,), None)
    assert is_news(record) is expected
