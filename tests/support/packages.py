# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages for tests, made by the tools of the distributions."""

import shutil
import subprocess
from pathlib import Path

from tests.support.trees import write

SPEC = """
Name: {name}
Version: {version}
Release: 1
Epoch: 2
Summary: For tests
License: none
%global __os_install_post %{{nil}}
%description
For tests.
%install
mkdir -p %{{buildroot}}
cp -a {files}/. %{{buildroot}}
{script}
%files
{listed}
"""


def make_deb(
    place: Path,
    files: dict[str, str],
    *,
    name: str = "hello",
    version: str = "1.0",
    arch: str = "amd64",
    control: dict[str, str] | None = None,
    fields: str = "",
    compression: str = "xz",
) -> Path:
    """A package of files; `control` are further files of its control archive."""
    root = place / f"{name}-{version}"
    for path, text in files.items():
        write(root / path, text.encode())
    lines = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n{fields}"
    write(root / "DEBIAN/control", f"{lines}Maintainer: x <x@y>\nDescription: x\n y\n".encode())
    for path, text in (control or {}).items():
        write(root / "DEBIAN" / path, text.encode())
        (root / "DEBIAN" / path).chmod(0o755 if text.startswith("#!") else 0o644)
    target = place / f"{name}_{version}_{arch}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", root, target],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(root)
    return target


def make_rpm(
    place: Path,
    files: dict[str, str],
    *,
    listed: str = "/*",
    script: str = "",
    payload: str = "w3.gzdio",
    arch: str = "x86_64",
) -> Path:
    """A package of files; `listed` is its %files, `script` makes more of them."""
    root = place / "rpm"
    for path, text in files.items():
        write(root / "files" / path, text.encode())
    spec = root / "hello.spec"
    facts = {"name": "hello", "version": "1.0", "files": root / "files"}
    spec.write_text(SPEC.format(**facts, listed=listed, script=script))
    define = ["--define", f"_topdir {root}", "--define", f"_binary_payload {payload}"]
    subprocess.run(
        ["rpmbuild", "-bb", "--quiet", f"--target={arch}", *define, spec],
        check=True,
        capture_output=True,
    )
    [made] = root.glob("RPMS/*/*.rpm")
    target = place / f"hello-{payload}.rpm"
    made.rename(target)
    shutil.rmtree(root)
    return target
