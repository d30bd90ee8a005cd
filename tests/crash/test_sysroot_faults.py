# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that is full or broken at each single write of an upgrade; one that is too small."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.sysroot.change import find_upgrade
from ostreefs.sysroot.deploy import Request, deploy
from ostreefs.sysroot.errors import RoomError
from ostreefs.sysroot.layout import Sysroot
from ostreefs.sysroot.session import changing
from tests.crash.test_sysroot import assert_boots, make_scene, version_of
from tests.support.commands import complaint, ostreefs
from tests.support.faults import every_fault, why_no_injection
from tests.support.scenes import assert_sound
from tests.support.sysroots import (
    commit_release,
    copy_sysroot,
    litter_of,
    loosen,
    make_sysroot,
    release_files,
    remove_sysroot,
    state_of,
)
from tests.support.trees import remove_tree, write

pytestmark = pytest.mark.crash

CAUSES = ("Input/output error", "No space left on device")


def test_every_write_that_fails(place: Path) -> None:
    """One line that says why; what boots is whole; the next upgrade does it, and tidies up."""
    if (reason := why_no_injection()) is not None:
        pytest.skip(reason)
    pristine = make_scene(place / "pristine", "bls")
    sysroot = Sysroot(place / "under/sysroot")
    words = ("admin", "upgrade", "--sysroot", str(sysroot.root))

    def prepare() -> None:
        copy_sysroot(pristine, sysroot)

    booted: set[str] = set()
    try:
        for injected in every_fault(words, place / "under", prepare):
            done = injected.done
            if done.returncode:
                assert done.returncode == 1, injected
                assert complaint(done).endswith(CAUSES), injected
            booted.add(assert_boots(sysroot, {"2", "3"}))
            assert ostreefs(*words).returncode == 0, injected
            assert [version_of(d) for d in state_of(sysroot).deployments] == ["3", "2"], injected
            assert litter_of(sysroot) == [], injected
        assert booted == {"2", "3"}
        assert_sound(sysroot.repository)
    finally:
        remove_sysroot(pristine)
        remove_sysroot(sysroot)


# ---- too small ----


@pytest.fixture
def small_boot(tmp_path: Path) -> Iterator[Sysroot]:
    """A sysroot whose /boot is a filesystem of its own of 1 MiB."""
    root = tmp_path / "sysroot"
    (root / "boot").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root / "boot"], check=True)
    sysroot = make_sysroot(root)
    yield sysroot
    loosen(sysroot)
    subprocess.run(["umount", root / "boot"], check=True)
    remove_tree(root)


@pytest.mark.root
def test_a_small_boot(small_boot: Sysroot) -> None:
    """It is refused with numbers before anything is written, in /boot or anywhere else."""
    commit_release(small_boot, "1")
    large = release_files("2") | {"usr/lib/modules/6.1/vmlinuz": bytes(3 << 19)}
    with changing(small_boot.root) as session:
        deploy(session, Request("demo/stable"))
    commit_release(small_boot, "2", files=large)
    before = sorted(small_boot.boot.rglob("*"))
    with changing(small_boot.root) as session:
        _, release = find_upgrade(session)
        with pytest.raises(RoomError, match=r"needs 1\.5 MiB in .*/boot, and 1\.0 MiB are free"):
            deploy(session, Request(release.hex()))
    assert sorted(small_boot.boot.rglob("*")) == before
    assert [version_of(d) for d in state_of(small_boot).deployments] == ["1"]
    assert litter_of(small_boot) == []
    # entries of a /boot of its own name files from its root on
    [entry] = (small_boot.boot / "loader/entries").iterdir()
    assert "\nlinux /ostreefs/" in entry.read_text()


@pytest.mark.root
def test_a_small_disk(tmp_path: Path) -> None:
    """What is copied counts: the first /var, not what is linked."""
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", root], check=True)
    try:
        sysroot = make_sysroot(root / "sysroot", "none")
        config = sysroot.repository / "config.toml"
        config.write_text(config.read_text() + "[core]\nmin-free-space-percent = 0\n")
        large = {"var/lib/large": bytes(range(256)) * (6 << 12)}  # 6 MiB
        commit_release(sysroot, "1", files=large, source=tmp_path / "source")
        with changing(sysroot.root) as session, pytest.raises(RoomError) as caught:
            deploy(session, Request("demo/stable"))
        assert caught.value.needed > 6 << 20
        assert litter_of(sysroot) == []
        write(sysroot.ostree / "var/of the machine")
        with changing(sysroot.root) as session:
            deploy(session, Request("demo/stable"))
        loosen(sysroot)
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@pytest.mark.root
def test_a_read_only_sysroot(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root], check=True)
    try:
        sysroot = make_sysroot(root / "sysroot")
        commit_release(sysroot, "1")
        with changing(sysroot.root) as session:
            deploy(session, Request("demo/stable"))
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        for words in (["upgrade"], ["deploy", "demo/stable"], ["rollback"], ["cleanup"]):
            done = ostreefs("admin", *words, "--sysroot", sysroot.root)
            assert done.returncode == 1
            assert complaint(done).endswith("Read-only file system")
        said = ostreefs("admin", "status", "--sysroot", sysroot.root)
        assert said.returncode == 0
        assert b"(current)" in said.stdout
    finally:
        subprocess.run(["umount", "-l", root], check=True)
