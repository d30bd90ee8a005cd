# SPDX-License-Identifier: LGPL-2.1-or-later
"""`ls`, `cat`, `diff` and `checkout`."""

import json
import os
import stat
from pathlib import Path

import pytest

from ostreefs_store.model import BlockDevice, CharDevice
from ostreefs_store.repository import Repository
from tests.cli.conftest import Cli
from tests.support.commits import Content, put_commit
from tests.support.trees import AWKWARD_NAMES, as_user, list_tree, make_awkward_names, write

ME = f"{os.geteuid()} {os.getegid()}"


@pytest.fixture
def commit(cli: Cli, source: Path) -> str:
    os.setxattr(source / "etc/empty", "user.note", b"\x01\xff")
    return cli.commit(source)


# ---- ls


@pytest.mark.usefixtures("commit")
def test_ls(cli: Cli) -> None:
    assert cli.lines("ls", "main") == [
        f"d00755 {ME}      0 /",
        f"l00777 {ME}      0 /bin -> usr/bin",
        f"d00755 {ME}      0 /etc",
        f"d00755 {ME}      0 /usr",
    ]
    assert cli.lines("ls", "main", "/etc", "usr/bin/tool") == [
        f"d00755 {ME}      0 /etc",
        f"-00644 {ME}      0 /etc/empty",
        f"d00755 {ME}      0 /etc/empty.d",
        f"p00640 {ME}      0 /etc/fifo",
        f"l00777 {ME}      0 /etc/nowhere -> /nonexistent/target",
        f"-00755 {ME}     20 /usr/bin/tool",
    ]


@pytest.mark.usefixtures("commit")
def test_ls_recursive(cli: Cli, source: Path) -> None:
    expected = sorted(f"/{path.relative_to(source)}" for path in source.rglob("*"))
    for option in ("-R", "--recursive"):
        names = cli("ls", "main", option, "--nul-filenames-only").split("\0")
        assert names[0] == "/"
        assert sorted(names[1:-1]) == expected
    below = cli.lines("ls", "-R", "main", "/etc")
    assert [line.split(" /")[1] for line in below][:2] == ["etc", "etc/empty"]


@pytest.mark.usefixtures("commit")
def test_ls_of_directories_themselves(cli: Cli) -> None:
    for option in ("-d", "--dironly"):
        assert cli.lines("ls", option, "main", "/etc") == [f"d00755 {ME}      0 /etc"]
        assert cli.lines("ls", option, "-R", "main") == [f"d00755 {ME}      0 /"]


@pytest.mark.usefixtures("commit")
def test_ls_digests_and_xattrs(cli: Cli) -> None:
    [document] = cli.json("ls", "main", "/etc/empty")
    for option in ("-C", "--checksum"):
        assert document["digest"] in cli("ls", option, "main", "/etc/empty")
    for option in ("-X", "--xattrs"):
        assert "{user.note=0x01ff} /etc/empty" in cli("ls", option, "main", "/etc/empty")
        assert "{} /etc/fifo" in cli("ls", option, "main", "/etc/fifo")


@pytest.mark.usefixtures("commit")
def test_ls_json(cli: Cli) -> None:
    found = {entry["path"]: entry for entry in cli.json("ls", "-R", "main")}
    assert {entry["kind"] for entry in found.values()} == {"directory", "file", "symlink", "fifo"}
    tool = found["/usr/bin/tool"]
    assert (tool["mode"], tool["uid"], tool["gid"]) == ("0755", os.geteuid(), os.getegid())
    assert tool["size"] == 20
    assert len(tool["digest"]) == len(tool["content"]) == 64
    assert found["/bin"]["target"] == "usr/bin"
    assert found["/etc/empty"]["xattrs"] == {"user.note": "01ff"}


def test_ls_devices(cli: Cli) -> None:
    with (
        Repository.open(cli.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        content: Content = {
            b"null": CharDevice(0o666, 0, 5, (), 1, 3),
            b"loop": BlockDevice(0o660, 6, 7, (), 7, 0),
        }
        put_commit(transaction, content, branch="main")
    assert cli.lines("ls", "main")[1:] == ["b00660 6 7      0 /loop", "c00666 0 5      0 /null"]
    loop = cli.json("ls", "main", "/loop")[0]
    assert (loop["kind"], loop["major"], loop["minor"]) == ("block", 7, 0)


def test_awkward_names(cli: Cli, tmp_path: Path) -> None:
    make_awkward_names(tmp_path / "awkward")
    cli.commit(tmp_path / "awkward")
    done = cli.run("ls", "main", "--nul-filenames-only", "/files")
    assert set(done.stdout.split(b"\0")[1:-1]) == {b"/files/" + name for name in AWKWARD_NAMES}
    done = cli.run("ls", "main", "/files")
    for name in AWKWARD_NAMES:
        assert b"/files/" + name + b"\n" in done.stdout
    documents = cli.json("ls", "main", "/links")[1:]
    assert {os.fsencode(entry["path"]) for entry in documents} == {
        b"/links/" + name for name in AWKWARD_NAMES
    }
    assert {os.fsencode(entry["target"]) for entry in documents} == set(AWKWARD_NAMES)
    for name in AWKWARD_NAMES:
        assert cli.run("cat", "main", b"/files/" + name).stdout == name
    empty = tmp_path / "empty"
    empty.mkdir()
    cli.commit(empty)
    done = cli.run("diff", "main")
    assert b"D    /files/not utf-8 \xff\xfe\n" in done.stdout
    changes = json.loads(cli.run("--json", "diff", "main").stdout)
    assert b"/files/not utf-8 \xff\xfe" in {
        os.fsencode(change["path"]) for change in changes["changes"]
    }


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/nothing", "/nothing: no such file or directory"),
        (b"/usr/bin/tool/x", "/usr/bin/tool/x: /usr/bin/tool is not a directory"),
        (b"/bin/tool", "/bin/tool: /bin is a symbolic link"),
        (b"/\xff\n", "/\\xff\\n: no such file or directory"),
        (b"..", "..: no such file or directory"),
    ],
)
def test_path_that_is_not_there(cli: Cli, path: bytes, reason: str) -> None:
    assert cli.fails("ls", "main", path) == reason
    assert cli.fails("cat", "main", path) == reason
    assert cli.fails("checkout", "main", "--subpath", path, "/nowhere") == reason


# ---- cat


@pytest.mark.usefixtures("commit")
def test_cat(cli: Cli, source: Path) -> None:
    tool, library = (source / "usr/bin/tool").read_bytes(), (source / "usr/lib/libtool.so")
    assert cli.run("cat", "main", "/usr/bin/tool").stdout == tool
    words = ("usr/bin/tool", "/etc/empty", "/usr/lib/libtool.so", "usr//bin/./tool")
    assert cli.run("cat", "main", *words).stdout == tool + library.read_bytes() + tool


@pytest.mark.usefixtures("commit")
def test_cat_of_what_is_no_file(cli: Cli) -> None:
    assert cli.fails("cat", "main", "/usr") == "/usr: is not a regular file (directory)"
    assert cli.fails("cat", "main", "/bin") == "/bin: is not a regular file (symlink)"
    assert cli.fails("cat", "main", "/etc/fifo") == "/etc/fifo: is not a regular file (fifo)"


# ---- diff


def test_diff(cli: Cli, commit: str, source: Path) -> None:
    write(source / "etc/new.d/new", b"new")
    write(source / "usr/lib/same", b"other")
    (source / "usr/bin/tool").chmod(0o700)
    (source / "etc/empty").unlink()
    (source / "usr/share").chmod(0o700)
    cli.commit(source)
    expected = [
        "D    /etc/empty",
        "A    /etc/new.d",
        "A    /etc/new.d/new",
        "Mm   /usr/bin/tool",
        "M    /usr/lib/same",
        "Mm   /usr/share",
    ]
    assert cli.lines("diff", commit, "main") == expected
    assert cli.lines("diff", "main") == expected
    document = cli.json("diff", commit, "main")
    assert (document["old"], document["new"]) == (commit, cli("rev-parse", "main").strip())
    assert [(change["change"], change["path"]) for change in document["changes"]] == [
        (line[0], line[5:]) for line in expected
    ]
    assert [change["modified"] for change in document["changes"]] == [
        *([], [], []),
        *(["mode"], ["content", "size"], ["mode"]),
    ]
    tool = document["changes"][3]
    assert (tool["old"]["mode"], tool["new"]["mode"]) == ("0755", "0700")
    assert document["changes"][0]["new"] is None
    assert document["stats"]["added"] == {"files": 1, "directories": 1, "size": 3}
    assert document["stats"]["modified"]["aspects"] == {
        "mode": 2,
        "content": 1,
        "size": 1,
    }
    assert cli.lines("diff", "main", "--", "usr/bin", "/etc/empty") == [expected[0], expected[3]]
    assert cli.lines("diff", "main", commit, "--", "usr/bin") == [expected[3]]
    assert "no such file" in cli.fails("diff", "main", "--", "nothing")
    assert cli.lines("diff", "main", commit)[0] == "A    /etc/empty"
    assert cli("diff", "main", "main") == ""
    assert cli.json("diff", "main", "main")["changes"] == []
    assert "not found" in cli.fails("diff", commit)


def test_diff_letters(cli: Cli, commit: str, source: Path) -> None:
    tool = source / "usr/bin/tool"
    write(tool, b"other", 0o700)
    (source / "etc/nowhere").unlink()
    (source / "etc/nowhere").write_text("no link any more")
    (source / "bin").unlink()
    (source / "bin").symlink_to("elsewhere")
    os.setxattr(source / "usr/share/same", "user.x", b"y")
    cli.commit(source)
    assert cli.lines("diff", "main") == [
        "Ml   /bin",
        "Mt   /etc/nowhere",
        "Mcm  /usr/bin/tool",
        "Mx   /usr/share/same",
    ]


def test_diff_stats(cli: Cli, commit: str, source: Path) -> None:
    (source / "usr/bin/tool").chmod(0o700)
    write(source / "usr/lib/same", b"other")
    cli.commit(source)
    expected = [
        "Added:     0 files (0 B)",
        "Deleted:   0 files (0 B)",
        "Modified:  2 files (12 B -> 5 B)",
        "           mode 1, content 1, size 1; metadata alone 1",
        "Size:      -7 B",
    ]
    listing = ["Mm   /usr/bin/tool", "M    /usr/lib/same"]
    assert cli.lines("diff", "--stats", "main") == expected
    assert cli.lines("diff", "--stats", "--fs-diff", "main") == listing + expected
    assert cli.lines("diff", "--fs-diff", "main") == listing
    assert cli.lines("diff", "--stats", "main", "main")[2:] == [
        "Modified:  0 files (0 B -> 0 B)",
        "Size:      +0 B",
    ]


def test_diff_packages(cli: Cli, commit: str, source: Path) -> None:
    """With --packages or --stats; of a whole commit, and where both have a database."""
    status = source / "var/lib/dpkg/status"
    write(status, b"Package: a\nVersion: 1\n\nPackage: b\nArchitecture: x\nVersion: 2\n")
    first = cli.commit(source)
    assert cli.lines("diff", "--packages", commit, first) == [
        "Packages:  no database of dpkg or rpm in both commits"
    ]
    assert not any(line.startswith("Pack") for line in cli.lines("diff", "--stats", commit, first))
    write(status, b"Package: a\nVersion: 2\n\nPackage: c\nVersion: 3\n")
    cli.commit(source)
    expected = [
        "Packages:  1 upgraded, 1 added, 1 removed (dpkg)",
        "  upgraded    a 1 -> 2",
        "  added       c 3",
        "  removed     b 2",
    ]
    assert cli.lines("diff", "--packages", "main") == expected
    assert cli.lines("diff", "--packages", "--fs-diff", "main") == [
        "M    /var/lib/dpkg/status",
        *expected,
    ]
    assert cli.lines("diff", "--stats", "main")[-4:] == expected
    assert "Packages" not in cli("diff", "--stats", "main", "--", "var")
    assert cli.lines("diff", "--packages", "main", "main") == ["Packages:  no change (dpkg)"]
    [document] = cli.json("diff", "--packages", "main")["packages"]
    assert (document["database"], document["problem"]) == ("dpkg", None)
    assert document["changes"][1] == {
        "kind": "removed",
        "name": "b",
        "arch": "x",
        "old": "2",
        "new": None,
    }
    write(source / "var/lib/rpm/Packages.db", b"1")
    second = cli.commit(source)
    write(source / "var/lib/rpm/Packages.db", b"2")
    cli.commit(source)
    assert cli.lines("diff", "--packages", second, "main") == [
        "Packages:  no change (dpkg)",
        "Packages:  the rpm database cannot be read: its form is ndb, and only SQLite can be read",
    ]


def test_diff_with_a_directory(cli: Cli, commit: str, source: Path) -> None:
    os.setxattr(source / "usr/share/same", "user.x", b"y")
    write(source / "usr/lib/same", b"changed\n")
    (source / "etc/empty").unlink()
    expected = ["D    /etc/empty", "M    /usr/lib/same", "Mx   /usr/share/same"]
    assert cli.lines("diff", "main", source) == expected
    assert cli.lines("diff", "main", source, "--no-xattrs") == expected[:2]
    assert cli.lines("diff", source, "main", "--", "etc") == ["A    /etc/empty"]
    assert cli("diff", source, source) == ""
    document = cli.json("diff", "main", source)
    assert (document["old"], document["new"]) == (commit, str(source))
    assert len(document["changes"]) == 3
    patch = cli.lines("diff", "-p", "main", source)
    assert {"+changed", "# /usr/share/same: xattr user.x none -> 0x79"} <= set(patch)
    assert "-changed" in cli.lines("diff", "-p", source, "main")
    assert "no such file" in cli.fails("diff", "main", source / "nothing").lower()
    cli.fails("diff", source, status=2)
    cli.commit(source)
    assert cli("diff", "main", source) == ""


def test_diff_with_the_directory_of_another(cli: Cli, commit: str, source: Path) -> None:
    uid, gid = os.geteuid() + 5, os.getegid() + 5
    words = ("diff", "main", source, f"--owner-uid={uid}", f"--owner-gid={gid}")
    assert {line[:5] for line in cli.lines(*words)} == {"Mo   "}
    cli.commit(source, "main", *words[3:])
    assert cli(*words) == ""


def test_diff_with_the_directory_here(
    cli: Cli, commit: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)
    assert cli("diff", "main", ".") == cli("diff", "main", "./") == ""
    monkeypatch.chdir(source / "usr")
    assert cli("diff", "main", "..") == ""
    assert "A    /usr" not in cli("diff", "main", "./lib")


def test_diff_patch(cli: Cli, commit: str, source: Path) -> None:
    """Also of what has no object file of its own, and of what is empty."""
    write(source / "usr/lib/same", b"same content", 0o600)
    write(source / "etc/empty", b"no more\n")
    cli.commit(source)
    write(source / "usr/lib/same", b"other content\n", 0o600)
    cli.commit(source)
    patch = cli.lines("diff", "-p", commit, "main")
    assert [line for line in patch if not line.startswith("index ")] == [
        *("diff --git a/etc/empty b/etc/empty", "--- a/etc/empty", "+++ b/etc/empty"),
        *("@@ -0,0 +1 @@", "+no more"),
        *("diff --git a/usr/lib/same b/usr/lib/same", "old mode 100644", "new mode 100600"),
        *("--- a/usr/lib/same", "+++ b/usr/lib/same", "@@ -1 +1 @@"),
        *("-same content", "\\ No newline at end of file", "+other content"),
    ]
    assert cli.lines("diff", "--patch", "main", "--", "usr")[0].startswith("diff --git a/usr/lib")
    [change] = cli.json("diff", "-p", "main")["changes"]
    assert change["patch"].splitlines() == cli.lines("diff", "-p", "main")
    assert "-same content" in cli.lines("diff", "-p", "main")


# ---- checkout


@pytest.mark.usefixtures("commit")
def test_checkout(cli: Cli, source: Path, tmp_path: Path) -> None:
    assert cli("checkout", "main", tmp_path / "out") == ""
    assert list_tree(tmp_path / "out") == list_tree(source)
    document = cli.json("checkout", "main", tmp_path / "again")
    assert document["commit"] == cli("rev-parse", "main").strip()
    assert document["destination"] == str(tmp_path / "again")
    assert document["skipped"] == []
    assert document["files"] == sum(not stat.S_ISDIR(e.kind) for e in list_tree(source).values())


@pytest.mark.usefixtures("commit")
def test_checkout_to_the_name_of_the_revision(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("checkout", "main")
    assert (tmp_path / "main/usr/bin/tool").exists()


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("option", ["-U", "--user-mode"])
def test_checkout_for_a_user(cli: Cli, source: Path, tmp_path: Path, option: str) -> None:
    cli("checkout", "main", option, tmp_path / "out")
    assert list_tree(tmp_path / "out") == as_user(list_tree(source))


def test_checkout_by_links(cli: Cli, commit: str, tmp_path: Path) -> None:
    name = "usr/bin/tool"
    for number, option in enumerate(("-H", "--require-hardlinks")):
        cli("checkout", "-U", option, commit, tmp_path / f"linked{number}")
        assert (tmp_path / f"linked{number}" / name).stat().st_nlink == number + 2
    for number, option in enumerate(("-C", "--force-copy")):
        cli("checkout", "-U", option, commit, tmp_path / f"copied{number}")
        assert (tmp_path / f"copied{number}" / name).stat().st_nlink == 1
    assert "needs -U" in cli.fails("checkout", "-H", commit, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


@pytest.mark.usefixtures("commit")
def test_checkout_of_a_part(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli("checkout", "main", "--subpath=/usr/lib", tmp_path / "lib")
    assert list_tree(tmp_path / "lib") == list_tree(source / "usr/lib")
    cli("checkout", "main", "--subpath", "usr/lib/same", tmp_path / "file")
    assert os.listdir(tmp_path / "file") == ["same"]


def test_unions(cli: Cli, source: Path, tmp_path: Path) -> None:
    (source / "usr/read-only").chmod(0o755)
    commit, out = cli.commit(source), tmp_path / "out"
    cli("checkout", "main", out)
    assert cli.fails("checkout", "main", out) == f"{out}: File exists"
    write(out / "mine", b"mine")
    cli("checkout", "--union-identical", "main", out)
    (source / "usr/lib/same").write_bytes(b"newer")
    newer = cli.commit(source)
    assert "a different file is in its place" in cli.fails(
        "checkout", "--union-identical", newer, out
    )
    cli("checkout", "--union-add", newer, out)
    assert (out / "usr/lib/same").read_bytes() == b"same content"
    cli("checkout", "--union", newer, out)
    assert (out / "usr/lib/same").read_bytes() == b"newer"
    assert (out / "mine").read_bytes() == b"mine"
    cli("checkout", "--union", commit, tmp_path / "fresh")
    assert (tmp_path / "fresh/usr/lib/same").read_bytes() == b"same content"


@pytest.mark.usefixtures("commit")
def test_bad_destination(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "missing/below"
    assert cli.fails("checkout", "main", missing) == f"{missing}: No such file or directory"
    write(tmp_path / "file")
    below = tmp_path / "file/below"
    assert cli.fails("checkout", "main", below) == f"{below}: Not a directory"
    for word in ("", ".", "/"):
        assert "cannot check out to" in cli.fails("checkout", "main", word, status=2)
    assert "cannot check out to" in cli.fails("checkout", "--union", "main", "", status=2)


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("option", ["--union", "--union-add", "--union-identical"])
def test_union_with_the_directory_we_are_in(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    write(tmp_path / "here/mine", b"mine")
    monkeypatch.chdir(tmp_path / "here")
    cli("checkout", "-U", option, "main", ".")
    assert (tmp_path / "here/usr/lib/same").read_bytes() == b"same content"
    assert (tmp_path / "here/mine").read_bytes() == b"mine"


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("name", ["é" * 127, "x" * 255])
def test_destination_with_a_long_name(cli: Cli, tmp_path: Path, name: str) -> None:
    cli("checkout", "main", tmp_path / name)
    assert (tmp_path / name / "usr/bin/tool").exists()


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize(
    "words",
    [["-H", "-C"], ["--union", "--union-add"], ["--union-add", "--union-identical"], ["a", "b"]],
    ids=str,
)
def test_wrong_usage(cli: Cli, words: list[str]) -> None:
    cli.fails("checkout", "main", *words, status=2)
