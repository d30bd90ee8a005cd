# SPDX-License-Identifier: LGPL-2.1-or-later
"""`config`."""

import subprocess

import pytest

from tests.cli.conftest import Cli
from tests.support.commands import OURSELVES, command

PERCENT = "core.min-free-space-percent"


def test_get_set_unset(cli: Cli) -> None:
    assert cli("config", "get", "repository.mode") == "bare-user\n"
    assert cli("config", "set", PERCENT, "7") == ""
    assert cli("config", "get", PERCENT) == "7\n"
    assert cli.json("config", "get", PERCENT) == {"key": PERCENT, "value": 7}
    assert f"{PERCENT}=7" in cli.lines("config", "--list")
    assert cli.json("config", "--list")[PERCENT] == 7
    assert cli("config", "unset", PERCENT) == ""
    assert f"'{PERCENT}' is not set" in cli.fails("config", "get", PERCENT)
    assert f"'{PERCENT}' is not set" in cli.fails("config", "unset", PERCENT)
    assert "no damage" in cli("fsck")


@pytest.mark.parametrize(
    "words",
    [[], ["get"], ["set", PERCENT], ["unset"], ["get", "a", "b"], ["put", "x"], ["--list", "x"]],
)
def test_usage(cli: Cli, words: list[str]) -> None:
    cli.fails("config", *words, status=2)


@pytest.mark.parametrize(
    ("key", "value"), [(PERCENT, "100"), ("core.nonsense", "1"), ("repository.mode", "bare")]
)
def test_refusals(cli: Cli, key: str, value: str) -> None:
    before = (cli.repository / "config.toml").read_bytes()
    assert f"setting '{key}'" in cli.fails("config", "set", key, value)
    assert (cli.repository / "config.toml").read_bytes() == before


def test_two_editors_at_once(cli: Cli) -> None:
    keys = [f"retention.ref{number}" for number in range(4)]
    processes = [
        subprocess.Popen(
            command(f"--repo={cli.repository}", "config", "set", key, "all"),
            **OURSELVES.popen_arguments(),
        )
        for key in keys
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert set(cli.json("config", "--list")) >= set(keys)
