# SPDX-License-Identifier: LGPL-2.1-or-later
"""`df`."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.trees import write


@pytest.fixture
def commits(cli: Cli, tmp_path: Path) -> list[str]:
    """Two commits on `main`, one on `side`; 1000 bytes are in all of them."""
    source = tmp_path / "tree"
    write(source / "d/common", b"c" * 1000)
    found = []
    for number, (branch, size) in enumerate([("main", 10), ("main", 20), ("side", 300)]):
        write(source / "own", bytes([number + 1]) * size)
        words = ("commit", "-b", branch, f"--timestamp=@{number}", source)
        found.append(cli(*words).strip())
    return found


def share(size: int, objects: int) -> dict[str, int]:
    return {"bytes": size, "objects": objects}


def test_refs(cli: Cli, commits: list[str]) -> None:
    assert cli.lines("df", "--bytes") == [
        "REF   TOTAL  SHARED  EXCLUSIVE  FREES  OBJECTS",
        "main   1030    1000         30     30        3",
        "side   1300    1000        300    300        2",
        "All commits: 1330 in 4 objects",
    ]
    assert "main  1.0 KiB" in cli("df")
    document = cli.json("df")
    assert document["total"] == share(1330, 4)
    assert document["unreferenced"] == share(0, 0)
    assert document["refs"]["side"]["frees"] == share(300, 1)
    cli("refs", "--delete", "side")
    assert cli.lines("df", "-b")[-1] == "Of that no ref or pin keeps: 300"
    assert "1000" in cli.lines("df", "-b")[1]
    cli("prune", "--refs-only")
    assert cli.json("df")["total"] == share(1030, 3)


def test_an_alias_takes_nothing(cli: Cli, commits: list[str]) -> None:
    before = cli("df")
    cli("refs", "--alias", "--create=latest", "main")
    assert cli("df") == before


def test_frees_is_what_a_prune_frees(cli: Cli, commits: list[str]) -> None:
    expected = cli.json("df")["refs"]["main"]["frees"]["bytes"]
    cli("refs", "--delete", "main")
    assert cli.json("prune", "--refs-only")["freed"] == expected


def test_commits(cli: Cli, commits: list[str]) -> None:
    rows = [line.split() for line in cli.lines("df", "--commits", "-b")]
    assert rows[0] == ["COMMIT", "TOTAL", "SHARED", "EXCLUSIVE", "FREES", "OBJECTS"]
    assert rows[1:] == [
        [commits[2], "1300", "1000", "300", "300", "2"],
        [commits[1], "1020", "1000", "20", "20", "2"],
        [commits[0], "1010", "1000", "10", "10", "2"],
    ]
    assert cli.lines("df", "main^")[1].split()[0] == commits[0][:16]
    assert cli.json("df", "main")["commits"][commits[1]]["exclusive"] == share(20, 1)
    assert set(cli.json("df", "--commits")["commits"]) == set(commits)


def test_between(cli: Cli, commits: list[str], tmp_path: Path) -> None:
    document = cli.json("df", "--between", "main", "side")
    assert (document["from"], document["to"]) == (commits[1], commits[2])
    assert document["content"] == share(300, 1)
    assert (document["files"], document["trees"]) == (1, 1)
    assert document["metadata_bytes"] > 0
    (tmp_path / "tree/d/common").chmod(0o600)
    cli.commit(tmp_path / "tree", "side")
    assert cli.lines("df", "--between", "side^", "side")[0] == "Content: 0 B in 0 objects"
    assert cli.lines("df", "--between", "main", "main", "-b")[1] == (
        "Metadata: 0 in 0 files, 0 trees"
    )


def test_of_an_empty_repository(cli: Cli) -> None:
    assert cli.lines("df") == [
        "REF  TOTAL  SHARED  EXCLUSIVE  FREES  OBJECTS",
        "All commits: 0 B in 0 objects",
    ]
    assert cli.json("df")["refs"] == {}


def test_of_a_repository_that_cannot_be_written(cli: Cli, commits: list[str]) -> None:
    (cli.repository / "index/data.mdb").chmod(0o444)
    assert cli.json("df")["total"] == share(1330, 4)


def test_wrong_words(cli: Cli, commits: list[str]) -> None:
    cli.fails("df", "--between", "main", status=2)
    cli.fails("df", "--between", "main", "side", "main", status=2)
    cli.fails("df", "--commits", "--between", "main", "side", status=2)
    assert "'nothing' not found" in cli.fails("df", "nothing")
