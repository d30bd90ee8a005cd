# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs we are compared with: install them from Debian's packages, name their versions."""

from __future__ import annotations

import os
import shutil
import subprocess

from benchmarks.measure import BenchmarkError, run_quietly, say

PACKAGES = (
    "ostree",
    "squashfuse",
    "squashfs-tools",
    "borgbackup",
    "python3-pyfuse3",
    "fuse3",
    "findutils",
    "coreutils",
    "e2fsprogs",
    "bubblewrap",
    "busybox-static",
)
"""Debian's packages; borgbackup mounts with python3-pyfuse3."""

_DESCRIBED = ("ostree", "squashfuse", "squashfs-tools", "borgbackup", "findutils", "coreutils")


def ensure_installed() -> None:
    """Install the packages that are missing; quick, and offline, when none is.

    What cannot be installed is said and left to the benchmarks that need it.
    """
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        say("not a Debian system: using the peers that are there")
        return
    missing = [name for name in PACKAGES if installed_version(name) is None]
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    root = () if os.geteuid() == 0 else ("sudo",)
    install = (*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y")
    try:
        run_quietly(*root, "apt-get", "update")
        run_quietly(*install, "--no-install-recommends", *missing)
    except BenchmarkError as error:
        say(f"could not install them: {error}")


def installed_version(package: str) -> str | None:
    """The version of a Debian package, None where it is not installed."""
    query = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package)
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    status, _, version = done.stdout.partition(" ")
    return version if status == "installed" else None


def describe_versions(ours: tuple[str, ...]) -> dict[str, str | int]:
    """Our version and the peers'."""
    found: dict[str, str | int] = {"ostreefs": _our_version(ours)}
    if shutil.which("dpkg-query") is not None:
        found.update((name, installed_version(name) or "missing") for name in _DESCRIBED)
    return found


def _our_version(ours: tuple[str, ...]) -> str:
    try:
        return run_quietly(*ours, "--version").strip().removeprefix("ostreefs ")
    except BenchmarkError:
        return "missing"
