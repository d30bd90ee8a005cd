# SPDX-License-Identifier: LGPL-2.1-or-later
"""`history` as a command."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ostreefs.cli.terminal import count_columns, cut_text
from ostreefs_store.repository import Repository
from tests.cli.conftest import Cli
from tests.support.builds import START, Builder, dpkg_status
from tests.support.commands import OURSELVES, command, output

STATUS = "var/lib/dpkg/status"


@pytest.fixture
def cli(empty_cli: Cli, tmp_path: Path) -> Cli:
    """With a fork and a merge: first, then one and two beside each other, then a merge."""
    builder = Builder(empty_cli.repository, tmp_path / "source")
    files = {"a": b"1" * 3000, STATUS: dpkg_status({"x": "1"})}
    first = builder.build(files, subject="First", metadata={"version": "1.0"})
    files |= {"b": b"2" * 5000, STATUS: dpkg_status({"x": "2", "y": "1"})}
    one = builder.build(files, subject="One", parents=[first], metadata={"version": "1.1"})
    two = builder.build({"a": b"1" * 3000}, subject="Two\x1b[31m", parents=[first], ref="side")
    builder.build(files, subject="Merge", parents=[one, two], ref="main")
    empty_cli("refs", "--create=stable", "main", "--alias")
    empty_cli("pin", "main^", "--name=kept")
    return empty_cli


def test_table(cli: Cli) -> None:
    heading, *rows = cli.lines("history", "main")
    assert heading.split() == (
        ["COMMIT", "DATE", "VERSION", "SIZE", "GROWTH", "FILES", "PACKAGES", "SUBJECT"]
    )
    found = [re.split(r" {2,}", row[len("0123456789ab  ") :]) for row in rows]
    assert found == [
        ["2026-01-04 00:00", "8.0 KiB", "0 B", "(main, stable -> main) Merge"],
        ["2026-01-03 00:00", "2.9 KiB", "-95 B", "-1", r"(side) Two\x1b[31m"],
        ["2026-01-02 00:00", "1.1", "8.0 KiB", "+5.0 KiB", "+1 ~1", "+1 ~1", "(pin: kept) One"],
        ["2026-01-01 00:00", "1.0", "3.0 KiB", "+3.0 KiB", "+2", "First"],
    ]
    ends = {row.index("iB") for row in rows}
    assert len(ends) == 1, "numbers stand below one another"


def test_columns_of_nothing_are_left_out(cli: Cli) -> None:
    heading, row = cli.lines("history", "side", "-n1")
    assert heading.split() == ["COMMIT", "DATE", "SIZE", "GROWTH", "FILES", "SUBJECT"]
    assert row.endswith(r"-1     (side) Two\x1b[31m")


def test_graph(cli: Cli) -> None:
    lines = [
        re.sub(r"\b[0-9a-f]{12}\b", "ID", line) for line in cli.lines("history", "main", "--graph")
    ]
    assert lines == [
        "*   ID (main, stable -> main) Merge",
        "|\\",
        r"| * ID (side) Two\x1b[31m",
        "* | ID (pin: kept) One",
        "|/",
        "* ID First",
    ]


def test_selection(cli: Cli) -> None:
    def subjects(*words: str) -> list[str]:
        found: list[str] = [each["subject"] for each in cli.json("history", *words)]
        return found

    assert subjects("main", "--first-parent") == ["Merge", "One", "First"]
    assert subjects("main", "-n", "2") == ["Merge", "Two\x1b[31m"]
    assert subjects("main", f"--since=@{START + 86400}") == ["Merge", "Two\x1b[31m", "One"]
    assert subjects("main", "--until=2026-01-02") == ["One", "First"]
    assert subjects("main", "--since=2027-01-01") == []
    assert subjects("main^", "side") == ["Two\x1b[31m", "One", "First"]
    assert cli("history", "main", "--since=2027-01-01") == ""


def test_json(cli: Cli) -> None:
    merge, _, one, first = cli.json("history", "main")
    assert cli.json("history", "main", "--graph") == [merge, *cli.json("history", "main")[1:]]
    assert one["commit"] == cli("rev-parse", "main^").strip()
    assert (one["names"], one["metadata"]) == (["pin: kept"], {"version": "1.1"})
    assert one["stats"]["added"] == {"files": 1, "directories": 0, "size": 5000}
    [packages] = one["packages"]
    assert [change["kind"] for change in packages["changes"]] == ["upgraded", "added"]
    assert first["packages"] == []
    assert one["size"] == cli.json("df", "main^")["commits"][one["commit"]]["total"]["bytes"]
    assert len(merge["parents"]) == 2


def test_a_composed_build_is_compared_with_its_base(cli: Cli, tmp_path: Path) -> None:
    """For want of a parent; it says so."""
    added = tmp_path / "added"
    added.mkdir()
    (added / "new").write_bytes(b"n" * 1000)
    made = cli("compose", "-b", "mine", "side", f"--dir={added}", "--subject=Mine").strip()
    base = cli("rev-parse", "side").strip()
    [build] = cli.json("history", "mine")
    assert (build["commit"], build["base"]) == (made, base)
    assert build["stats"]["added"]["size"] == 1000
    row = cli.lines("history", "mine")[1]
    assert row.endswith(f"+1     (mine, base: {base[:12]}) Mine"), row
    page = cli("history", "mine", "--html=-")
    assert page.count(base) == 2, "as the base, and in the recipe"
    assert "the first build" not in page
    cli("compose", "-b", "mine", made, "--overlay=side^:/a=>/b", "--subject=Next")
    assert [each["base"] for each in cli.json("history", "mine")] == [None, base]
    for base in ("0" * 64, "00", "what"):  # is not here
        words = (f"--add-metadata-string=compose.base={base}", added)
        cli("commit", "-b", "alone", "--parent=none", *words)
        [build] = cli.json("history", "alone")
        assert (build["base"], build["stats"]["added"]["files"]) == (None, 1)


def test_usage(cli: Cli) -> None:
    cli.fails("history", status=2)
    cli.fails("history", "main", "--html=x", "--graph", status=2)
    cli.fails("history", "main", "--since=whenever", status=2)
    assert "--json" in cli.fails("--json", "history", "main", "--html=-", status=2)
    assert "no file" in cli.fails("history", "main", "--html=", status=2)
    assert "nothing" in cli.fails("history", "nothing")


def test_page_is_replaced_as_a_whole(cli: Cli, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    cli.fails("history", "nothing", f"--html={page}")
    assert page.read_text() == "old"
    assert cli("history", "main", f"--html={page}") == ""
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert cli("history", "main", "--html=-") == page.read_text()
    page.unlink()
    assert len(cli.json("history", "main", f"--html={page}")) == 4
    assert page.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"repo", "source", "page.html"}


def on_terminal(cli: Cli, *words: str, columns: int = 80, **variables: str) -> str:
    """What a terminal of so many columns is sent; `script` makes one."""
    line = " ".join(map(str, command("--repo", cli.repository, "history", *words)))
    environment = OURSELVES.environment() | {"TERM": "xterm", "COLUMNS": str(columns)}
    environment |= {"SHELL": "/bin/sh"} | variables
    done = output("script", "-qec", line, os.devnull, env=environment, stdin=subprocess.DEVNULL)
    return done.decode().replace("\r", "")


def test_colours_on_a_terminal_alone(cli: Cli) -> None:
    assert "\x1b" not in cli("history", "main", "--graph")
    assert "\x1b[33m" in cli("history", "main", "--graph", "--color=always")
    coloured = on_terminal(cli, "main", "--graph")
    assert re.search(
        r"^\x1b\[31m\*\x1b\[m   \x1b\[33m[0-9a-f]{12}\x1b\[m\x1b\[1;32m \(main", coloured
    )
    assert "\x1b[31m " not in coloured.splitlines()[2]  # the subject's own is written out
    assert "\x1b" not in on_terminal(cli, "main", "--graph", NO_COLOR="1")
    assert "\x1b" not in on_terminal(cli, "main", "--color=never")


@pytest.mark.parametrize("columns", [1, 8, 30, 60, 200])
def test_nothing_is_wider_than_the_terminal(cli: Cli, columns: int) -> None:
    for words in (["main"], ["main", "--graph"]):
        lines = on_terminal(cli, *words, columns=columns, NO_COLOR="1").splitlines()
        assert max(map(len, lines)) <= columns
        assert len(lines) == 5 + (words != ["main"])
    if columns == 60:
        assert "  (side) Two" in on_terminal(cli, "main", columns=columns, NO_COLOR="1")


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_cutting_text(text: str, width: int, expected: str) -> None:
    assert cut_text(text, width) == expected
    assert count_columns(expected) <= width


def test_damage(cli: Cli, tmp_path: Path) -> None:
    """A graph needs the commits alone; for all else it is an error, and no page appears."""
    root = bytes.fromhex(cli.json("show", "main^")["root"])
    with (
        Repository.open(cli.repository, writable=True) as repository,
        repository.index.transaction() as transaction,
    ):
        transaction.delete("trees", root)
    page = tmp_path / "page.html"
    assert root.hex() in cli.fails("history", "main", status=3)
    assert root.hex() in cli.fails("history", "main", f"--html={page}", status=3)
    assert not page.exists()
    assert len(cli.lines("history", "main", "--graph")) == 6
