# SPDX-License-Identifier: LGPL-2.1-or-later
"""A history with all that is hard to show, and its page."""

from pathlib import Path

import pytest

from ostreefs.pages.bisection import write_bisection_page
from tests.support.bisections import INJECTION, make_report
from tests.support.builds import Builder, dpkg_status
from tests.support.commands import ostreefs_output

STATUS = "var/lib/dpkg/status"
SPECIAL = ("a<img src=x onerror=alert(1)>.txt", "latin-\udce9", "new\nline")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The branch main with a merge, hostile names, and more changes than are listed."""
    folder = tmp_path_factory.mktemp("pages")
    builder = Builder(folder / "repo", folder / "source")
    files = {f"lib/{n}": b"x" * (1000 + n) for n in range(30)}
    files[STATUS] = dpkg_status({"one": "1.0", "gone": "2"})
    first = builder.build(files, subject="First", metadata={"version": "1"})
    files |= {f"lib/{n}": b"y" * (2000 + n) for n in range(25)}
    files |= dict.fromkeys(SPECIAL, b"z" * 9000)
    files[STATUS] = dpkg_status({"one": "2.0", "<i>new</i>": "1"})
    hostile = builder.build(
        files,
        subject=INJECTION,
        body=f"{INJECTION}\n\nsecond \x1b[31m\tline",
        parents=[first],
        metadata={"<k>": INJECTION, "steps": "one =\n\n  two\n", "version": "<2>"},
    )
    side = builder.build(files | {"side": b"1"}, parents=[first], subject="Side", ref="side")
    builder.build(files, subject="\u202eMerge", parents=[hostile, side], ref="main")
    return builder.path


@pytest.fixture(scope="session")
def page(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of main."""
    path = tmp_path_factory.mktemp("page") / "history.html"
    ostreefs_output("--repo", repository, "history", "main", f"--html={path}")
    return path


@pytest.fixture(scope="session")
def bisection_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that bisection."""
    path = tmp_path_factory.mktemp("page") / "bisection.html"
    with path.open("wb") as out:
        write_bisection_page(out, make_report())
    return path
