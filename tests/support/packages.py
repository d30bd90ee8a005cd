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
    control: dict[str, str] | None = None,
    compression: str = "xz",
    **fields: str,
) -> Path:
    """A package of files; `control` are further files of its control archive.

    `fields` are those of its control file; an underscore is a hyphen there.
    """
    said = {"Package": "hello", "Version": "1.0", "Architecture": "amd64"}
    said |= {key.replace("_", "-"): value for key, value in fields.items()}
    said |= {"Maintainer": "x <x@y>", "Description": "x\n y"}
    root = place / "deb"
    for path, text in files.items():
        write(root / path, text.encode())
    lines = "".join(f"{key}: {value}\n" for key, value in said.items())
    write(root / "DEBIAN/control", lines.encode())
    for path, text in (control or {}).items():
        write(root / "DEBIAN" / path, text.encode())
        (root / "DEBIAN" / path).chmod(0o755 if text.startswith("#!") else 0o644)
    target = place / f"{said['Package']}_{said['Version']}_{said['Architecture']}.deb"
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
