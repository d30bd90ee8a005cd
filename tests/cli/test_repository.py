# SPDX-License-Identifier: LGPL-2.1-or-later
"""`init`, and repositories that are none."""

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.commands import complaint


def test_init(empty_cli: Cli) -> None:
    assert empty_cli("init") == ""
    mode = "bare" if os.geteuid() == 0 else "bare-user"
    assert f'mode = "{mode}"' in (empty_cli.repository / "config.toml").read_text()
    assert empty_cli("init") == ""
    assert empty_cli.json("init") == {
        "repository": str(empty_cli.repository),
        "mode": mode,
        "created": False,
    }


@pytest.mark.parametrize("mode", ["bare", "bare-user"])
def test_init_mode(empty_cli: Cli, mode: str) -> None:
    assert empty_cli.json("init", f"--mode={mode}")["created"]
    assert empty_cli("init", "--mode", mode) == ""
    other = {"bare": "bare-user", "bare-user": "bare"}[mode]
    assert f"a repository of mode {mode} is there" in empty_cli.fails("init", f"--mode={other}")


def test_init_where_something_is(empty_cli: Cli) -> None:
    empty_cli.repository.write_text("a file")
    assert "not a directory" in empty_cli.fails("init")
    empty_cli.repository.unlink()
    empty_cli.repository.mkdir()
    (empty_cli.repository / "file").touch()
    assert "not empty" in empty_cli.fails("init")
    assert os.listdir(empty_cli.repository) == ["file"]


def test_no_repository(empty_cli: Cli, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        empty_cli.repository = path
        for words in (["refs"], ["log", "x"], ["commit", "-b", "x", "/nowhere"], ["fsck"]):
            done = empty_cli.run(*words)
            assert done.returncode == 1
            assert f"{path} is not an ostreefs repository" in complaint(done)
            assert b"ostreefs init" in done.stderr


def test_newer_format(cli: Cli) -> None:
    config = cli.repository / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("format = 1", "format = 2"))
    assert cli.fails("refs") == (
        f"the repository {cli.repository} needs a newer ostreefs:"
        " its format is 2, this program knows 1"
    )
    config.write_text(text.replace('"zstd-trees"]', '"zstd-trees", "rot13"]'))
    assert "rot13" in cli.fails("refs")
    config.write_text(text.replace("ro-compatible = []", 'ro-compatible = ["quota"]'))
    assert cli("refs") == ""
    assert "quota" in cli.fails("commit", "-b", "main", "/nowhere")


def test_damage_found_by_the_way(cli: Cli, source: Path) -> None:
    cli.commit(source)
    [document] = cli.json("ls", "main", "/usr/bin/tool")
    digest = document["digest"]
    (cli.repository / "objects" / digest[:2] / digest[2:]).write_bytes(b"short")
    assert digest in cli.fails("cat", "main", "/usr/bin/tool", status=3)
    (cli.repository / "index/data.mdb").write_bytes(b"x" * 8192)
    assert "the index" in cli.fails("log", "main", status=3)
