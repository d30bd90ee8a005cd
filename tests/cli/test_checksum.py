# SPDX-License-Identifier: LGPL-2.1-or-later
"""`checksum`: the digests that a commit records."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.commands import output
from tests.support.trees import make_socket


def test_as_a_commit_has_it(cli: Cli, source: Path) -> None:
    commit = cli.commit(source)
    assert cli("checksum", source).strip() == cli.json("show", commit)["root"]
    listed = {d["path"]: d for d in cli.json("ls", "-R", "main")}
    paths = [path for path in listed if path != "/"]
    lines = cli.lines("checksum", *(f"{source}{path}" for path in paths))
    assert lines == [f"{listed[path]['digest']}  {source}{path}" for path in paths]


def test_options_as_those_of_commit(cli: Cli, source: Path) -> None:
    cli.commit(source, "main", "--owner-uid=7", "--owner-gid=8", "--no-xattrs")
    os.setxattr(source / "usr/bin/tool", "user.more", b"1")
    words = ["--owner-uid=7", "--owner-gid=8", "--ignore-xattrs"]
    assert cli("checksum", *words, source).strip() == cli.json("show", "main")["root"]
    [document] = cli.json("ls", "main", "/usr/bin/tool")
    assert cli("checksum", *words, source / "usr/bin/tool").strip() == document["digest"]
    assert cli("checksum", *words[:2], source).strip() != cli.json("show", "main")["root"]


def test_content(cli: Cli, source: Path) -> None:
    cli.commit(source)
    tool = source / "usr/bin/tool"
    [document] = cli.json("ls", "main", "/usr/bin/tool")
    assert cli("checksum", "--content", tool).strip() == document["content"]
    assert cli("checksum", "--content", source / "bin/tool").strip() == document["content"]
    with_paths = cli("checksum", "--content", tool, source / "etc/empty")
    assert with_paths.encode() == output("b3sum", tool, source / "etc/empty")


def test_json(cli: Cli, source: Path) -> None:
    tool, link = source / "usr/bin/tool", source / "bin"
    kinds = [document["kind"] for document in cli.json("checksum", tool, link, source / "etc")]
    assert kinds == ["file", "file", "tree"]
    [document] = cli.json("checksum", "--content", tool)
    assert document == {
        "path": str(tool),
        "kind": "content",
        "digest": cli("checksum", "--content", tool).strip(),
    }


@pytest.mark.parametrize("words", [[], ["--content"]])
def test_what_has_none(empty_cli: Cli, tmp_path: Path, words: list[str]) -> None:
    """No repository is needed."""
    make_socket(tmp_path / "socket")
    assert str(tmp_path / "gone") in empty_cli.fails("checksum", *words, tmp_path / "gone")
    assert str(tmp_path / "socket") in empty_cli.fails("checksum", *words, tmp_path / "socket")
    if words:
        assert "not a regular file" in empty_cli.fails("checksum", *words, tmp_path)
        os.mkfifo(tmp_path / "fifo")
        assert "not a regular file" in empty_cli.fails("checksum", *words, tmp_path / "fifo")
