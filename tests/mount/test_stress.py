# SPDX-License-Identifier: LGPL-2.1-or-later
"""A few seconds of ``make stress``, which otherwise runs for minutes."""

import os
import shutil
from pathlib import Path

import pytest

from tests.stress.builds import Build, is_genuine
from tests.support.commands import OURSELVES, Account, run
from tests.support.project import ROOT

pytestmark = [pytest.mark.mount, pytest.mark.slow]


def test_some_seconds_of_stress(tmp_path: Path) -> None:
    run_stress(OURSELVES, tmp_path, "6", "7")


@pytest.mark.root
def test_some_seconds_of_an_ordinary_user_s(user: Account) -> None:
    """Nobody but root may be somebody else here; others have been ordinary above."""
    [libraries] = user.path
    shutil.copytree(ROOT / "tests", libraries / "tests", ignore=shutil.ignore_patterns("*.pyc"))
    assert user.home is not None
    run_stress(user, user.home, "4", "8")


def run_stress(account: Account, place: Path, seconds: str, seed: str) -> None:
    environment = account.environment() | {"TMPDIR": str(place)}
    words = (account.python, "-m", "tests.stress", seconds, seed)
    folder = account.path[0]
    done = run(*words, account=account, env=environment, cwd=folder, timeout=150)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert f"all is right with seed {seed}".encode() in done.stdout
    assert b"commits" in done.stdout


def test_differences_are_seen(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o755)
    for number in (3, 4):
        Build(1, number).write(source)
        assert difference(source, number) is None
    assert difference(source, 3) is not None
    label = source / "BUILD"
    label.chmod(0o600)
    assert "100600, 2 bytes" in str(difference(source, 4))
    label.unlink()
    assert "nothing instead of" in str(difference(source, 4))


def difference(source: Path, number: int) -> str | None:
    top = os.open(source, os.O_RDONLY)
    try:
        return Build(1, number).difference(top)
    finally:
        os.close(top)


def test_files_say_what_they_must_be() -> None:
    build = Build(1, 3)
    path, data = next((path, data) for path, (_, data) in build.files.items() if b"/" in path)
    assert is_genuine(1, path, data)
    for wrong in (
        data[:-1],
        data + b"\0",
        b"x" + data[1:],
        data[:-1] + bytes([data[-1] ^ 1]),
        b"",
    ):
        assert not is_genuine(1, path, wrong)
    assert not is_genuine(1, b"other", data)
