# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees of real packages of Debian: those that are installed on this machine, without a network.

A tree is what the files of some packages are, with a database of dpkg that says so; documentation
is left out, as in Debian's images for containers. Such a tree can be run.
"""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from tests.support.commands import output

_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/")


class DebianTree:
    """A directory with packages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packages: list[str] = []
        for name in _MERGED:
            (path / "usr" / name).mkdir(parents=True)
            (path / name).symlink_to(f"usr/{name}")
        for name in ("dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var/lib/dpkg"):
            (path / name).mkdir(parents=True)

    def install(self, *packages: str) -> list[str]:
        """Add packages and all that they depend on; what was added."""
        added = [each for each in closure(packages) if each not in self.packages]
        for package in added:
            for file in files_of(package):
                self._copy(file)
        self.packages += added
        self._write_status()
        return added

    def remove(self, package: str) -> None:
        """Remove a package, whoever needs it."""
        self.packages.remove(package)
        for file in files_of(package):
            (self.path / file).unlink(missing_ok=True)
        self._write_status()

    def _copy(self, file: str) -> None:
        target = self.path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            shutil.copy2(Path("/", file), target, follow_symlinks=False)

    def _write_status(self) -> None:
        paragraphs = [status_of(package) for package in sorted(self.packages)]
        (self.path / "var/lib/dpkg/status").write_text("\n\n".join(paragraphs) + "\n")


@cache
def files_of(package: str) -> list[str]:
    """The files of an installed package, by their paths without links through directories."""
    found: dict[str, None] = {}
    for line in output("dpkg-query", "-L", package).decode().splitlines():
        folder, name = os.path.split(line)
        path = os.path.join(os.path.realpath(folder), name).lstrip("/")
        is_file = os.path.lexists(line) and (os.path.islink(line) or not os.path.isdir(line))
        if is_file and not path.startswith(_LEFT_OUT):
            found[path] = None
    return list(found)


@cache
def status_of(package: str) -> str:
    """What dpkg knows of an installed package."""
    return output("dpkg-query", "-s", package).decode().strip()


def closure(packages: tuple[str, ...]) -> list[str]:
    """Packages with all that they need of what is installed here, the first of alternatives."""
    found: dict[str, None] = {}
    stack = list(packages)
    while stack:
        package = stack.pop()
        if package in found:
            continue
        found[package] = None
        fields = re.findall(r"^(?:Pre-)?Depends: (.*)$", status_of(package), re.MULTILINE)
        for alternatives in ", ".join(fields).split(", "):
            name = re.split(r"[ :(|]", alternatives)[0]
            if name and _is_installed(name):
                stack.append(name)
    return list(found)


@cache
def _is_installed(package: str) -> bool:
    listed = Path("/var/lib/dpkg/status").read_text(errors="replace")
    return f"Package: {package}\nStatus: install ok installed\n" in listed
