# SPDX-License-Identifier: LGPL-2.1-or-later
"""`prune` and `pin`."""

import os
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from ostreefs.cli.dates import parse_date
from ostreefs_store import durable
from tests.cli.conftest import Cli
from tests.support.commands import OURSELVES, command, ordinary_user, ostreefs
from tests.support.locks import wait_for_lock
from tests.support.trees import write


@pytest.fixture
def history(cli: Cli, tmp_path: Path) -> list[str]:
    """Four commits on `main`, a day between each, and one on `side`."""
    source = tmp_path / "tree"
    commits = []
    for day in range(1, 5):
        write(source / "file", f"day {day}".encode())
        words = ("commit", "-b", "main", f"--timestamp=2026-01-0{day}T12:00:00Z", source)
        commits.append(cli(*words).strip())
    write(source / "file", b"beside")
    cli.commit(source, "side")
    return commits


def count(cli: Cli, revision: str = "main") -> int:
    return sum(line.startswith("commit ") for line in cli.lines("log", revision))


def test_nothing_to_delete(cli: Cli, history: list[str]) -> None:
    assert cli("prune") == "Total objects: 15\nNo unreachable objects\n"
    assert cli.json("prune") == {
        "total": 15,
        "commits": [],
        "trees": 0,
        "files": 0,
        "left_over": 0,
        "freed": 0,
        "leased": [],
        "deleted": 0,
        "dry_run": False,
    }


def test_says_what_ostree_says(cli: Cli, history: list[str]) -> None:
    words = ("--refs-only", "--depth=1")
    would = cli("prune", "--no-prune", *words)
    assert would == "Total objects: 15\nWould delete: 6 objects, freeing 10 B\n"
    assert count(cli) == 4
    done = cli.run("prune", "-v", *words)
    assert done.stdout == b"Total objects: 15\nDeleted 6 objects, 10 B freed\n"
    assert sorted(done.stderr.decode().splitlines()) == sorted(
        f"ostreefs: commit {commit} deleted" for commit in history[:2]
    )
    assert count(cli) == 2
    assert cli("prune", *words) == "Total objects: 9\nNo unreachable objects\n"
    assert cli.lines("cat", "main^", "file") == ["day 3"]
    assert "no damage" in cli("fsck")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--depth=0"], 4),
        (["--refs-only", "--depth=0"], 1),
        (["--refs-only", "--depth=-1"], 4),
        (["--keep-younger-than=2026-01-03"], 2),
        (["--keep-younger-than=2026-01-03 12:00:00"], 2),
        (["--keep-younger-than=2026-01-03 12:00:01"], 1),
        (["--keep-younger-than=@0"], 4),
        (["--keep-younger-than", "1 week ago"], 1),
        (["--keep", "2 daily"], 2),
        (["--keep", "1 daily, 3 last"], 3),
        (["--keep=all"], 4),
        (["--retain-branch-depth=main=2"], 3),
        (["--only-branch=side", "--depth=0"], 4),
        (["--only-branch=main", "--depth=0"], 1),
        (["--delete-commit=main^"], 3),
        (["--delete-commit=main^", "--delete-commit=main~3"], 2),
    ],
)
def test_rules(cli: Cli, history: list[str], words: list[str], left: int) -> None:
    deleted = cli.json("prune", *words)["commits"]
    assert count(cli) == left
    assert len(deleted) == 4 - left
    assert count(cli, "side") == 1


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2026-03-31T12:34:56+00:00", "1 month ago", "2026-02-28T12:34:56+00:00"),
        ("2026-01-01T00:00:00+00:00", "1 months ago", "2025-12-01T00:00:00+00:00"),
        ("2024-02-29T01:00:00+00:00", "1 year ago", "2023-02-28T01:00:00+00:00"),
        ("2026-03-31T12:34:56+00:00", "25 months ago", "2024-02-29T12:34:56+00:00"),
        ("2026-03-31T12:34:56+00:00", "3 weeks ago", "2026-03-10T12:34:56+00:00"),
        ("2026-03-31T12:34:56+00:00", "yesterday", "2026-03-30T00:00:00+00:00"),
        ("2026-03-31T12:34:56+00:00", "2026-03-30", "2026-03-30T00:00:00+00:00"),
        ("2026-03-31T12:34:56+00:00", "2026-03-30 10:00+02:00", "2026-03-30T08:00:00+00:00"),
    ],
)
def test_dates(now: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.fromisoformat(now).timestamp()
    monkeypatch.setattr(time, "time", lambda: moment)
    assert parse_date(text) == datetime.fromisoformat(expected).timestamp()


def test_years_ago_are_not_younger(cli: Cli, tmp_path: Path) -> None:
    """A commit of this minute is younger than yesterday, and than the beginning of today."""
    for number in range(2):
        cli("commit", "-b", "main", f"-s{number}", write(tmp_path / "d/f").parent)
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3600))
    for date in ("yesterday", "2 hours ago", today):
        cli("prune", f"--keep-younger-than={date}")
        assert count(cli) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--depth=-2"], "'-2' is not a number of parents"),
        (["--depth=x"], "'x' is not a number of parents"),
        (["--keep=often"], "'often' is no rule"),
        (["--keep-younger-than=whenever"], "Could not parse 'whenever'"),
        (["--keep-younger-than=9999 years ago"], "Could not parse"),
        (["--retain-branch-depth=main"], "must specify BRANCH=DEPTH"),
        (["--retain-branch-depth=main=x"], "'x' is not a number of parents"),
        (["--delete-commit=main^", "--no-prune"], "--delete-commit and --no-prune"),
        (["main"], "unrecognized arguments"),
    ],
)
def test_usage(cli: Cli, history: list[str], words: list[str], said: str) -> None:
    assert said in cli.fails("prune", *words, status=2)
    assert count(cli) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only-branch=mian"], "'mian' not found"),
        (["--retain-branch-depth=mian=0"], "'mian' not found"),
        (["--delete-commit=main"], "is referenced by 'main'"),
        (["--delete-commit=nothing"], "'nothing' not found"),
    ],
)
def test_refusals(cli: Cli, history: list[str], words: list[str], said: str) -> None:
    assert said in cli.fails("prune", *words)
    assert count(cli) == 4


def test_policy_of_the_configuration(cli: Cli, history: list[str]) -> None:
    cli("config", "set", "retention.ma*", "2 last")
    assert cli.json("prune")["commits"] == []
    cli("prune", "--refs-only")
    assert count(cli) == 2


# ---- pins ----


def test_pins(cli: Cli, history: list[str]) -> None:
    assert cli("pin") == ""
    assert cli("pin", "main~2", "--name=the release") == ""
    assert cli.json("pin", "main~3") == {"name": history[0], "commit": history[0]}
    assert set(cli.lines("pin", "--list")) == {history[0], f"{history[1]} the release"}
    assert cli.json("pin") == {history[0]: history[0], "the release": history[1]}
    cli("prune", "--refs-only", "--depth=0")
    assert count(cli) == 3
    assert "pinned as 'the release'" in cli.fails("prune", f"--delete-commit={history[1]}")
    assert "holds commit" in cli.fails("pin", "main", "--name=the release")
    assert cli.json("pin", "--delete", "the release") == {"deleted": ["the release"]}
    assert "there is no pin 'the release'" in cli.fails("pin", "--delete", "the release")
    cli("prune", "--refs-only", "--depth=0")
    assert count(cli) == 2


@pytest.mark.parametrize(
    "words",
    [["--delete"], ["--list", "x"], ["--name=x"], ["main", "side"], ["--list", "--delete"]],
)
def test_usage_of_pin(cli: Cli, history: list[str], words: list[str]) -> None:
    cli.fails("pin", *words, status=2)


def test_names_of_pins(cli: Cli, history: list[str]) -> None:
    for name in ("", "a\nb", "x" * 401):
        assert "invalid pin" in cli.fails("pin", "main", f"--name={name}")


# ---- somebody else ----


@pytest.mark.root
def test_somebody_who_may_only_read(cli: Cli, history: list[str]) -> None:
    """He may look what would go, and delete nothing."""
    for folder in (cli.repository, *cli.repository.parents[:2]):
        folder.chmod(0o755)
    parents = [p for p in cli.repository.parents if p.stat().st_mode & 0o005 != 0o005]
    modes = [p.stat().st_mode for p in parents]
    for parent in parents:
        parent.chmod(0o755)
    try:
        with ordinary_user() as user:
            words = ("--repo", cli.repository, "prune", "--refs-only", "--depth=0")
            done = ostreefs(*words, account=user)
            assert done.returncode == 1
            assert b"cannot be written" in done.stderr
            done = ostreefs(*words, "--no-prune", account=user)
            assert done.returncode == 0, done
            assert b"Would delete: 9 objects" in done.stdout
    finally:
        for parent, mode in zip(parents, modes, strict=True):
            os.chmod(parent, mode & 0o7777)
    assert count(cli) == 4


# ---- beside others ----


@pytest.mark.parametrize("words", [["checkout", "-U"], ["export", "-o"], ["cat"]])
def test_a_reader_finds_a_commit_whole_or_not_at_all(
    cli: Cli, history: list[str], tmp_path: Path, words: list[str]
) -> None:
    """One that begins while its commit is being deleted waits, and says that it is not there."""
    target = "file" if words == ["cat"] else str(tmp_path / "out")
    ending = [target, history[0]] if words[0] == "export" else [history[0], target]
    started: list[subprocess.Popen[bytes]] = []

    def hook(point: str) -> None:
        if point == "prune:claimed":
            popen = OURSELVES.popen_arguments() | {"stderr": subprocess.PIPE}
            started.append(
                subprocess.Popen(command(f"--repo={cli.repository}", *words, *ending), **popen)
            )
            wait_for_lock(started[0].pid)

    durable.set_trace_hook(hook)
    try:
        cli("prune", "--refs-only", "--depth=0")
    finally:
        durable.set_trace_hook(None)
    [process] = started
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"not found: no such ref or commit" in said
