# SPDX-License-Identifier: LGPL-2.1-or-later
"""`fsck`: what it prints, and its exit status."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ostreefs_store.lock import shared_lock
from tests.cli.conftest import Cli
from tests.support.commands import (
    OURSELVES,
    Done,
    Word,
    command,
    ordinary_user,
    ostreefs,
    ostreefs_output,
)
from tests.support.trees import write

TOOL = "/usr/bin/tool"


def object_path(cli: Cli, path: str, revision: str = "main") -> Path:
    [document] = cli.json("ls", revision, path)
    digest: str = document["digest"]
    return cli.repository / "objects" / digest[:2] / digest[2:]


def damage(cli: Cli, path: str = TOOL) -> Path:
    victim = object_path(cli, path)
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[:-1] + b"?")
    return victim


def said(done: Done) -> list[str]:
    assert done.stderr == b"", done
    return done.stdout.decode().splitlines()


def as_json(cli: Cli, *words: Word, status: int = 3) -> Any:
    done = cli.run("--json", "fsck", *words)
    assert (done.returncode, done.stderr) == (status, b""), done
    return json.loads(done.stdout)


def test_fsck(cli: Cli, source: Path) -> None:
    cli.commit(source)
    for words in ([], ["--quick"], ["--repair"], ["--delete"], ["--repair", "--from", source]):
        lines = cli.lines("fsck", *words)
        assert lines[0].startswith("fsck: checked 1 commits, ")
        assert lines[-1] == "fsck: no damage found"
    assert cli("fsck", "-q") == ""
    assert cli("fsck", "--quiet", "--quick") == ""
    report = cli.json("fsck")
    assert (report["commits"], report["problems"], report["broken"]) == (1, [], [])
    assert report["files"] > 5


@pytest.mark.parametrize("words", [[], ["-q"], ["--quick", "-q"]])
def test_damage(cli: Cli, source: Path, words: list[str]) -> None:
    commit = cli.commit(source)
    digest = object_path(cli, TOOL)
    digest.unlink()
    done = cli.run("fsck", *words)
    assert done.returncode == 3
    name = digest.parent.name + digest.name
    lines = said(done)
    assert lines[:4] == [
        f"file {name}: its object file is missing",
        f"    {TOOL} in commit {commit}",
        f"commit {commit} (main): 1 damaged object: {TOOL}",
        "fsck: damage found: 1",
    ]
    assert b"no damage" not in done.stdout
    report = as_json(cli, *words)
    [problem] = report["problems"]
    assert (problem["name"], problem["state"], problem["deleted"]) == (name, "missing", False)
    assert problem["paths"] == [[commit, TOOL]]
    [broken] = report["broken"]
    assert broken == {"commit": commit, "refs": ["main"], "needs": 1, "paths": [TOOL]}


def test_paths_are_not_all_printed_unless_asked_for(cli: Cli, tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / f"many/{number}", b"all the same")
    cli.commit(tmp_path / "many")
    damage(cli, "/0")
    lines = said(cli.run("fsck"))
    assert "    and 6 more paths (-v prints them)" in lines
    assert any(line.endswith(": 9 damaged objects: /0, /1, /2, …") for line in lines)
    assert sum(" in commit " in line for line in said(cli.run("fsck", "-v"))) == 9


def test_repair(cli: Cli, source: Path) -> None:
    commit = cli.commit(source)
    victim = damage(cli)
    done = cli.run("fsck", "--repair")
    assert done.returncode == 3
    assert "    not repaired: no whole copy of its content was found" in said(done)
    assert "fsck: repaired: 0" in said(done)
    assert any(line.startswith(f"commit {commit} (main): 1 damaged") for line in said(done))
    lines = cli.lines("fsck", "--repair", f"--from={source}")
    assert f"    repaired: from {source}{TOOL}" in lines
    assert lines[-3:-1] == ["fsck: repaired: 1", "fsck: no damage remains"]
    assert not any(line.startswith("commit ") for line in lines)
    assert victim.read_bytes() == (source / TOOL[1:]).read_bytes()
    assert cli.lines("fsck")[-1] == "fsck: no damage found"


def test_repair_as_json(cli: Cli, source: Path) -> None:
    cli.commit(source)
    damage(cli)
    [problem] = as_json(cli, "--repair")["problems"]
    assert problem["repaired"] is False
    document = as_json(cli, "--repair", "--from", source, status=0)
    [problem] = document["problems"]
    assert (problem["repaired"], problem["repair"]) == (True, f"from {source}{TOOL}")
    assert document["broken"] == []


def test_from_several_directories(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli.commit(source)
    damage(cli)
    (tmp_path / "empty").mkdir()
    cli("fsck", "--repair", "--from", tmp_path / "empty", "--from", source)
    assert cli.fails("fsck", "--from", tmp_path / "gone").startswith(f"{tmp_path}/gone: ")


def test_delete(cli: Cli, source: Path) -> None:
    commit = cli.commit(source)
    victim = damage(cli)
    done = cli.run("fsck", "--delete")
    assert done.returncode == 3
    assert "    deleted" in said(done)
    assert "fsck: deleted: 1" in said(done)
    assert any(line.startswith(f"commit {commit} (main): 1 damaged") for line in said(done))
    assert not victim.exists()
    assert "is missing" in cli.fails("cat", "main", TOOL, status=3)
    assert [p["state"] for p in as_json(cli)["problems"]] == ["missing"]
    cli.commit(source)
    assert cli.lines("fsck")[-1] == "fsck: no damage found"


def test_repair_comes_before_delete(cli: Cli, source: Path) -> None:
    cli.commit(source)
    one, other = damage(cli), damage(cli, "/usr/share/private")
    (source / "usr/share/private").unlink()
    document = as_json(cli, "--repair", "--delete", "--from", source)
    told = {p["paths"][0][1]: (p["repaired"], p["deleted"]) for p in document["problems"]}
    assert told == {TOOL: (True, False), "/usr/share/private": (False, True)}
    assert (one.exists(), other.exists()) == (True, False)


@pytest.mark.parametrize("beside", [True, False])
def test_who_shares_the_inode(cli: Cli, source: Path, tmp_path: Path, *, beside: bool) -> None:
    """A deployment beside the repository is found without being named."""
    cli.commit(source)
    place = tmp_path / ("deployment" if beside else "far/away/checkout")
    place.parent.mkdir(parents=True, exist_ok=True)
    cli("checkout", "-U", "-H", "main", place)
    os.link(place / TOOL[1:], tmp_path / "another-name")
    with (place / TOOL[1:]).open("ab") as file:
        file.write(b"written through a hard link")
    inode = (place / TOOL[1:]).stat().st_ino
    lines = said(cli.run("fsck"))
    told = f"    {place}{TOOL} has the same inode" in lines
    assert told == beside
    [other] = [line for line in lines if "elsewhere" in line]
    assert re.fullmatch(
        rf"    {2 - beside} files elsewhere have the same inode: find \S+ -xdev -inum {inode}",
        other,
    )
    lines = said(cli.run("fsck", f"--from={tmp_path}"))
    assert f"    {place}{TOOL} has the same inode" in lines
    assert f"    {tmp_path}/another-name has the same inode" in lines
    assert not any("elsewhere" in line for line in lines)
    lines = cli.lines("fsck", "--repair", f"--from={source}")
    assert (
        "fsck: the files that have the same inode are as they were: check them out again" in lines
    )
    assert (place / TOOL[1:]).read_bytes().endswith(b"through a hard link")


def test_quick_suspects(cli: Cli, source: Path) -> None:
    cli.commit(source)
    object_path(cli, TOOL).touch()
    done = cli.run("fsck", "--quick")
    assert done.returncode == 3
    assert "it may have been written to" in said(done)[0]
    assert cli.lines("fsck")[-1] == "fsck: no damage found"
    assert "    repaired: its content was whole" in cli.lines("fsck", "--quick", "--repair")
    assert cli.lines("fsck", "--quick")[-1] == "fsck: no damage found"


@pytest.mark.root
def test_who_may_not_read_all() -> None:
    """That is no damage, and not "no damage" either."""
    with ordinary_user() as account:
        assert account.home is not None
        place = account.home.parent
        write(place / "source/private", b"for root alone", 0o600)
        write(place / "source/public", b"for all")
        repository = f"--repo={place / 'repo'}"
        ostreefs_output(repository, "init", "--mode=bare")
        ostreefs_output(repository, "commit", "-b", "main", place / "source")
        done = ostreefs(repository, "fsck", account=account)
        assert done.returncode == 1
        assert done.stderr.startswith(b"ostreefs: error: 1 object files could not be checked")
        assert b"no damage found" not in done.stdout
        ostreefs_output(repository, "fsck", "--quick", "-q", account=account)
        assert ostreefs(repository, "fsck", "--repair", account=account).returncode == 1


def test_delete_waits_for_others(cli: Cli, source: Path) -> None:
    """It says so, and goes on when they have ended."""
    cli.commit(source)
    victim = damage(cli)
    words = command(f"--repo={cli.repository}", "fsck", "--delete")
    with shared_lock(cli.repository):
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=OURSELVES.environment(),
        )
        assert process.stderr is not None
        assert b"others use the repository" in process.stderr.readline()
        assert victim.exists()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, b"")
    assert b"    deleted\n" in out
    assert not victim.exists()
