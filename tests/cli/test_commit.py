# SPDX-License-Identifier: LGPL-2.1-or-later
"""`commit` with each of its options."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from ostreefs.cli.message import parse_timestamp
from ostreefs_store import durable
from tests.cli.conftest import Cli
from tests.support.commands import Word, complaint, ostreefs_output
from tests.support.trees import list_tree, make_socket, write


def test_prints_the_id_alone(cli: Cli, source: Path) -> None:
    printed = cli("commit", "-b", "main", source)
    assert re.fullmatch(r"[0-9a-f]{64}\n", printed)
    assert cli("rev-parse", "main") == printed


def test_defaults(cli: Cli, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    before = int(time.time())
    cli("commit", "--branch=main")
    shown = cli.json("show", "main")
    assert before <= shown["timestamp"] <= time.time()
    assert (shown["subject"], shown["body"], shown["parents"]) == ("", "", [])
    assert "/usr/bin/tool" in {entry["path"] for entry in cli.json("ls", "-R", "main")}


@pytest.mark.parametrize("words", [["--tree=dir={}"], ["--tree", "dir={}"], ["{}"]])
def test_ways_to_name_the_tree(cli: Cli, source: Path, words: list[str]) -> None:
    expected = cli.json("commit", "-b", "one", source)["root"]
    given = [word.format(source) for word in words]
    assert cli.json("commit", "-b", "two", *given)["root"] == expected


def test_a_directory_named_like_an_option(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "-d/file")
    monkeypatch.chdir(tmp_path)
    cli("commit", "-b", "x", "--", "-d")
    assert cli.lines("ls", "-d", "--", "x", "/file")[0].endswith(" /file")
    assert cli.fails("cat", "x", "--", "-no") == "-no: no such file or directory"


def test_subject_and_body(cli: Cli, source: Path) -> None:
    cli("commit", "-b", "a", "-s", "Sübject", "-m", "Body\n\nof two parts", source)
    cli("commit", "-b", "b", "--subject=Sübject", "--body=Body\n\nof two parts", source)
    for branch in "ab":
        shown = cli.json("show", branch)
        assert (shown["subject"], shown["body"]) == ("Sübject", "Body\n\nof two parts")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("@0", 0),
        ("0", 0),
        ("@-5", -5),
        ("@1700000000", 1700000000),
        ("1970-01-02", 86400),
        ("2026-01-31T12:00:00Z", 1769860800),
        ("2026-01-31T12:00:00", 1769860800),
        ("2026-01-31 12:00:00+02:00", 1769853600),
    ],
)
def test_timestamps(text: str, seconds: int) -> None:
    assert parse_timestamp(text) == seconds


def test_timestamp(cli: Cli, source: Path) -> None:
    one = cli("commit", "-b", "one", "--timestamp=@1000000000", source)
    assert cli("commit", "-b", "two", "--timestamp=2001-09-09T01:46:40Z", source) == one
    assert cli.json("show", "one")["timestamp"] == 1000000000
    assert "2001-09-09 01:46:40 +0000" in cli("log", "one")


def test_parents(cli: Cli, source: Path) -> None:
    first = cli.commit(source, "main")
    other = cli.commit(source, "other", "-s", "other")
    second = cli.commit(source, "main")
    assert cli.json("show", second)["parents"] == [first]
    third = cli.commit(source, "main", "--parent=other")
    assert cli.json("show", third)["parents"] == [other]
    fourth = cli.commit(source, "main", "--parent", "main~1", "-s", "fourth")
    assert cli.json("show", fourth)["parents"] == [other]
    fifth = cli.commit(source, "main", "--parent=none")
    assert cli.json("show", fifth)["parents"] == []
    assert "revision 'nothing' not found" in cli.fails(
        "commit", "-b", "main", "--parent=nothing", source
    )
    assert cli("rev-parse", "main").strip() == fifth


def test_owner(cli: Cli, source: Path) -> None:
    cli.commit(source, "main", "--owner-uid=1234", "--owner-gid", "0")
    entries = cli.json("ls", "-R", "main")
    assert {(entry["uid"], entry["gid"]) for entry in entries} == {(1234, 0)}
    cli.commit(source, "main", "--owner-gid=4294967294")
    entries = cli.json("ls", "-R", "main")
    assert {(entry["uid"], entry["gid"]) for entry in entries} == {(os.geteuid(), 4294967294)}


def test_no_xattrs(cli: Cli, source: Path) -> None:
    os.setxattr(source / "usr/bin/tool", "user.note", b"\xffvalue")
    cli.commit(source, "with")
    cli.commit(source, "without", "--no-xattrs")
    assert cli.json("ls", "with", "/usr/bin/tool")[0]["xattrs"] == {
        "user.note": b"\xffvalue".hex()
    }
    assert cli.json("ls", "without", "/usr/bin/tool")[0]["xattrs"] == {}


def test_skip_if_unchanged(cli: Cli, source: Path) -> None:
    first = cli.commit(source, "main", "--skip-if-unchanged")
    assert cli.commit(source, "main", "--skip-if-unchanged", "-s", "again") == first
    document = cli.json("commit", "-b", "main", "--skip-if-unchanged", source)
    assert (document["commit"], document["new"]) == (first, False)
    write(source / "new", b"new")
    assert cli.commit(source, "main", "--skip-if-unchanged") != first
    assert len(cli.json("log", "main")) == 2


def test_consume(cli: Cli, source: Path, tmp_path: Path) -> None:
    (source / "usr/read-only").chmod(0o755)
    expected = list_tree(source)
    cli.commit(source, "main", "--consume")
    assert not source.exists()
    cli("checkout", "main", tmp_path / "out")
    assert list_tree(tmp_path / "out") == expected
    assert cli("fsck", "-q") == ""


def test_sockets_are_left_out(cli: Cli, source: Path) -> None:
    make_socket(source / "etc/so\ncket")
    done = cli.run("commit", "-b", "main", source)
    assert done.returncode == 0
    assert done.stderr == (b"ostreefs: warning: etc/so\\ncket is a socket and was left out\n")
    assert re.fullmatch(rb"[0-9a-f]{64}\n", done.stdout)
    assert "socket" not in cli("ls", "-R", "main")


def test_sockets_are_not_consumed(cli: Cli, source: Path) -> None:
    (source / "usr/read-only").chmod(0o755)
    make_socket(source / "etc/socket")
    done = cli.run("commit", "-b", "main", "--consume", source)
    assert done.returncode == 0
    assert sorted(source.rglob("*")) == [source / "etc", source / "etc/socket"]
    assert done.stderr.count(b"was committed but not deleted: Directory not empty\n") == 2


def test_verbose(cli: Cli, source: Path) -> None:
    done = cli.run("commit", "-v", "-b", "main", source)
    assert done.returncode == 0
    assert re.fullmatch(rb"ostreefs: read \d+ files \(.* KiB\), stored .* trees\n", done.stderr)


def test_json(cli: Cli, source: Path) -> None:
    make_socket(source / "etc/socket")
    done = cli.run("--json", "commit", "-b", "main", source)
    document = json.loads(done.stdout)
    assert document["commit"] == cli("rev-parse", "main").strip()
    assert document["root"] == cli.json("show", "main")["root"]
    assert document["new"] is True
    assert document["skipped"] == ["etc/socket"]
    assert document["objects_stored"] > 3
    assert document["trees_stored"] > 5


@pytest.mark.parametrize(
    "branch", ["", ".", "a//b", "/a", "a/", "-a", "a b", "é", "a\nb", "0" * 64, "a" * 256]
)
def test_bad_branch(cli: Cli, source: Path, branch: str) -> None:
    assert "invalid ref" in cli.fails("commit", f"--branch={branch}", source)
    assert cli("refs") == ""


def test_branch_beside_a_folder(cli: Cli, source: Path) -> None:
    cli.commit(source, "os/stable")
    assert "folder" in cli.fails("commit", "-b", "os", source)
    assert "folder" in cli.fails("commit", "-b", "os/stable/x", source)


def test_bad_source(cli: Cli, source: Path) -> None:
    missing = source / "missing\n"
    assert (
        cli.fails("commit", "-b", "x", missing)
        == f"{source}/missing\\n: No such file or directory"
    )
    file = source / "usr/bin/tool"
    assert cli.fails("commit", "-b", "x", file) == f"{file}: Not a directory"


WRONG: list[list[Word]] = [
    ["."],
    ["-b", "x", "--tree=zip=x"],
    ["-b", "x", "--orphan", "."],
    ["."],
    ["-b", "x", "--tree=overlay=."],
    ["-b", "x", "--tree=tar=-", "--tree=tar=-"],
    ["-b", "x", "--add-metadata=a", "."],
    ["-b", "x", "--add-metadata=a=b", "."],
    ["-b", "x", "--add-metadata-string==b", "."],
    ["-b", "x", "-m", "body", "-F", "-", "."],
    ["-b", "x", "--tree=dir="],
    ["-b", "x", "--tree=dir=.", "."],
    ["-b", "x", ".", "--", "-d"],
    ["-b", "x", "-s", "--", "."],
    ["-b", "x", "--timestamp=yesterday"],
    ["-b", "x", "--timestamp=@99999999999999999999"],
    ["-b", "x", "--timestamp=1e5"],
    ["-b", "x", "--owner-uid=-1"],
    ["-b", "x", "--owner-uid=4294967295"],
    ["-b", "x", "--owner-gid=root"],
    ["-b", "x", "-s", b"\xff"],
    ["-b", "x", "-m", b"\xff"],
    ["-b", "x", ".", "."],
    ["-b"],
    ["-b", "x", "--own"],
]


@pytest.mark.parametrize("words", WRONG, ids=str)
def test_wrong_usage(cli: Cli, words: list[Word]) -> None:
    cli.fails("commit", *words, status=2)
    assert cli("refs") == ""


def test_two_commits_to_one_branch_at_once(cli: Cli, source: Path, tmp_path: Path) -> None:
    """Both are stored; the first to end moves the branch, the other says that it did not."""
    first = cli.commit(source, "main")
    write(source / "new", b"what the loser has")
    other = write(tmp_path / "other/file", b"what the winner has").parent
    winners: list[str] = []

    def commit_at_once(point: str) -> None:
        if point.startswith("object:") and not winners:
            words = ("commit", "--repo", cli.repository, "-b", "main", "--timestamp=@0", other)
            winners.append(ostreefs_output(*words).decode().strip())

    durable.set_trace_hook(commit_at_once)
    try:
        done = cli.run("commit", "-b", "main", "--timestamp=@0", source)
    finally:
        durable.set_trace_hook(None)
    [winner] = winners
    assert done.returncode == 1
    error = complaint(done)
    [loser] = re.findall(r"commit ([0-9a-f]{64}) is stored", error)
    assert f"moved to {winner} meanwhile" in error
    assert f"ostreefs reset main {loser}" in done.stderr.decode()
    assert cli("rev-parse", "main").strip() == winner
    assert cli.json("show", loser)["parents"] == [first]
    assert cli("cat", loser, "new") == "what the loser has"
    cli("reset", "main", loser)
    assert [commit["commit"] for commit in cli.json("log", "main")] == [loser, first]
    assert cli("fsck", "-q") == ""


# ---- several trees and what is said of them ----


def test_trees_are_laid_over_one_another(cli: Cli, source: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine/usr/bin/tool", b"mine")
    cli("commit", "-b", "base", source)
    trees = ("--tree=ref=base", f"--tree=dir={tmp_path / 'mine'}")
    made = cli.json("commit", "-b", "made", *trees)
    assert made["files_read"] == 1
    assert cli("cat", "made", "/usr/bin/tool") == "mine"
    assert cli("cat", "made", "/usr/lib/same") == "same content"
    assert cli.json("commit", "-b", "same", "--base=base", trees[1])["root"] == made["root"]
    assert (
        cli.json("commit", "-b", "base2", "--base=base")["root"]
        == cli.json("show", "base")["root"]
    )


def test_trees_that_disagree(cli: Cli, source: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine/usr", b"a file")
    trees = (f"--tree=dir={source}", f"--tree=dir={tmp_path / 'mine'}")
    message = cli.fails("commit", "-b", "made", *trees)
    assert message == "usr is a directory in one tree and a file in a tree laid over it"


def test_an_archive(cli: Cli, source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    subprocess.run(["tar", "-C", source, "-czf", archive, "."], check=True)
    expected = cli.json("commit", "-b", "dir", "--no-xattrs", source)["root"]
    assert cli.json("commit", "-b", "tar", f"--tree=tar={archive}")["root"] == expected
    archive.write_bytes(archive.read_bytes()[:100])
    assert str(archive) in cli.fails("commit", "-b", "tar", f"--tree=tar={archive}")
    assert cli.json("show", "tar")["root"] == expected


def test_an_orphan(cli: Cli, source: Path) -> None:
    commit = cli("commit", "--orphan", source).strip()
    assert cli("refs") == ""
    assert cli.json("show", commit)["parents"] == []


def test_message_from_a_file(cli: Cli, source: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "message", b"Subject\n\nBody\nof two lines\n")
    cli("commit", "-b", "x", "-F", path, source)
    shown = cli.json("show", "x")
    assert (shown["subject"], shown["body"]) == ("Subject", "Body\nof two lines")
    cli("commit", "-b", "x", "-s", "Given", "-F", path, source)
    assert cli.json("show", "x")["subject"] == "Given"
    path.write_bytes(b"\xff")
    assert "is not UTF-8" in cli.fails("commit", "-b", "x", "-F", path, source, status=2)


def test_message_from_an_editor(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = write(
        tmp_path / "editor", b"#!/bin/sh\nsed -i '1s/.*/From the editor/' \"$1\"\n", 0o755
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(editor))
    cli("commit", "-b", "x", "-e", "-s", "Draft", "-m", "Body", source)
    shown = cli.json("show", "x")
    assert (shown["subject"], shown["body"]) == ("From the editor", "Body")
    monkeypatch.setenv("EDITOR", "true")
    assert "empty" in cli.fails("commit", "-b", "y", "-e", source, status=2)
    for broken, said in (("false", "failed"), ("/nonexistent/editor", "no editor")):
        monkeypatch.setenv("EDITOR", broken)
        assert said in cli.fails("commit", "-b", "y", "-e", source, status=2)
    assert cli("refs") == "x\n"


def test_metadata(cli: Cli, source: Path) -> None:
    given = ("--add-metadata-string=a=b=c", "--add-metadata=n=uint32 5", "--add-metadata=t=true",
             "--add-metadata=q='text'", "--add-metadata=h=0x10")  # fmt: skip
    cli("commit", "-b", "x", *given, source)
    assert cli.json("show", "x")["metadata"] == {
        "a": "b=c",
        "n": 5,
        "t": True,
        "q": "text",
        "h": 16,
    }


def test_bootable(cli: Cli, source: Path) -> None:
    assert "no kernel" in cli.fails("commit", "-b", "x", "--bootable", source)
    write(source / "usr/lib/modules/6.1/vmlinuz", b"kernel")
    cli("commit", "-b", "x", "--bootable", source)
    assert cli.json("show", "x")["metadata"] == {"ostree.bootable": True, "ostree.linux": "6.1"}


def test_lists_of_paths(cli: Cli, source: Path, tmp_path: Path) -> None:
    skip = write(tmp_path / "skip", b"/usr/share\n\n/etc/fifo\n")
    modes = write(tmp_path / "modes", b"+64 /usr/lib/same\n")
    cli("commit", "-b", "x", f"--skip-list={skip}", f"--statoverride={modes}", source)
    listed = {entry["path"]: entry for entry in cli.json("ls", "-R", "x")}
    assert not {"/usr/share", "/etc/fifo"} & set(listed)
    assert listed["/usr/lib/same"]["mode"] == "0744"
    modes.write_bytes(b"+64 /nowhere\n")
    message = cli.fails("commit", "-b", "x", f"--statoverride={modes}", source)
    assert message == "the tree has no mode to override at /nowhere"
    modes.write_bytes(b"wrong\n")
    message = cli.fails("commit", "-b", "x", f"--statoverride={modes}", source, status=2)
    assert message.startswith(f"line 1 of {modes}")


@pytest.mark.root
def test_two_sources_are_consumed(cli: Cli, source: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine/usr/bin/tool", b"mine")
    cli(
        "commit", "-b", "x", "--consume", f"--tree=dir={source}", f"--tree=dir={tmp_path / 'mine'}"
    )
    assert not source.exists()
    assert not (tmp_path / "mine").exists()
    assert cli("cat", "x", "/usr/bin/tool") == "mine"
    assert "no damage" in cli("fsck")
