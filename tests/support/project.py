# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's own files, for tests about the project itself."""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_LEFT_BY_TOOLS = {".git", ".venv", "quickstart", "bench", "build", "dist", "__pycache__"}


@cache
def project_files() -> tuple[Path, ...]:
    """Return every file of the project: tracked, or new and not ignored; sorted.

    Outside a git checkout (an unpacked sdist) it is every file that no tool left behind.
    """
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        paths = (ROOT / name for name in listed.decode().split("\0") if name)
    else:
        paths = (p for p in ROOT.rglob("*") if not _is_left_by_tools(p.relative_to(ROOT)))
    return tuple(sorted(p for p in paths if p.is_file() and not p.is_symlink()))


def _is_left_by_tools(path: Path) -> bool:
    return any(part in _LEFT_BY_TOOLS or part.endswith("_cache") for part in path.parts)


def read_project_texts() -> Iterator[tuple[Path, str]]:
    """Yield (path below the project's root, text) of every file that is UTF-8 text."""
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield path.relative_to(ROOT), text
