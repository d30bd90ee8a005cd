# SPDX-License-Identifier: LGPL-2.1-or-later
"""The skip policy of conftest.py, seen from outside in a pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

EXAMPLES = {
    "test_body.py": "import pytest\ndef test_it(): pytest.skip('no tool')\n",
    "test_setup.py": "import pytest\n"
    "@pytest.fixture\ndef device(): pytest.skip('no tool')\n"
    "def test_it(device): pass\n",
    "test_mark.py": "import pytest\n@pytest.mark.skip('no tool')\ndef test_it(): pass\n",
    "test_module.py": "import pytest\npytest.skip('no tool', allow_module_level=True)\n",
}


def run_pytest(directory: Path, name: str, text: str, *, ci: bool) -> tuple[int, str]:
    (directory / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (directory / name).write_text(text)
    env = {k: v for k, v in os.environ.items() if k != "CI"} | ({"CI": "true"} if ci else {})
    # fmt: off
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "-p", "no:trio", "--rootdir", str(directory), name]
    # fmt: on
    done = subprocess.run(
        command, check=False, cwd=directory, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_skip_fails_under_ci_only(tmp_path: Path, name: str) -> None:
    code, output = run_pytest(tmp_path, name, EXAMPLES[name], ci=True)
    assert code not in {0, 5}, output
    assert "with CI=true a skip is a failure: Skipped: no tool" in output
    code, output = run_pytest(tmp_path, name, EXAMPLES[name], ci=False)
    assert code in {0, 5}, output
    assert "1 skipped" in output


def test_expected_failure_is_no_skip(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    code, output = run_pytest(tmp_path, "test_xfail.py", text, ci=True)
    assert code == 0, output
