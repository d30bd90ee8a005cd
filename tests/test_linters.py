# SPDX-License-Identifier: LGPL-2.1-or-later
"""Formatting, lint, types and shell scripts: the project's own standards as tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT, project_files


def check(*command: str) -> None:
    """Fail with the command's output unless it exits 0."""
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command[:4])} …\n{done.stdout}{done.stderr}", pytrace=False)


def tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        pytest.skip(f"needs {name}")
    return path


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(80)
    return path.suffix == ".sh" or (first.startswith(b"#!") and b"sh" in first.split()[-1])


def shell_scripts() -> list[str]:
    scripts = [str(path.relative_to(ROOT)) for path in project_files() if is_shell(path)]
    assert "bootstrap.sh" in scripts
    return scripts


def test_ruff_check() -> None:
    check(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    check(sys.executable, "-m", "ruff", "format", "--check", "--diff", ".")


@pytest.mark.slow
def test_mypy() -> None:
    check(sys.executable, "-m", "mypy")


def test_shellcheck() -> None:
    check(tool("shellcheck"), *shell_scripts())


def test_shfmt() -> None:
    # .editorconfig has the style.
    check(tool("shfmt"), "-d", *shell_scripts())
