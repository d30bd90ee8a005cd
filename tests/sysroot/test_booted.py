# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which deployment runs: by the inode that is mounted as the root, or by the command line."""

import ctypes
import os
from pathlib import Path

import pytest

from ostreefs.sysroot.booted import find_booted, read_command_line
from ostreefs.sysroot.deploy import Request, deploy
from ostreefs.sysroot.layout import Sysroot, open_sysroot
from ostreefs.sysroot.session import changing
from tests.support.commands import run
from tests.support.crash import call_in_child
from tests.support.sysroots import commit_release, state_of


@pytest.fixture
def names(sysroot: Sysroot) -> tuple[str, ...]:
    for version in "12":
        commit_release(sysroot, version)
        with changing(sysroot.root) as session:
            deploy(session, Request("demo/stable"))
    return state_of(sysroot).names


def test_by_the_root(sysroot: Sysroot, names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        assert find_booted(sysroot, names, running=sysroot.deployment(name)) == name
    assert find_booted(sysroot, names, running=tmp_path) is None
    assert find_booted(sysroot, names) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("root=/dev/vda ostreefs={} quiet", True),
        ("ostreefs=/ostree/{}", True),
        ("ostreefs=current ostreefs={}", True),
        ("ostreefs={} ostreefs=current", False),  # what was current then, nobody knows now
        ("ostreefs=os-9-00000000", False),
        ("root=/dev/vda", False),
    ],
)
def test_by_the_command_line(
    sysroot: Sysroot, names: tuple[str, ...], tmp_path: Path, line: str, *, expected: bool
) -> None:
    file = tmp_path / "cmdline"
    file.write_text(line.format(names[1]) + "\n")
    found = find_booted(sysroot, names, running=sysroot.root, command_line=file)
    assert found == (names[1] if expected else None)
    assert find_booted(sysroot, names, running=tmp_path, command_line=file) is None


def test_without_a_command_line(tmp_path: Path) -> None:
    assert read_command_line(tmp_path / "nowhere") == ()


@pytest.mark.root
def test_from_within(sysroot: Sysroot, names: tuple[str, ...]) -> None:
    """A process whose root is a deployment, as a boot makes it, finds the sysroot and itself."""

    def look() -> tuple[tuple[str, ...], str | None, str | None]:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(_NEW_MOUNTS) == 0
        run("mount", "--make-rprivate", "/")
        deployment = sysroot.deployment(names[1])
        run("mount", "--bind", deployment, deployment)
        assert run("mount", "--bind", sysroot.root, deployment / "sysroot").returncode == 0
        os.chroot(deployment)
        os.chdir("/")
        state = state_of(open_sysroot(Path("/")))
        return state.names, state.roles.booted, state.roles.rollback

    assert call_in_child(look) == (names, names[1], names[1])


_NEW_MOUNTS = 0x00020000
