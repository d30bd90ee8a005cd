# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is shipped: wheel, sdist, entry points, and what every file says about itself."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import ostreefs
from tests.support.project import ROOT, project_files, read_project_texts

# ---- wheel and sdist ----


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both with the hatchling of the dev dependencies: no isolation, no network."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist"]
    done = subprocess.run(
        [*command, "-d", str(directory)], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def only(directory: Path, pattern: str) -> Path:
    (path,) = directory.glob(pattern)
    return path


def tracked_below(*tops: str) -> set[str]:
    relative = [path.relative_to(ROOT) for path in project_files()]
    return {str(path) for path in relative if path.parts[0] in tops}


def test_wheel_holds_the_two_packages_and_nothing_else(dist: Path) -> None:
    expected = {name.removeprefix("store/") for name in tracked_below("ostreefs", "store")}
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert {"ostreefs/__init__.py", "ostreefs_store/__init__.py"} <= names


def test_wheel_metadata(dist: Path) -> None:
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        info = f"ostreefs-{ostreefs.__version__}.dist-info"
        scripts = wheel.read(f"{info}/entry_points.txt").decode()
        metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
        assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "ostreefs = ostreefs.cli:main" in scripts
    assert metadata["Version"] == ostreefs.__version__
    assert metadata["License-Expression"] == "LGPL-2.1-or-later"
    assert metadata["Requires-Python"] == ">=3.11"


def test_sdist_can_be_worked_with(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    folders = {path.relative_to(ROOT).parts[0] for path in project_files()}
    # How the project runs its own CI is of no use in an archive.
    expected = tracked_below(*(folders - {".ci"}))
    assert expected <= names, sorted(expected - names)
    assert names - expected <= {"PKG-INFO"}


# ---- installed ----


def test_console_script() -> None:
    (script,) = entry_points(group="console_scripts", name="ostreefs")
    assert callable(script.load())


def test_installed_version_is_this_one() -> None:
    assert version("ostreefs") == ostreefs.__version__


def test_python_m_ostreefs() -> None:
    command = [sys.executable, "-m", "ostreefs", "--version"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert ostreefs.__version__ in done.stdout


# ---- the sources ----


def test_both_lists_of_dev_dependencies_are_equal() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["dev"]
    assert project["dependency-groups"]["dev"] == extra


SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"

# These cannot hold a comment.
WITHOUT_SPDX = {".json", ".jsonl", ".bin", ".hex", ".svg"}


def test_every_file_opens_with_its_licence() -> None:
    wrong = [
        str(path)
        for path, text in read_project_texts()
        if text and path.suffix not in WITHOUT_SPDX and path.name != "LICENSE"
        if sum(SPDX in line for line in text.splitlines()[:3]) != 1
    ]
    assert not wrong, f"no SPDX line among the first three: {', '.join(wrong)}"


# What belongs to one machine or one place of work, and means nothing to who clones the project.
# Each pattern is written so that it does not match itself.
FOREIGN = re.compile(
    r"/wor[k]/|/roo[t]/\w|/bash_job[s]|[.]librar[y]/|[.]pyen[v]/"
    r"|\bpypi[.]org|pythonhosted[.]org|deb[.]debian[.]org|archive[.]ubuntu[.]com"
    r"|\bissu[e]s? #?\d"
)


def test_nothing_names_one_machine_or_workplace() -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in read_project_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found, "\n".join(found)
