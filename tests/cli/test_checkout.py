# SPDX-License-Identifier: LGPL-2.1-or-later
"""`checkout` of layers, of lists, and of parts."""

import io
import os
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.trees import list_tree, write


@pytest.fixture
def commit(cli: Cli, source: Path) -> str:
    return cli.commit(source)


def names_in(root: Path) -> set[str]:
    return {os.fsdecode(path) for path in list_tree(root)} - {"."}


@pytest.mark.usefixtures("commit")
def test_whiteouts(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "layer/usr/.wh.bin")
    write(tmp_path / "layer/etc/.wh..wh..opq")
    cli.commit(tmp_path / "layer", "layer")
    cli("checkout", "-U", "main", tmp_path / "out")
    cli("checkout", "-U", "--union", "--whiteouts", "layer", tmp_path / "out")
    found = names_in(tmp_path / "out")
    assert "usr/lib/same" in found
    assert not any(name.startswith(("usr/bin", "etc/")) for name in found)


@pytest.mark.usefixtures("commit")
def test_allow_noent(cli: Cli, tmp_path: Path) -> None:
    words = ("checkout", "--subpath=usr/nothing", "main", tmp_path / "out")
    assert "usr/nothing" in cli.fails(*words)
    assert cli("--allow-noent", *words) == ""
    assert cli.json("--allow-noent", *words)["missing"] is True
    assert not (tmp_path / "out").exists()
    assert "nowhere" in cli.fails("checkout", "--allow-noent", "nowhere", tmp_path / "out")
    found = cli.json("checkout", "-U", "--allow-noent", "--subpath=usr", "main", tmp_path / "out")
    assert (found["missing"], found["subpath"]) == (False, "usr")


@pytest.mark.usefixtures("commit")
def test_skip_list(cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "skip").write_text("/usr/bin/\n\n/etc/fifo\nusr/lib/same\n/nothing\n")
    skip = f"--skip-list={tmp_path / 'skip'}"
    cli("checkout", "-U", skip, "main", tmp_path / "out")
    gone = {"usr/bin", "usr/bin/tool", "etc/fifo", "usr/lib/same"}
    assert names_in(tmp_path / "out") == names_in(source) - gone
    assert "No such file" in cli.fails("checkout", "--skip-list=/no/file", "main", tmp_path / "x")
    (tmp_path / "skip").write_text("/\n")
    cli("checkout", "-U", skip, "main", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def two(cli: Cli, source: Path, tmp_path: Path, commit: str) -> str:
    """A second branch, and a list of parts of both."""
    write(source / "usr/lib/new", b"new")
    cli.commit(source, "other")
    (tmp_path / "list").write_bytes(b"main\0/usr/bin\0other\0usr/lib\0main\0\0")
    return commit


@pytest.mark.usefixtures("two")
def test_from_file(cli: Cli, source: Path, tmp_path: Path) -> None:
    found = cli.json(
        "checkout", "-U", "--union", "--from-file", tmp_path / "list", tmp_path / "out"
    )
    assert [item["subpath"] for item in found] == ["/usr/bin", "usr/lib", "/"]
    expected = names_in(source) - {"usr/lib/new"} | {"tool", "libtool.so", "same", "new"}
    assert names_in(tmp_path / "out") == expected


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("option", ["--from-stdin", "--from-file=-"])
def test_from_standard_input(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"main\0usr/bin")))
    assert cli("checkout", "-U", option, tmp_path / "out") == ""
    assert names_in(tmp_path / "out") == {"tool"}


@pytest.mark.usefixtures("two")
def test_lists_that_fail(cli: Cli, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "list"
    words = ("checkout", "-U", f"--from-file={file}", out)
    assert "exists" in cli.fails(*words)  # no union: the first one is made
    assert names_in(out) == {"tool"}
    file.write_bytes(b"main\0usr/bin\0nowhere\0/\0")
    assert "nowhere" in cli.fails("--union", *words)
    file.write_bytes(b"main\0usr/nothing\0main\0usr/lib\0")
    assert "usr/nothing" in cli.fails("--union", *words)
    assert cli("--union", "--allow-noent", *words) == ""
    assert names_in(out) == {"tool", "libtool.so", "same"}
    file.write_bytes(b"main\n/usr\n")
    assert "NUL" in cli.fails(*words, status=2)
    file.write_bytes(b"")
    assert cli(*words) == ""
    assert "DEST" in cli.fails(*words, tmp_path / "other", status=2)
    assert "DEST" in cli.fails("--subpath=usr", *words, status=2)


@pytest.mark.root
def test_hard_links_of_a_file_whose_mode_changed(cli: Cli, tmp_path: Path) -> None:
    """Its content was here already, so it gets an object file of its own only now."""
    cli.repository = tmp_path / "bare"
    cli("init", "--mode=bare")
    file = write(tmp_path / "tree/file", b"content")
    cli.commit(tmp_path / "tree")
    file.chmod(0o600)
    cli.commit(tmp_path / "tree")
    cli("checkout", "-H", "main", tmp_path / "out")
    found = (tmp_path / "out/file").stat()
    assert (found.st_nlink, found.st_mode & 0o7777) == (2, 0o600)
