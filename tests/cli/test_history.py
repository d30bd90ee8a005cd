# SPDX-License-Identifier: LGPL-2.1-or-later
"""`log`, `show`, `rev-parse` and `refs`."""

from pathlib import Path

import pytest

from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from tests.cli.conftest import Cli
from tests.support.commands import Word, complaint
from tests.support.commits import EMPTY_FILE, put_commit
from tests.support.trees import write


@pytest.fixture
def ids(cli: Cli, source: Path) -> list[str]:
    """Four commits of `main`, the oldest first."""
    return [
        cli.commit(source, "main", "-s", f"Subject {number}", "-m", "One\n\nTwo\n")
        for number in range(4)
    ]


def test_log(cli: Cli, ids: list[str]) -> None:
    lines = cli.lines("log", "main")
    assert [line for line in lines if line.startswith("commit ")] == [
        f"commit {commit}" for commit in reversed(ids)
    ]
    assert lines[:9] == [
        f"commit {ids[3]}",
        f"Parent:  {ids[2]}",
        "Date:  1970-01-01 00:00:00 +0000",
        "",
        "    Subject 3",
        "",
        "    One",
        "",
        "    Two",
    ]
    assert not any(line.startswith("Parent") for line in lines[-10:])
    assert [commit["commit"] for commit in cli.json("log", "main")] == ids[::-1]


@pytest.mark.parametrize("words", [["-n", "2"], ["-n2"], ["--max-count=2"]])
def test_log_of_some(cli: Cli, ids: list[str], words: list[str]) -> None:
    assert [commit["commit"] for commit in cli.json("log", "main", *words)] == ids[3:1:-1]
    assert cli("log", *words, "main").count("commit ") == 2


def test_log_of_an_unsubjected_commit(cli: Cli, source: Path) -> None:
    cli.commit(source)
    assert "    (no subject)" in cli.lines("log", "main")


def test_show(cli: Cli, ids: list[str]) -> None:
    shown = cli.json("show", "main")
    assert shown["commit"] == ids[3]
    assert shown["parents"] == [ids[2]]
    assert (shown["timestamp"], shown["subject"], shown["body"]) == (
        0,
        "Subject 3",
        "One\n\nTwo\n",
    )
    assert shown["metadata"] == {}
    lines = cli.lines("show", "main")
    assert lines[0] == f"commit {ids[3]}"
    assert f"Tree:  {shown['root']}" in lines
    assert "    Subject 3" in lines


def test_revisions(cli: Cli, ids: list[str]) -> None:
    for revision, expected in [
        ("main", ids[3]),
        ("main^", ids[2]),
        ("main^^", ids[1]),
        ("main~2", ids[1]),
        ("main~3", ids[0]),
        ("main~1^", ids[1]),
        (ids[1], ids[1]),
        (ids[1][:10], ids[1]),
        (f"{ids[1][:10]}^", ids[0]),
    ]:
        assert cli("rev-parse", revision) == f"{expected}\n"
    assert cli("rev-parse", "main", "main^") == f"{ids[3]}\n{ids[2]}\n"
    assert cli.json("rev-parse", "main", "main^") == {"main": ids[3], "main^": ids[2]}


@pytest.mark.parametrize(
    "revision",
    [
        "nothing",
        "",
        "^",
        "main~4",
        "main^x",
        "MAIN",
        "0" * 64,
        "0" * 70,
        b"\xff",
        "main@{9}",
        "main@{2001-01-01}",
        "nothing@{1}",
        "a" * 700,
        "a\nb",
    ],
)
def test_unknown_revision(cli: Cli, ids: list[str], revision: Word) -> None:
    assert ids
    for words in (["rev-parse", revision], ["log", revision], ["checkout", revision, "/nowhere"]):
        done = cli.run(*words)
        assert done.returncode == 1
        assert complaint(done).startswith("revision '")
        assert b"ostreefs refs" in done.stderr


def test_ambiguous_prefix(cli: Cli) -> None:
    ids = [Digest(b"\xab\xcd" * 15 + bytes([number, 0])) for number in range(5)]
    with (
        Repository.open(cli.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        for commit_id in ids:
            put_commit(transaction, {b"x": EMPTY_FILE}, commit_id=commit_id)
    done = cli.run("log", "abcdab")
    assert done.returncode == 1
    assert complaint(done).startswith("revision 'abcdab' is ambiguous: it may be abcdabcd")
    assert b"give more digits" in done.stderr


@pytest.fixture
def changes(cli: Cli, source: Path) -> list[str]:
    """Three commits of `main`, the oldest first; one changes content, the next a mode."""
    ids = [cli.commit(source, "main", "-s", "first")]
    write(source / "usr/lib/same", b"changed")
    ids.append(cli.commit(source, "main", "-s", "second"))
    (source / "usr/bin/tool").chmod(0o700)
    return [*ids, cli.commit(source, "main", "-s", "third")]


def test_log_of_paths(cli: Cli, changes: list[str]) -> None:
    first, second, third = changes

    def shown(*words: str) -> list[str]:
        return [commit["commit"] for commit in cli.json("log", "main", *words)]

    assert shown("--", "usr/lib/same") == [second, first]
    assert shown("usr/bin") == [third, first]
    assert shown("/usr/bin/tool", "/usr/lib/") == [third, second, first]
    assert shown("-n1", "usr/lib/same") == [second]
    assert shown("-n0", "usr/lib/same") == []
    assert cli("log", "main", "--", "etc/fifo").count("commit ") == 1
    assert "no commit of this history" in cli.fails("log", "main", "-n9", "--", "nothing")


def test_log_first(cli: Cli, changes: list[str]) -> None:
    first, second, third = changes
    assert cli.lines("log", "--first", "main", "usr/bin", "usr/lib/same") == [
        f"{third[:12]}  1970-01-01 00:00:00 +0000  /usr/bin/tool  (third)",
        f"{second[:12]}  1970-01-01 00:00:00 +0000  /usr/lib/same  (second)",
    ]
    found = {entry["path"]: entry["commit"] for entry in cli.json("log", "--first", "main")}
    assert found == {"/bin": first, "/etc": first, "/usr": third}
    found = {entry["path"]: entry for entry in cli.json("log", "--first", "-R", "main", "usr")}
    assert found["/usr/lib"]["commit"] == second
    assert found["/usr/share/same"]["commit"] == first
    assert found["/usr/bin/tool"]["subject"] == "third"
    assert found["/usr/bin/tool"]["cut_off"] is False
    [line] = cli.lines("log", "--first", "-d", "main", "usr/lib")
    assert line.startswith(f"{second[:12]}  ")
    assert "no such file" in cli.fails("log", "--first", "main", "nothing")


@pytest.mark.parametrize("words", [["-R"], ["-d"], ["--first", "-n1"], ["-n", "-1"], ["-nx"]])
def test_log_wrong_usage(cli: Cli, words: list[str]) -> None:
    cli.fails("log", "main", *words, status=2)


def test_log_where_history_is_cut_off(cli: Cli, changes: list[str]) -> None:
    end = "<< History beyond this commit is not in the repository >>"
    assert end not in cli("log", "main")
    with (
        Repository.open(cli.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        transaction.delete("commits", bytes.fromhex(changes[0]))
    assert cli.lines("log", "main")[-1] == end
    assert end not in cli("log", "-n1", "main")
    assert [commit["commit"] for commit in cli.json("log", "main")] == changes[:0:-1]
    assert [commit["commit"] for commit in cli.json("log", "main", "etc")] == [changes[1]]
    [line] = cli.lines("log", "--first", "main", "etc/empty")
    assert line.startswith(f"^{changes[1][:11]}  ")
    assert cli.json("log", "--first", "main", "etc/empty")[0]["cut_off"] is True
    assert "3 directories" not in cli("show", "--stats", "main")


def test_show_stats(cli: Cli, changes: list[str]) -> None:
    assert cli.lines("show", "--stats", "main")[-5:] == [
        "Added:     0 files (0 B)",
        "Deleted:   0 files (0 B)",
        "Modified:  1 file (0 B -> 0 B)",
        "           mode 1; metadata alone 1",
        "Size:      +0 B",
    ]
    shown = cli.json("show", "--stats", changes[0])
    assert shown["stats"]["added"]["files"] == 10
    assert "stats" not in cli.json("show", "main")


def test_show_a_metadata_key(cli: Cli, source: Path) -> None:
    cli.commit(source, "main", "--add-metadata-string=version=1.0", "--add-metadata=number=5")
    assert cli("show", "--print-metadata-key=version", "main") == "'1.0'\n"
    assert cli("show", "--print-metadata-key=number", "main") == "5\n"
    assert cli.json("show", "--print-metadata-key=number", "main") == {"number": 5}
    message = cli.fails("show", "--print-metadata-key=none", "main")
    assert message == "no such metadata key 'none'"


# ---- refs


@pytest.fixture
def refs(cli: Cli, source: Path) -> dict[str, str]:
    """Three refs, two of them in a folder."""
    return {name: cli.commit(source, name) for name in ("main", "os/next", "os/stable")}


def test_list(cli: Cli, refs: dict[str, str]) -> None:
    assert cli.lines("refs") == cli.lines("refs", "--list") == ["main", "os/next", "os/stable"]
    assert cli.lines("refs", "os") == ["next", "stable"]
    assert cli.lines("refs", "os/") == ["next", "stable"]
    assert cli.lines("refs", "--list", "os") == ["os/next", "os/stable"]
    assert cli.lines("refs", "main") == ["main"]
    assert cli("refs", "o") == cli("refs", "nothing") == cli("refs", b"\xff") == ""
    assert cli.json("refs") == refs
    assert cli.json("refs", "os") == {key: refs[key] for key in ("os/next", "os/stable")}


def test_create(cli: Cli, refs: dict[str, str], source: Path) -> None:
    newer = cli.commit(source, "main", "-s", "newer")
    assert cli("refs", "--create=release/1", "main^") == ""
    assert cli("refs", "--create", "release/2", newer[:12]) == ""
    assert cli("rev-parse", "release/1").strip() == refs["main"]
    assert cli("rev-parse", "release/2").strip() == newer
    document = {"ref": "release/3", "commit": newer}
    assert cli.json("refs", "--create=release/3", "main") == document
    assert cli.fails("refs", "--create=main", "os/next") == "ref 'main' exists already"
    assert "folder" in cli.fails("refs", "--create=os", "main")
    assert "not found" in cli.fails("refs", "--create=new", "nothing")
    assert "invalid ref" in cli.fails("refs", "--create=a b", "main")
    assert cli.lines("refs") == [
        "main",
        "os/next",
        "os/stable",
        "release/1",
        "release/2",
        "release/3",
    ]


def test_delete(cli: Cli, refs: dict[str, str]) -> None:
    assert cli("refs", "--delete", "main") == ""
    assert cli.lines("refs") == ["os/next", "os/stable"]
    assert "not found" in cli.fails("refs", "--delete", "main")
    assert "not found" in cli.fails("refs", "--delete", "o")
    assert cli.json("refs", "--delete", "os") == {"deleted": ["os/next", "os/stable"]}
    assert cli("refs") == ""
    assert cli("rev-parse", refs["main"][:20]).strip() == refs["main"]


def test_delete_all_or_nothing(cli: Cli, refs: dict[str, str]) -> None:
    cli.fails("refs", "--delete", "main", "nothing")
    assert cli.lines("refs") == list(refs)


@pytest.mark.parametrize(
    "words",
    [
        ["a", "b"],
        ["--delete"],
        ["--create=x"],
        ["--create=x", "a", "b"],
        ["--delete", "--list"],
        ["--delete", "--alias", "a"],
        ["--history", "--alias"],
        ["--history", "a", "b"],
        ["--history", "-n", "x"],
        ["--alias", "a", "b"],
        ["--alias", "--create=x"],
        ["--force", "a"],
        ["-n1"],
    ],
    ids=str,
)
def test_wrong_usage(cli: Cli, words: list[str]) -> None:
    cli.fails("refs", *words, status=2)


def test_create_by_force(cli: Cli, refs: dict[str, str], source: Path) -> None:
    newer = cli.commit(source, "os/next", "-s", "newer")
    cli("refs", "--force", "--create=main", "os/next")
    assert cli("rev-parse", "main", "main@{1}").split() == [newer, refs["main"]]
    cli("refs", "--alias", "--create=al", "main")
    cli("refs", "--force", "--create=al", "os/stable")
    assert cli.json("refs")["al"] == refs["os/stable"]
    assert cli("refs", "--alias") == ""


def test_patterns(cli: Cli, refs: dict[str, str]) -> None:
    cli("refs", "--create=os/old/1", "main")
    assert cli.lines("refs", "os/*") == ["os/next", "os/stable"]
    assert cli.lines("refs", "--list", "**st*") == ["os/stable"]
    assert cli.json("refs", "*") == {"main": refs["main"]}
    assert cli("refs", "x*") == ""
    assert cli.lines("refs", "--delete", "os/*") == [
        f"os/next {refs['os/next']}",
        f"os/stable {refs['os/stable']}",
    ]
    assert cli.lines("refs") == ["main", "os/old/1"]
    assert "not found" in cli.fails("refs", "--delete", "main", "os/*")
    assert cli.json("refs", "--delete", "m*", "os") == {"deleted": ["main", "os/old/1"]}


def test_aliases(cli: Cli, refs: dict[str, str], source: Path) -> None:
    assert cli("refs", "--create=current", "--alias", "os/stable") == ""
    assert cli.json("refs", "-A", "--create=os/too", "main") == {
        "ref": "os/too",
        "alias_of": "main",
        "commit": refs["main"],
    }
    assert cli.lines("refs") == ["current", "main", "os/next", "os/stable", "os/too"]
    assert cli.lines("refs", "--alias") == ["current -> os/stable", "os/too -> main"]
    assert cli.lines("refs", "--alias", "--list", "os") == ["os/too -> main"]
    assert cli.lines("refs", "--alias", "c*") == ["current -> os/stable"]
    assert cli.json("refs", "--alias") == {"current": "os/stable", "os/too": "main"}
    newer = cli.commit(source, "os/stable")
    assert cli("rev-parse", "current").strip() == newer
    assert "is an alias of" in cli.fails("refs", "--alias", "--create=chain", "current")
    assert "exists already" in cli.fails("refs", "--alias", "--create=main", "os/next")
    assert "has an alias" in cli.fails("refs", "--delete", "main")
    assert "is an alias of 'main'" in cli.fails("commit", "-b", "os/too", source)
    assert "is an alias of 'main'" in cli.fails("reset", "os/too", newer)
    cli("refs", "--force", "--alias", "--create=os/next", "main")
    assert cli.lines("refs", "--alias", "os") == ["os/next -> main", "os/too -> main"]
    cli("refs", "--delete", "os", "current")
    assert cli.lines("refs") == ["main"]


def test_reset(cli: Cli, ids: list[str]) -> None:
    assert cli("reset", "main", "main~2") == ""
    assert cli("rev-parse", "main", "main@{1}").split() == [ids[1], ids[3]]
    assert cli.json("reset", "main", "main@{1}") == {"ref": "main", "old": ids[1], "new": ids[3]}
    assert "not found" in cli.fails("reset", "nothing", "main")
    assert "not found" in cli.fails("reset", "main", "nothing")
    cli.fails("reset", "main", status=2)
    assert cli("rev-parse", "main").strip() == ids[3]


def test_reflog(cli: Cli, ids: list[str]) -> None:
    cli("refs", "--create=os/new", "main^")
    cli("reset", "main", "main~3")
    cli("refs", "--delete", "os/new")
    lines = cli.lines("refs", "--history")
    assert [line.split("  ")[0] for line in lines] == [
        *(f"main@{{{number}}}" for number in range(5)),
        *("os/new@{0}", "os/new@{1}"),
    ]
    assert f"main@{{0}}  {ids[0][:12]}  " in lines[0]
    assert lines[0].endswith("  reset: main~3")
    assert lines[1].endswith("  commit: Subject 3")
    assert "os/new@{0}  (deleted)     20" in lines[5]
    assert lines[6].endswith("  refs --create: main^")
    assert cli.lines("refs", "--history", "os") == lines[5:]
    assert cli.lines("refs", "--history", "o*/*", "-n1") == lines[5:6]
    assert cli.lines("refs", "--history", "main", "--max-count=2") == lines[:2]
    [newest] = cli.json("refs", "--history", "main", "-n1")
    assert (newest["ref"], newest["number"]) == ("main", 0)
    assert (newest["old"], newest["new"]) == (ids[3], ids[0])
    assert newest["reason"] == "reset: main~3"
    assert "ever moved" in cli.fails("refs", "--history", "nothing")
    assert "ever moved" in cli.fails("refs", "--history", "x*")
    cli("refs", "--create=os/new", "os/new@{1}")
    assert cli("rev-parse", "os/new").strip() == ids[2]


def test_reflog_limit(cli: Cli, ids: list[str]) -> None:
    cli("config", "set", "core.reflog-limit", "2")
    cli("reset", "main", "main^")
    assert len(cli.lines("refs", "--history", "main")) == 2
    assert "has 2 moves" in cli.fails("rev-parse", "main@{4}")
    config = cli.repository / "config.toml"
    config.write_text(config.read_text().replace("reflog-limit = 2", 'reflog-limit = "x"'))
    assert "core.reflog-limit" in cli.fails("reset", "main", ids[0])
    assert cli("rev-parse", "main").strip() == ids[2]
    cli("config", "set", "core.reflog-limit", "3")
    cli("reset", "main", ids[0])
