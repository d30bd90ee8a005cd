# SPDX-License-Identifier: LGPL-2.1-or-later
"""`commit --tree=tar=`."""

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.archives import archive, directory, file, member
from tests.support.commands import Done, command, ordinary_user, ostreefs, ostreefs_output
from tests.support.trees import list_tree


def commit_from_stdin(cli: Cli, data: bytes, *words: str) -> Done:
    return ostreefs(
        "--repo", cli.repository, "commit", "-b", "tar", "--tree=tar=-", *words, input=data
    )


def root_of(cli: Cli, revision: str) -> str:
    return str(cli.json("show", revision)["root"])


def test_there_and_back(cli: Cli, source: Path, tmp_path: Path) -> None:
    os.setxattr(source / "etc/empty", "user.note", b"\x01\xff")
    cli.commit(source)
    done = commit_from_stdin(cli, cli.run("export", "main").stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert root_of(cli, "tar") == root_of(cli, "main")
    cli("export", "main", "-o", tmp_path / "a.tar.xz")
    (tmp_path / "a.tar.xz").rename(tmp_path / "a.tar.gz")  # no name is believed
    found = cli.json("commit", "-b", "again", f"--tree=tar={tmp_path / 'a.tar.gz'}")
    assert (found["root"], found["objects_stored"]) == (root_of(cli, "main"), 0)
    out = tmp_path / "out"
    out.mkdir()
    extract = ["tar", "--xattrs", "--xattrs-include=*", "-xpC", str(out)]
    subprocess.run(extract, input=cli.run("export", "tar").stdout, check=True)
    assert list_tree(out) == list_tree(source)


def test_nobody_who_writes_fails(cli: Cli, source: Path) -> None:
    """Also what follows the end of an archive is read."""
    script = 'set -o pipefail; tar -C "$0" -c --record-size=1M . | "$@"'
    words = ["commit", "-b", "tar", "--tree=tar=-", "--repo", str(cli.repository)]
    done = subprocess.run(
        ["bash", "-c", script, str(source), *map(str, command(*words))],
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_layers_with_whiteouts(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli.commit(source)
    layer = tmp_path / "layer.tar"
    layer.write_bytes(
        gzip.compress(
            archive(
                file("usr/.wh.bin", b""),
                file("etc/.wh..wh..opq", b""),
                file("etc/new", b"new"),
                file("usr/share", b"was a directory"),
            )
        )
    )
    cli("commit", "-b", "made", "--tree=ref=main", f"--tree=tar={layer}", "--whiteouts")
    paths = set(cli.lines("ls", "-R", "made", "--nul-filenames-only")[0].split("\0"))
    assert {"/etc/new", "/usr/share", "/usr/lib/same"} <= paths
    assert not paths & {"/usr/bin", "/etc/empty", "/etc/.wh..wh..opq", "/usr/share/same"}
    assert "usr/share" in cli.fails("commit", "-b", "x", "--tree=ref=main", f"--tree=tar={layer}")


def test_implied_directories(cli: Cli, source: Path, tmp_path: Path) -> None:
    (source / "etc").chmod(0o711)
    cli.commit(source)
    (tmp_path / "a.tar").write_bytes(archive(file("etc/x", uid=5), file("new/x", uid=5)))
    tar = f"--tree=tar={tmp_path / 'a.tar'}"
    cli("commit", "-b", "made", "--tree=ref=main", tar)
    me = f"{os.geteuid()} {os.getegid()}"
    assert cli.lines("ls", "-d", "made", "etc", "new") == [
        f"d00711 {me}      0 /etc",
        "d00755 0 0      0 /new",
    ]
    cli("commit", "-b", "owned", tar, "--owner-uid=7", "--owner-gid=8")
    assert cli.lines("ls", "-d", "owned", "/", "new", "new/x") == [
        "d00755 7 8      0 /",
        "d00755 7 8      0 /new",
        "-00644 7 8      7 /new/x",
    ]


def test_skip_list(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "skip").write_text("/etc\n/usr/bin/\n")
    data = archive(directory("etc"), file("etc/x"), file("usr/bin/x"), file("usr/lib/x"))
    done = commit_from_stdin(cli, data, f"--skip-list={tmp_path / 'skip'}")
    assert done.returncode == 0
    listed = cli.lines("ls", "-R", "tar", "--nul-filenames-only")[0].split("\0")
    assert [path for path in listed if path] == ["/", "/usr", "/usr/lib", "/usr/lib/x"]


def test_as_an_ordinary_user(cli: Cli) -> None:
    """Who may make no device and give nothing away keeps all that an archive says."""
    headers = {"SCHILY.xattr.security.capability": "\1\0\0\2"}
    data = archive(
        directory("./", 0o000, uid=5),
        file("setuid", mode=0o4111, uid=0, gid=7, pax_headers=headers),
        member("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
    )
    assert commit_from_stdin(cli, data).returncode == 0
    with ordinary_user() as account:
        assert account.home is not None
        repository = ("--repo", account.home / "repo")
        ostreefs_output(*repository, "init", account=account)
        words = (*repository, "commit", "-b", "tar", "--tree=tar=-")
        ostreefs_output(*words, input=data, account=account)
        shown = ostreefs_output(*repository, "--json", "show", "tar", account=account)
        assert json.loads(shown)["root"] == root_of(cli, "tar")
        again = ostreefs_output(*repository, "export", "tar", account=account)
    assert again == cli.run("export", "tar").stdout


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\0" * 100, "it is not a tar archive"),
        (b"#!/bin/sh\n" * 100, "it is not a tar archive"),
        (archive(file("../evil")), "member ../evil: its name leads upwards with '..'"),
        (archive(file("/evil")), "member /evil: its name is absolute"),
        (
            archive(file("a"))[:515],
            "member a: the archive ends in the middle of it: it was cut off",
        ),
        (archive(file("a"))[:600], "it ends after byte 600: it was cut off"),
        (archive(file("a"))[:1024], "it has no end marker: it was cut off"),
        (gzip.compress(archive(file("a")))[:-9], "its gzip stream ends too early"),
        (
            archive(member("up", tarfile.SYMTYPE, linkname="/etc"), file("up/passwd")),
            "member up/passwd: the archive has up as something else than a directory",
        ),
        (
            archive(member("a", tarfile.LNKTYPE, linkname="b")),
            "member a: it is a link to b, which has not come before",
        ),
        (archive(file("new\nline/../x")), r"member new\nline/../x"),
    ],
)
def test_what_is_refused(cli: Cli, data: bytes, message: str) -> None:
    done = commit_from_stdin(cli, data)
    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert line.startswith(f"ostreefs: error: standard input: {message}")
    assert cli("refs") == ""


def test_paths_that_are_no_archives(cli: Cli, tmp_path: Path) -> None:
    assert "No such file" in cli.fails("commit", "-b", "x", "--tree=tar=/no/such.tar")
    assert "directory" in cli.fails("commit", "-b", "x", f"--tree=tar={tmp_path}")


def test_not_from_a_terminal(cli: Cli) -> None:
    parent, terminal = os.openpty()
    words = ("--repo", cli.repository, "commit", "-b", "x", "--tree=tar=-")
    done = ostreefs(*words, stdin=terminal)
    os.close(terminal)
    os.close(parent)
    assert done.returncode == 2
    assert b"terminal" in done.stderr
