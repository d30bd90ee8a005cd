# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths as they are inside a tree."""

from pathlib import Path

import pytest

from ostreefs.sandbox.errors import SandboxError
from ostreefs.sandbox.rooted import View


@pytest.fixture
def view(tmp_path: Path) -> View:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "abs").symlink_to("/usr")
    (root / "out").symlink_to("../../../../etc")
    (root / "loop").symlink_to("loop")
    (root / "home").symlink_to("var/home")
    (root / "dangling").symlink_to("/run/x/y")
    return View(root)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("/", "/"),
        ("/bin/tool", "/usr/bin/tool"),
        ("/abs/bin/../bin/./tool", "/usr/bin/tool"),
        ("/out/passwd", "/etc/passwd"),
        ("/../../etc", "/etc"),
        ("/home/me", "/var/home/me"),
        ("/dangling/z", "/run/x/y/z"),
        ("/missing/../bin", "/usr/bin"),
    ],
)
def test_links_lead_nowhere_else(view: View, path: str, resolved: str) -> None:
    assert view.resolve(path) == resolved


def test_links_in_a_circle(view: View) -> None:
    with pytest.raises(SandboxError, match="too many symbolic links"):
        view.resolve("/loop/x")


def test_what_is_mounted_over_it(view: View, tmp_path: Path) -> None:
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound/file").write_text("bound")
    (tmp_path / "bound/link").symlink_to("/bin")
    view.put("/usr/bin", None)
    view.put("/opt", tmp_path / "bound")
    assert view.find_status("/usr/bin/tool") is None
    assert view.is_new("/usr/bin")
    assert not view.is_new("/usr")
    assert view.is_covered("/usr/bin/x")
    assert not view.is_covered("/usr/binary")
    assert view.read("/opt/file") == b"bound"
    assert view.resolve("/opt/link/x") == "/usr/bin/x"
    assert view.read("/opt/none") is None
    assert view.read("/usr") is None
