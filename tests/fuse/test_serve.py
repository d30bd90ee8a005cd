# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options for libfuse, from what was asked."""

from pathlib import Path

import pytest

from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.serve import MountRequest, fuse_options

ALWAYS = {"ro", "default_permissions", "subtype=ostreefs"}


def options(*asked: str, revision: str | None = "main", repository: str = "/repo") -> set[str]:
    request = MountRequest(Path(repository), revision, Path("/mnt"), MountOptions(asked))
    return fuse_options(request)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), {"nosuid", "nodev"}),
        (("allow_other",), {"nosuid", "nodev", "allow_other"}),
        (("suid",), {"suid", "nodev"}),
        (("dev", "suid"), {"dev", "suid"}),
        (("noexec", "nosuid"), {"nosuid", "nodev", "noexec"}),
    ],
)
def test_options(asked: tuple[str, ...], expected: set[str]) -> None:
    assert options(*asked) == {*ALWAYS, "fsname=/repo#main", *expected}


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
