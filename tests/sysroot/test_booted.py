# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which deployment runs: by the inode that is mounted as the root, or by the command line."""

import os
from pathlib import Path

import pytest

from ostreefs.sysroot.booted import find_booted, read_command_line
from ostreefs.sysroot.deploy import Request, deploy
from ostreefs.sysroot.layout import Sysroot
from ostreefs.sysroot.session import changing
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
def test_a_root_that_runs(sysroot: Sysroot, names: tuple[str, ...]) -> None:
    """A process whose root it is sees the sysroot from within."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        fd = os.open(sysroot.root, os.O_RDONLY | os.O_DIRECTORY)
        os.chroot(sysroot.deployment(names[1]))
        os.fchdir(fd)
        found = find_booted(Sysroot(Path()), names)
        os.write(write, (found or "-").encode())
        os._exit(0)
    os.close(write)
    with open(read) as file:
        assert file.read() == names[1]
    os.waitpid(pid, 0)
