# SPDX-License-Identifier: LGPL-2.1-or-later
"""Make a repository with a long history: ``python -m benchmarks.history REPO TREE COMMITS``.

A process of its own, which calls the command line's main function for every commit: a thousand
starts of the interpreter would take minutes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from ostreefs.cli import main as ostreefs


def make_history(repo: Path, tree: Path, commits: int) -> None:
    """Commit a tree ``commits`` times to branch ``bench``, each time with one file changed."""
    for number in range(commits):
        (tree / "changing").write_text(f"{number}\n", encoding="ascii")
        commit(repo, tree, number)


def commit(repo: Path, tree: Path, number: int) -> None:
    """Commit a tree to branch ``bench``, in this process."""
    arguments = [f"--repo={repo}", "commit", "-b", "bench", "-s", str(number)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            status = ostreefs([*arguments, f"--tree=dir={tree}"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    if status:
        raise SystemExit(f"commit {number} ended with {status}")


if __name__ == "__main__":
    make_history(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
