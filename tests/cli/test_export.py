# SPDX-License-Identifier: LGPL-2.1-or-later
"""`export`."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.commands import Done, ostreefs


@pytest.fixture
def commit(cli: Cli, source: Path) -> str:
    return cli.commit(source)


def names_in(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


@pytest.mark.usefixtures("commit")
def test_to_standard_output(cli: Cli) -> None:
    done = cli.run("export", "main", "--subpath=usr/bin", "--prefix=./x/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert names_in(done.stdout) == ["./x", "./x/tool"]


def test_to_a_file(cli: Cli, commit: str, tmp_path: Path) -> None:
    path = tmp_path / "out.tar.zst"
    found = cli.json("export", "main", "-o", path)
    assert path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    plain = cli.run("export", "main").stdout
    assert found == {"commit": commit, "members": len(names_in(plain)), "bytes": len(plain)}
    listed = subprocess.run(["tar", "-tf", path], check=True, capture_output=True)
    assert len(listed.stdout.splitlines()) == found["members"]
    assert cli("export", "main", "--compress=none", "-o", path) == ""
    assert path.read_bytes() == plain
    assert cli.run("export", "main", "--compress=gzip").stdout[:2] == b"\x1f\x8b"


@pytest.mark.usefixtures("commit")
def test_options(cli: Cli, source: Path) -> None:
    os.setxattr(source / "etc/empty", "user.a", b"b")
    with (source / "etc/hole").open("wb") as file:
        file.truncate(1 << 20)
    cli.commit(source)
    assert b"SCHILY.xattr.user.a" in cli.run("export", "main").stdout
    assert b"SCHILY" not in cli.run("export", "--no-xattrs", "main").stdout
    sizes = [len(cli.run("export", *words, "main").stdout) for words in ([], ["--sparse"])]
    assert sizes[0] - sizes[1] > 1 << 19


@pytest.mark.usefixtures("commit")
def test_what_fails(cli: Cli, tmp_path: Path) -> None:
    assert "usr/nothing" in cli.fails("export", "main", "--subpath=usr/nothing")
    assert "nothing" in cli.fails("export", "nothing", "-o", tmp_path / "out")
    assert "--json needs --output" in cli.fails("--json", "export", "main", status=2)
    assert "choose from" in cli.fails("export", "main", "--compress=rar", status=2)
    assert str(tmp_path) in cli.fails("export", "main", "-o", tmp_path)
    assert str(tmp_path / "no") in cli.fails("export", "main", "-o", tmp_path / "no/out")
    assert {path.name for path in tmp_path.iterdir()} == {"repo", "source"}


def export_to(cli: Cli, out: int) -> Done:
    """Export in a process of its own, whose standard output is a descriptor of ours."""
    words = ("--repo", cli.repository, "export", "main")
    return ostreefs(*words, stdout=out, stderr=subprocess.PIPE, capture_output=False)


@pytest.mark.usefixtures("commit")
def test_not_to_a_terminal(cli: Cli) -> None:
    parent, terminal = os.openpty()
    done = export_to(cli, terminal)
    os.close(terminal)
    os.close(parent)
    assert done.returncode == 2
    assert b"not for a terminal" in done.stderr


@pytest.mark.usefixtures("commit")
def test_output_that_has_no_room(cli: Cli) -> None:
    with open("/dev/full", "wb") as full:
        done = export_to(cli, full.fileno())
    assert done.returncode == 1
    assert b"No space left" in done.stderr
