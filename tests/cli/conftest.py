# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line in this process, with what it prints."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostreefs.cli import main
from tests.support.commands import Done, Word, complaint
from tests.support.trees import make_small_tree


class Cli:
    """Runs command lines on one repository."""

    def __init__(self, repository: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.repository = repository
        self._capture = capture

    def run(self, *words: Word, repository: bool = True) -> Done:
        """Run a command line to its end."""
        self._capture.readouterr()
        arguments = ["--repo", str(self.repository)] if repository else []
        arguments += [os.fsdecode(word) for word in words]
        status = main(arguments)
        said = self._capture.readouterr()
        return Done(arguments, status, said.out, said.err)

    def __call__(self, *words: Word) -> str:
        """What is printed by a command that succeeds without a warning."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), done
        return os.fsdecode(done.stdout)

    def lines(self, *words: Word) -> list[str]:
        """The lines that are printed."""
        return self(*words).splitlines()

    def json(self, *words: Word) -> Any:
        """What is printed with --json."""
        return json.loads(self("--json", *words))

    def commit(self, source: Path, branch: str = "main", *words: Word) -> str:
        """Commit; the id."""
        return self("commit", "-b", branch, "--timestamp=@0", *words, source).strip()

    def fails(self, *words: Word, status: int = 1) -> str:
        """The error of a command that fails with this status."""
        done = self.run(*words)
        assert done.returncode == status, done
        return complaint(done)


@pytest.fixture
def empty_cli(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Cli]:
    """Where there is no repository yet."""
    yield Cli(tmp_path / "repo", capfdbinary)
    gc.enable()  # a command turns it off for its own process


@pytest.fixture
def cli(empty_cli: Cli) -> Cli:
    """With an empty repository."""
    empty_cli("init", "--mode=bare-user")
    return empty_cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_small_tree(tmp_path / "source")
