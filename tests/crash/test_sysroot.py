# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at every trace point of `admin`: the machine boots the old or the new deployment, whole.

After each death the boot entries and `current` lead to deployments that are as committed, with
their kernels, and what booted before can still be booted. A second run of the command succeeds and
leaves no litter.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs.sysroot.boot.choose import open_loader
from ostreefs.sysroot.change import (
    clean_up,
    find_upgrade,
    prune_unused,
    set_default,
    set_kargs,
    set_pinned,
    undeploy,
)
from ostreefs.sysroot.deploy import Request, deploy
from ostreefs.sysroot.deployments import Deployment
from ostreefs.sysroot.kargs import Changes
from ostreefs.sysroot.layout import (
    Settings,
    Sysroot,
    init_fs,
    open_sysroot,
    os_init,
    read_settings,
)
from ostreefs.sysroot.origin import read_origin
from ostreefs.sysroot.protect import set_immutable
from ostreefs.sysroot.session import Session, changing
from ostreefs.sysroot.verify import repair_deployment, verify_deployment
from ostreefs_store.repository import Repository
from tests.support.crash import every_death
from tests.support.powercut import Loss, every_power_cut
from tests.support.scenes import assert_sound
from tests.support.sysroots import (
    OS,
    REF,
    commit_release,
    copy_sysroot,
    litter_of,
    make_sysroot,
    release_files,
    remove_sysroot,
    state_of,
)
from tests.support.trees import remove_tree, write

pytestmark = pytest.mark.crash

LOADERS = ("bls", "none")
Operation = Callable[[Session], object]


def run(root: Path, operation: Operation) -> None:
    with changing(root) as session:
        operation(session)


def upgrade(session: Session) -> None:
    origin, release = find_upgrade(session)
    if origin.release != release:
        deploy(session, Request(release.hex(), REF, kargs=Changes(append=("quiet",))))


def version_of(deployment: Deployment) -> str:
    assert deployment.origin is not None
    return deployment.origin.version


def choose(session: Session, version: str) -> Deployment:
    return next(d for d in session.state.deployments if version_of(d) == version)


def make_scene(root: Path, loader: str) -> Sysroot:
    """Three releases; 3 is not deployed, 2 is current, 1 the rollback, and 0 is kept beside."""
    remove_sysroot(Sysroot(root))
    sysroot = make_sysroot(root, loader)
    write(sysroot.ostree / "var/lib/state", b"of the machine")
    write(root / "home/me/file", b"of mine")
    for version in "012":
        commit_release(sysroot, version)
        request = Request(REF, kargs=Changes(replace=("root=LABEL=root",)), retain=True)
        run(root, lambda session, request=request: deploy(session, request))  # type: ignore[misc]  # bound early
    commit_release(sysroot, "3")
    return sysroot


def assert_whole(sysroot: Sysroot, deployment: Deployment) -> None:
    """It has the files of its release, and what the boot loader is told leads to its kernel."""
    assert deployment.origin is not None, deployment
    files = release_files(version_of(deployment))
    present = {
        str(path.relative_to(deployment.path)): path.read_bytes()
        for path in deployment.path.rglob("*")
        if path.is_file()
    }
    assert present == files
    assert (deployment.path / "sysroot").is_dir()
    if deployment.origin.boot:
        copy = sysroot.boot / "ostreefs" / deployment.origin.boot
        assert (copy / "vmlinuz").read_bytes() == files["usr/lib/modules/6.1/vmlinuz"]
        assert (copy / "initramfs.img").read_bytes() == files["usr/lib/modules/6.1/initramfs.img"]


def read_entries(sysroot: Sysroot) -> dict[str, str]:
    """The boot entries: deployment to file, the one that boots last."""
    found: dict[str, str] = {}
    for path in sorted((sysroot.boot / "loader/entries").glob("ostreefs-*")):
        keys = dict(line.split(" ", 1) for line in path.read_text().splitlines())
        [selected] = [w for w in keys["options"].split() if w.startswith("ostreefs=")]
        name = selected.removeprefix("ostreefs=")
        found.pop(name, None)
        found[name] = path.name
        for key in ("linux", "initrd"):
            assert (sysroot.root / keys[key].lstrip("/")).is_file(), keys
        assert (sysroot.ostree / name).is_dir()
    return found


def assert_boots(sysroot: Sysroot, permitted: set[str]) -> str:
    """What boots is whole and permitted; the version. So is what `current` leads to."""
    state = state_of(sysroot)
    for deployment in state.deployments:
        assert_whole(sysroot, deployment)
    booting = [sysroot.find_current()]
    if read_settings(sysroot).bootloader == "bls":
        entries = read_entries(sysroot)
        booting.append([*entries][-1])
        assert set(state.names) <= set(entries)
    else:
        booting += [name for name in [open_loader(sysroot).find_default()] if name is not None]
    for name in booting:
        assert name is not None
        origin = read_origin(sysroot.origin(name))
        assert_whole(sysroot, Deployment(name, sysroot.deployment(name), origin))
        assert origin.version in permitted
    assert booting[-1] == state.names[0]
    assert (sysroot.ostree / "var/lib/state").read_bytes() == b"of the machine"
    assert (sysroot.root / "home/me/file").read_bytes() == b"of mine"
    with Repository.open(sysroot.repository) as repository:
        assert repository.config.mode in {"bare", "bare-user"}
    return version_of(state.deployments[0])


CASES: dict[str, tuple[Operation, set[str], set[str], list[str]]] = {
    # what is done; what may boot meanwhile; what must stay meanwhile; what is there in the end
    "upgrade": (upgrade, {"2", "3"}, {"2"}, ["3", "2"]),
    "rollback": (
        lambda session: set_default(session, choose(session, "1")),
        {"1", "2"},
        {"0", "1", "2"},
        ["1", "2", "0"],
    ),
    "undeploy": (
        lambda session: [
            undeploy(session, d) for d in session.state.deployments if version_of(d) == "1"
        ],
        {"2"},
        {"0", "2"},
        ["2", "0"],
    ),
    "undeploy the current one": (
        lambda session: [
            undeploy(session, d) for d in session.state.deployments if version_of(d) == "2"
        ],
        {"1", "2"},
        {"0", "1"},
        ["1", "0"],
    ),
    "cleanup": (
        lambda session: (clean_up(session), prune_unused(session)),
        {"2"},
        {"1", "2"},
        ["2", "1"],
    ),
    "kargs": (
        lambda session: set_kargs(session, choose(session, "1"), Changes(replace=("quiet",))),
        {"2"},
        {"0", "1", "2"},
        ["2", "1", "0"],
    ),
    "pin": (
        lambda session: set_pinned(session, choose(session, "0"), pinned=True),
        {"2"},
        {"0", "1", "2"},
        ["2", "1", "0"],
    ),
}


def check_interruptions(
    place: Path, loader: str, case: str, interrupt: Callable[[Callable[[], None]], Iterator[int]]
) -> None:
    """Look at what each interruption leaves, and at what a second run makes of it."""
    operation, permitted, staying, expected = CASES[case]
    sysroot = Sysroot(place / "sysroot")
    pristine = make_scene(place / "pristine", loader)
    copy_sysroot(pristine, sysroot)
    booted = set()
    try:
        for _ in interrupt(lambda: run(sysroot.root, operation)):
            booted.add(assert_boots(sysroot, permitted))
            assert staying <= {version_of(d) for d in state_of(sysroot).deployments}
            run(sysroot.root, operation)
            assert [version_of(d) for d in state_of(sysroot).deployments] == expected
            assert_boots(sysroot, {expected[0]})
            assert litter_of(sysroot) == []
            copy_sysroot(pristine, sysroot)
        assert booted == permitted  # there were some on either side of the step
        assert_sound(sysroot.repository)
    finally:
        remove_sysroot(sysroot)
        remove_sysroot(pristine)


@pytest.mark.parametrize(
    ("loader", "case"),
    [
        *((loader, case) for loader in ("bls", "none") for case in CASES),
        ("grub2", "upgrade"),
        ("syslinux", "kargs"),
    ],
)
def test_every_death(place: Path, loader: str, case: str) -> None:
    check_interruptions(place, loader, case, every_death)


@pytest.mark.parametrize(
    ("loader", "case", "loss"),
    [
        *(("bls", case, "everything") for case in CASES),
        ("none", "upgrade", "everything"),
        ("none", "rollback", "everything"),
        ("bls", "upgrade", "content"),
        ("bls", "kargs", "content"),
    ],
)
def test_every_power_cut(place: Path, loader: str, case: str, loss: Loss) -> None:
    """The same with nothing left but what had been synced."""
    prefix = os.fsencode(place / "kept-")
    check_interruptions(
        place, loader, case, lambda operation: every_power_cut(operation, loss, prefix)
    )


@pytest.mark.parametrize("loader", LOADERS)
def test_deaths_one_after_another(place: Path, loader: str) -> None:
    """All of them in one sysroot, as a bad day would have it."""
    sysroot = make_scene(place / "sysroot", loader)
    try:
        for _ in every_death(lambda: run(sysroot.root, upgrade)):
            assert_boots(sysroot, {"2", "3"})
        assert [version_of(d) for d in state_of(sysroot).deployments] == ["3", "2"]
        assert litter_of(sysroot) == []
        assert_sound(sysroot.repository)
    finally:
        remove_sysroot(sysroot)


def deploy_first(session: Session) -> None:
    deploy(session, Request(REF))


def test_the_first_deployment(place: Path) -> None:
    root = place / "sysroot"
    sysroot = make_sysroot(root)
    commit_release(sysroot, "1")
    try:
        for _ in every_death(lambda: run(root, deploy_first)):
            for deployment in state_of(sysroot).deployments:
                assert_whole(sysroot, deployment)
            run(root, lambda _: None)
            assert litter_of(sysroot) == []
            if state_of(sysroot).deployments:
                remove_sysroot(sysroot)
                sysroot = make_sysroot(root)
                commit_release(sysroot, "1")
        assert [version_of(d) for d in state_of(sysroot).deployments] == ["1"]
        assert litter_of(sysroot) == []
    finally:
        remove_sysroot(sysroot)


def fill_var(session: Session) -> None:
    deploy(session, Request("demo/var"))


def test_filling_var(place: Path) -> None:
    """After any death in the first deploy /ostree/var is empty, or has all of the release."""
    root, files = place / "sysroot", {"var/lib/a": b"a", "var/lib/deep/b": b"b"}
    sysroot = make_sysroot(root, "none")
    commit_release(sysroot, "1", files=files, ref="demo/var")
    seen = set()
    try:
        for _ in every_death(lambda: run(root, fill_var)):
            var = sysroot.ostree / "var"
            there = {
                f"var/{p.relative_to(var)}": p.read_bytes() for p in var.rglob("*") if p.is_file()
            }
            assert there in ({}, files)
            seen.add(bool(there))
            remove_sysroot(sysroot)
            sysroot = make_sysroot(root, "none")
            commit_release(sysroot, "1", files=files, ref="demo/var")
        assert seen == {False, True}
    finally:
        remove_sysroot(sysroot)


def repair(session: Session) -> None:
    with session.repository.in_use(writing=True):
        for deployment in session.state.deployments:
            verdict = verify_deployment(session.sysroot, session.repository, deployment)
            repair_deployment(session.sysroot, session.repository, verdict, [])


def damage(sysroot: Sysroot) -> None:
    """What a repair finds a way out of: nothing that shares an inode with an object."""
    deployment = state_of(sysroot).deployments[0]
    set_immutable(deployment.path, immutable=False)
    assert deployment.origin is not None
    (deployment.path / "usr/lib/version").unlink()
    remove_tree(deployment.path / "usr/bin")
    write(deployment.path / "etc/extra", b"not of the release")
    write(deployment.path / "etc/os-release.new", b"written by an editor")
    (deployment.path / "etc/os-release.new").rename(deployment.path / "etc/os-release")
    copy = sysroot.boot / "ostreefs" / deployment.origin.boot / "vmlinuz"
    copy.write_bytes(b"damaged")


def test_a_repair(place: Path) -> None:
    """Whatever interrupts it, the next one ends it, and each path is old or as committed."""
    pristine, sysroot = make_scene(place / "pristine", "bls"), Sysroot(place / "sysroot")
    damage(pristine)
    copy_sysroot(pristine, sysroot)
    try:
        for _ in every_death(lambda: run(sysroot.root, repair)):
            run(sysroot.root, repair)
            assert_boots(sysroot, {"2"})
            run(sysroot.root, lambda _: None)
            assert litter_of(sysroot) == []
            [folder] = {d.origin.boot for d in state_of(sysroot).deployments[:1] if d.origin}
            copies = os.listdir(sysroot.boot / "ostreefs" / folder)
            assert sorted(copies) == ["initramfs.img", "vmlinuz"]
            assert_sound(sysroot.repository)
            copy_sysroot(pristine, sysroot)
    finally:
        remove_sysroot(sysroot)
        remove_sysroot(pristine)


def test_making_a_sysroot(place: Path) -> None:
    """Whatever a death leaves is no sysroot, or a whole one; the same command completes it."""
    root = place / "sysroot"

    def make() -> None:
        init_fs(root, Settings("bls"), modern=False)
        os_init(open_sysroot(root), OS)

    for _ in every_death(make, step=9):
        make()
        assert read_settings(open_sysroot(root)) == Settings("bls", os=(OS,))
        assert litter_of(Sysroot(root)) == []
        remove_sysroot(Sysroot(root))
