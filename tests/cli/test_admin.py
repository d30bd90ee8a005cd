# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin`, on sysroots of their own."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import Any

import pytest

from ostreefs.sysroot.layout import Sysroot
from tests.cli.conftest import Cli
from tests.support.commands import OURSELVES, Word, command, ordinary_user, ostreefs
from tests.support.sysroots import (
    commit_release,
    litter_of,
    release_files,
    remove_sysroot,
    state_of,
)
from tests.support.trees import list_tree, remove_tree, write


class Admin:
    """Runs verbs of `admin` on one sysroot."""

    def __init__(self, cli: Cli, root: Path) -> None:
        self.cli = cli
        self.sysroot = Sysroot(root)

    def __call__(self, verb: str, *words: str) -> str:
        done = self.cli.run(*self.words(verb, *words), repository=False)
        assert (done.returncode, done.stderr) == (0, b""), done
        return os.fsdecode(done.stdout)

    def fails(self, verb: str, *words: str, status: int = 1) -> str:
        done = self.cli.run(*self.words(verb, *words), repository=False)
        assert (done.returncode, done.stdout) == (status, b""), done
        lines = done.stderr.decode().splitlines()
        assert lines[0].startswith("ostreefs: error: ")
        assert all(line.startswith("ostreefs: hint: ") for line in lines[1:])
        return done.stderr.decode()

    def json(self, verb: str, *words: str) -> Any:
        return loads(self("--json", verb, *words))

    def words(self, *words: str) -> list[str]:
        return ["admin", "--sysroot", str(self.sysroot.root), *words]

    def release(self, version: str, **options: Any) -> str:
        return commit_release(self.sysroot, version, **options)

    @property
    def names(self) -> tuple[str, ...]:
        return state_of(self.sysroot).names

    @property
    def versions(self) -> list[str]:
        return [name.split("-")[1] for name in self.names]


@pytest.fixture
def admin(empty_cli: Cli, tmp_path: Path) -> Iterator[Admin]:
    """A sysroot with one operating system, and entries of the Boot Loader Specification."""
    made = Admin(empty_cli, tmp_path / "sysroot")
    said = empty_cli.run(
        "admin", "init-fs", "--bootloader=bls", made.sysroot.root, repository=False
    )
    assert said.stdout.decode() == f"{made.sysroot.ostree}: bootloader=bls\n"
    made("os-init", "demo")
    yield made
    remove_sysroot(made.sysroot)


# ---- the main job ----


def test_install_upgrade_roll_back(admin: Admin) -> None:
    one = admin.release("1")
    assert admin("status") == "No deployments.\n"
    said = admin("deploy", "--karg=root=LABEL=root", "--karg=ro", "demo/stable")
    first = f"demo-1-{one[:8]}"
    assert said == f"Deployed {first}\n"
    assert admin("upgrade") == "No upgrade available.\n"
    two = admin.release("2")
    assert admin("upgrade", "--check") == f"demo/stable: {two} is available\n"
    second = f"demo-2-{two[:8]}"
    assert admin("upgrade") == f"Deployed {second}\n"
    assert admin.names == (second, first)
    assert os.readlink(admin.sysroot.current) == second
    entries = sorted((admin.sysroot.boot / "loader/entries").iterdir())
    assert [path.name for path in entries] == [
        f"ostreefs-001000-{first}.conf",
        f"ostreefs-001001-{second}.conf",
    ]
    options = entries[1].read_text().split("options ")[1].split("\n")[0]
    assert options == f"root=LABEL=root ro ostreefs={second}"
    assert admin("rollback") == f"Next boot: {first}\n"
    assert admin.names == (first, second)
    assert admin("rollback") == f"Next boot: {second}\n"
    three = admin.release("3")
    assert admin("upgrade") == f"Deployed demo-3-{three[:8]}\nDeleted {first}\n"
    assert admin.versions == ["3", "2"]
    assert litter_of(admin.sysroot) == []


def test_a_deployment_is_the_commit(admin: Admin) -> None:
    """Its files are links to the objects, and the mount points are there."""
    admin.release("1")
    admin("deploy", "demo/stable")
    path = state_of(admin.sysroot).deployments[0].path
    listing = list_tree(path)
    files = {name.decode() for name, entry in listing.items() if entry.kind == 0o100000}
    assert files == set(release_files("1"))
    assert {b"sysroot", b"var", b"proc", b"home", b"run", b"boot"} <= set(listing)
    tool = (path / "usr/bin/tool").stat()
    assert tool.st_nlink == 2
    admin.release("2")
    admin("upgrade")
    assert (path / "usr/bin/tool").stat().st_nlink == 3
    if os.geteuid() == 0 and _is_immutable(path):
        with pytest.raises(PermissionError):
            (path / "new").touch()


def _is_immutable(path: Path) -> bool:
    said = subprocess.run(["lsattr", "-d", path], capture_output=True, text=True, check=False)
    return "i" in said.stdout.split(" ")[0]


def test_status(admin: Admin) -> None:
    one = admin.release("1")
    admin("deploy", "demo/stable")
    two = admin.release("2")
    admin("deploy", two)
    admin("pin", "1")
    lines = admin("status").splitlines()
    assert lines[0] == f"  0 demo-2-{two[:8]} (current)"
    assert lines[1] == f"    Origin: {two}"
    assert "    Version: 2" in lines
    assert f"    Release: {two}" in lines
    assert f"  1 demo-1-{one[:8]} (rollback, pinned)" in lines
    document = admin.json("status")
    assert document["current"] == f"demo-2-{two[:8]}"
    assert document["rollback"] == f"demo-1-{one[:8]}"
    assert document["booted"] is document["pending"] is None
    assert (document["bootloader"], document["os"]) == ("bls", ["demo"])
    first = document["deployments"][1]
    assert first["refspec"] == "demo/stable"
    assert first["roles"] == ["rollback", "pinned"]
    assert first["release"] == one
    # what a release has alone: its kernel, its version twice
    own = sum(len(data) for data in release_files("1").values() if b"same" not in data)
    assert (first["shared"], first["exclusive"]) == (first["size"] - own, own)


def test_what_a_prune_keeps(admin: Admin) -> None:
    """A release that no ref names any more stays while it is deployed, and goes with it."""
    one = admin.release("1")
    admin("deploy", one)
    repo = f"--repo={admin.sysroot.repository}"
    admin.cli.run("refs", "--delete", "demo/stable", repo, repository=False)
    admin.cli.run("prune", "--refs-only", repo, repository=False)
    path = state_of(admin.sysroot).deployments[0].path
    assert (path / "usr/bin/tool").read_bytes() == b"the same tool"
    said = admin.cli.run("show", one, repo, repository=False)
    assert said.returncode == 0
    admin.release("2")
    admin("deploy", "demo/stable")
    admin.release("3")
    admin("upgrade")
    said = admin.cli.run("show", one, repo, repository=False)
    assert b"not found" in said.stderr


def test_var(admin: Admin) -> None:
    """The first release fills it, later ones add directories; nothing is replaced."""
    files = release_files("1") | {"var/lib/dpkg/status": b"of 1", "var/log/x": b""}
    admin.release("1", files=files)
    admin("deploy", "demo/stable")
    var = admin.sysroot.ostree / "var"
    status = var / "lib/dpkg/status"
    assert status.read_bytes() == b"of 1"
    assert status.stat().st_nlink == 1  # nobody writes to an object here
    status.write_bytes(b"of the machine")
    remove_tree(var / "log")
    (var / "log").symlink_to("/nowhere")
    (var / "mail").write_bytes(b"a file")
    files |= {"var/lib/dpkg/status": b"of 2", "var/lib/new/deep/file": b"", "var/log/y/z": b""}
    admin.release("2", files=files | {"var/mail/box": b""})
    admin("upgrade")
    assert status.read_bytes() == b"of the machine"
    assert (var / "lib/new/deep").is_dir()
    assert not (var / "lib/new/deep/file").exists()
    assert os.readlink(var / "log") == "/nowhere"
    assert (var / "mail").read_bytes() == b"a file"
    admin("verify")
    assert litter_of(admin.sysroot) == []


# ---- options ----


def test_serials_and_retain(admin: Admin) -> None:
    one = admin.release("1")
    for _ in range(3):
        admin("deploy", "--retain", "demo/stable")
    name = f"demo-1-{one[:8]}"
    assert list(admin.names) == [f"{name}.2", f"{name}.1", name]
    document = admin.json("deploy", "demo/stable")
    assert document["deployed"] == f"{name}.3"
    assert document["removed"] == [name, f"{name}.1"]
    assert list(admin.names) == [f"{name}.3", f"{name}.2"]


def test_not_as_default(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "demo/stable")
    two = admin.release("2")
    admin("deploy", "--not-as-default", "demo/stable")
    assert admin.versions == ["1", "2"]
    assert admin("set-default", f"demo-2-{two[:8]}") == f"Next boot: demo-2-{two[:8]}\n"
    assert admin.versions == ["2", "1"]
    admin("set-default", "0")
    assert admin.versions == ["2", "1"]


def test_pinned_ones_stay(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "demo/stable")
    admin("pin", "0")
    for version in "234":
        admin.release(version)
        admin("upgrade")
    assert admin.versions == ["4", "3", "1"]
    assert "is pinned" in admin.fails("undeploy", "2")
    admin("cleanup")
    assert admin.versions == ["4", "3", "1"]
    admin("pin", "--unpin", "2")
    last = admin.names[2]
    assert admin.json("cleanup")["removed"] == [last]
    assert admin.versions == ["4", "3"]


def test_undeploy(admin: Admin) -> None:
    for version in "12":
        admin.release(version)
        admin("deploy", "demo/stable")
    assert "no deployment '2'" in admin.fails("undeploy", "2")
    assert admin("undeploy", "0").startswith("Deleted demo-2-")
    assert admin.versions == ["1"]
    assert "the only one" in admin.fails("undeploy", "0")
    assert litter_of(admin.sysroot) == []


def test_kernel_arguments(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "--karg=root=/dev/vda", "--karg-append=console=ttyS0", "demo/stable")
    admin.release("2")
    admin("deploy", "--karg=root=/dev/vdb", "--karg-delete=console", "demo/stable")
    assert admin("kargs") == "root=/dev/vdb\n"
    assert admin.json("kargs", "1")["kargs"] == ["root=/dev/vda", "console=ttyS0"]
    assert admin("kargs", "--karg-append=quiet", "1") == "root=/dev/vda console=ttyS0 quiet\n"
    texts = [path.read_text() for path in (admin.sysroot.boot / "loader/entries").iterdir()]
    assert any("options root=/dev/vda console=ttyS0 quiet ostreefs=demo-1" in t for t in texts)
    assert "no such argument" in admin.fails("kargs", "--karg-delete=nonsense")
    assert "each deployment has its own" in admin.fails("kargs", "--karg=ostreefs=x")
    assert admin("deploy", "--karg-none", "demo/stable")
    assert admin("kargs") == "\n"


def test_arguments_that_grub_cannot_pass_on(admin: Admin) -> None:
    """Nothing is written, so the next command goes on."""
    settings = admin.sysroot.settings
    settings.write_text(settings.read_text().replace("bls", "grub2"))
    admin.release("1")
    assert "cannot pass" in admin.fails("deploy", "--karg=a=it's", "demo/stable")
    admin("deploy", "--karg=a=1", "demo/stable")
    assert "cannot pass" in admin.fails("kargs", "--karg=a=it's")
    assert admin("kargs") == "a=1\n"
    menu = (admin.sysroot.boot / "grub/ostreefs.cfg").read_text()
    assert f"/vmlinuz a=1 ostreefs={admin.names[0]}\n" in menu


def test_switch(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "demo/stable")
    admin.release("2", ref="demo/next")
    admin("switch", "demo/next")
    assert admin.json("status")["deployments"][0]["refspec"] == "demo/next"
    admin.release("3", ref="demo/next")
    admin("upgrade")
    assert admin.versions == ["3", "2"]
    assert "not found" in admin.fails("switch", "demo/nothing")
    assert "could be mistaken" in admin.fails("switch", "a" * 64)


def test_reboot(admin: Admin, tmp_path: Path) -> None:
    """When something was deployed; the sysroot is free again by then."""
    script = (
        f"#!/bin/sh\nflock -n {admin.sysroot.ostree}/lock echo free >{tmp_path}/said\n"
        f'echo "$@" >>{tmp_path}/said\n'
    )
    write(tmp_path / "bin/systemctl", script.encode(), 0o755)
    environment = OURSELVES.environment()
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    admin.release("1")
    admin("deploy", "demo/stable")
    words = admin.words("upgrade", "--reboot")
    assert ostreefs(*words, env=environment).stdout == b"No upgrade available.\n"
    admin.release("2")
    ostreefs(*words, "--check", env=environment)
    ostreefs(*words, "--dry-run", env=environment)
    assert not (tmp_path / "said").exists()
    done = ostreefs(*words, env=environment)
    assert (done.returncode, done.stdout.startswith(b"Deployed demo-2-")) == (0, True)
    assert (tmp_path / "said").read_text() == "free\nreboot\n"


def test_upgrade_refuses(admin: Admin) -> None:
    assert "nothing is deployed" in admin.fails("upgrade")
    one = admin.release("1", timestamp=1000)
    admin("deploy", one)
    assert "follows no ref" in admin.fails("upgrade")
    admin("deploy", "demo/stable")
    admin.release("0", timestamp=999)
    assert "is older (999)" in admin.fails("upgrade")
    admin("upgrade", "--allow-downgrade")
    assert admin.versions[0] == "0"


def test_steps_are_not_passed_over(admin: Admin) -> None:
    admin.release("1")
    write(admin.sysroot.rebase / "10-name.toml", b'hostname = "box"\n')
    assert "this version runs no steps" in admin.fails("deploy", "demo/stable")
    assert admin.names == ()
    admin("deploy", "--no-rebase", "demo/stable")
    write(admin.sysroot.rebase / "readme", b"")
    assert "its name is not made of" in admin.fails("deploy", "demo/stable")


def test_dry_run(admin: Admin) -> None:
    one = admin.release("1")
    assert admin("deploy", "--dry-run", "demo/stable").startswith(f"Would deploy {one}\nTree: ")
    document = admin.json("deploy", "--dry-run", "demo/stable")
    assert document["room"]["boot"] > len(b"kernel of 1")
    assert admin.names == ()
    assert litter_of(admin.sysroot) == []


# ---- what cannot be ----


def test_no_sysroot(cli: Cli, tmp_path: Path) -> None:
    done = cli.run("admin", "status", f"--sysroot={tmp_path}", repository=False)
    assert done.returncode == 1
    assert b"is not an ostreefs sysroot" in done.stderr
    done = cli.run("admin", "status", f"--sysroot={tmp_path}/nowhere", repository=False)
    assert b"there is no such directory" in done.stderr
    done = cli.run("admin", "status", f"--sysroot={tmp_path}")
    assert done.returncode == 2
    assert b"say --sysroot=PATH" in done.stderr


def test_operating_systems(admin: Admin) -> None:
    admin.release("1")
    assert "no operating system 'other'" in admin.fails("deploy", "--os=other", "demo/stable")
    admin("os-init", "other")
    assert "several operating systems: demo, other" in admin.fails("deploy", "demo/stable")
    admin("deploy", "--os=other", "demo/stable")
    assert admin.names[0].startswith("other-1-")
    admin("deploy", "demo/stable")
    assert admin.names[0].startswith("other-1-")
    assert admin.json("os-init", "other") == {"os": "other", "created": False}
    assert "invalid operating system" in admin.fails("os-init", "../x")


def test_releases_that_cannot_boot(admin: Admin) -> None:
    files = release_files("1")
    admin.release("1", files={"usr/bin/tool": b""})
    assert "it has no kernel" in admin.fails("deploy", "demo/stable")
    admin.release("1", files=files | {"usr/lib/modules/6.2/vmlinuz": b"another"})
    assert "it has the kernels 6.1, 6.2" in admin.fails("deploy", "demo/stable")
    admin.release("1", files=files | {"var": b"a file"})
    assert "/var of the commit is no directory" in admin.fails("deploy", "demo/stable")
    debian = {"boot/vmlinuz-6.1": b"kernel", "boot/initrd.img-6.1": b"initramfs"}
    admin.release("1", files=debian)
    assert admin.names == ()
    assert litter_of(admin.sysroot) == []
    admin("deploy", "demo/stable")
    [entry] = (admin.sysroot.boot / "loader/entries").iterdir()
    copy = next((admin.sysroot.boot / "ostreefs").iterdir())
    assert (copy / "initramfs.img").read_bytes() == b"initramfs"
    assert f"linux /boot/ostreefs/{copy.name}/vmlinuz\n" in entry.read_text()


def test_a_damaged_origin(admin: Admin) -> None:
    """It stands in the way of every change but its removal; nothing of it is lost meanwhile."""
    for version in "12":
        admin.release(version)
        admin("deploy", "demo/stable")
    first, second = admin.names[1], admin.names[0]
    text = admin.sysroot.origin(second).read_text()
    admin.sysroot.origin(second).write_text("nonsense")
    assert "damaged origin: line 1" in admin("status")
    assert admin.json("status")["deployments"][0]["damage"].startswith("line 1")
    before = sorted(path.name for path in (admin.sysroot.boot / "loader/entries").iterdir())
    admin.release("3")
    for words in (["deploy", "demo/stable"], ["upgrade"], ["rollback"], ["cleanup"]):
        assert "cannot be read" in admin.fails(*words, status=3)
    after = sorted(path.name for path in (admin.sysroot.boot / "loader/entries").iterdir())
    assert before == after
    assert admin.sysroot.deployment(second).is_dir()
    admin.sysroot.origin(second).write_text(text)
    admin("rollback")
    admin.sysroot.origin(second).write_text("nonsense")
    admin("undeploy", "1")
    assert admin.names == (first,)
    assert litter_of(admin.sysroot) == []


def test_verify_and_repair(admin: Admin, tmp_path: Path) -> None:
    """What was changed through a hard link, deleted, added and given another mode."""
    for version in "12":
        admin.release(version)
        admin("deploy", "demo/stable")
    second, first = admin.names
    assert admin("verify") == f"{second}: whole\n{first}: whole\n"
    path = admin.sysroot.deployment(second)
    with (path / "usr/bin/tool").open("r+b") as tool:  # the inode of both deployments
        tool.write(b"THE")
    (path / "etc/os-release").unlink()
    write(path / "usr/extra/file", b"not of the release")
    (path / "usr/lib/modules").chmod(0o700)
    (path / "usr/lib/version").unlink()
    (path / "usr/lib/version").symlink_to("/etc/passwd")
    copy = next((admin.sysroot.boot / "ostreefs").glob("*/vmlinuz"))
    copy.write_bytes(b"bad")
    done = admin.cli.run(*admin.words("verify"), repository=False)
    assert done.returncode == 3
    found = done.stdout.decode().splitlines()
    assert "    M    /usr/bin/tool" in found
    assert "    D    /etc/os-release" in found
    assert {"    A    /usr/extra", "    A    /usr/extra/file"} <= set(found)
    assert "    Mm   /usr/lib/modules" in found
    assert found.count("    M    /usr/bin/tool") == 2
    assert "    its copy of vmlinuz in boot is damaged" in found
    # without a copy of the content one thing remains
    done = admin.cli.run(*admin.words("verify", "--repair"), repository=False)
    assert done.returncode == 3
    assert done.stdout.decode().splitlines() == [
        *(f"{second}: damaged", "    M    /usr/bin/tool"),
        *(f"{first}: damaged", "    M    /usr/bin/tool"),
    ]
    assert b"no whole copy of its content was found" in done.stderr
    write(tmp_path / "backup/tool", release_files("2")["usr/bin/tool"])
    said = admin("verify", "--repair", f"--from={tmp_path}/backup")
    assert said == f"{second}: whole\n{first}: whole\n"
    assert (path / "usr/bin/tool").stat().st_nlink == 3
    document = admin.json("verify", "1")
    assert [item["name"] for item in document["deployments"]] == [first]
    assert document["deployments"][0]["whole"] is True
    assert litter_of(admin.sysroot) == []


def test_whole_directories_come_back(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "demo/stable")
    path = state_of(admin.sysroot).deployments[0].path
    before = list_tree(path)
    remove_tree(path / "usr/lib")
    (path / "usr/lib").symlink_to("/etc")
    remove_tree(path / "usr/bin")
    (path / "var").chmod(0o700)
    outside = set(os.listdir("/etc"))
    assert admin("verify", "--repair", "0").endswith(": whole\n")
    assert list_tree(path) == before
    assert set(os.listdir("/etc")) == outside


def test_diff(admin: Admin) -> None:
    admin.release("1")
    admin("deploy", "demo/stable")
    assert "A    /sysroot\n" in admin("diff")
    paths = [item["path"] for item in admin.json("diff", "0")["changes"]]
    added = ["boot", "dev", "home", "ostree", "proc", "run", "sys", "sysroot", "tmp", "var"]
    assert paths == [f"/{name}" for name in added]
    path = state_of(admin.sysroot).deployments[0].path
    assert os.readlink(path / "ostree") == "sysroot/ostree"


def test_lost_order(admin: Admin) -> None:
    """What boots still does, and nothing is deleted for it."""
    for version in "12":
        admin.release(version)
        admin("deploy", "demo/stable")
    for text in ("garbage\n", None):
        if text is None:
            admin.sysroot.order.unlink()
        else:
            admin.sysroot.order.write_text(text)
        assert admin.versions == ["2", "1"]
        admin("cleanup")
        assert admin.versions == ["2", "1"]


def test_current_changed_by_hand(empty_cli: Cli, tmp_path: Path) -> None:
    """Without a boot loader it decides; no deployment is taken for what a crash left."""
    admin = Admin(empty_cli, tmp_path / "sysroot")
    empty_cli.run("admin", "init-fs", "--modern", admin.sysroot.root, repository=False)
    admin("os-init", "demo")
    try:
        for version in "12":
            admin.release(version, files={"usr/version": version.encode()})
            admin("deploy", "demo/stable")
        first = admin.names[1]
        admin.sysroot.current.unlink()
        admin.sysroot.current.symlink_to(first)
        assert admin.versions == ["1", "2"]
        admin("pin", "1")
        assert admin.versions == ["1", "2"]
        assert not (admin.sysroot.root / "home").exists()
        assert list(admin.sysroot.boot.iterdir()) == []
    finally:
        remove_sysroot(admin.sysroot)


def test_beside_another_distribution(empty_cli: Cli, tmp_path: Path) -> None:
    """What is there stays as it is, boot entries included."""
    root = tmp_path / "root"
    write(root / "etc/os-release", b"ID=debian\n")
    write(root / "boot/loader/entries/debian.conf", b"title Debian\n")
    write(root / "boot/vmlinuz-6.1", b"kernel of Debian")
    write(root / "usr/bin/tool", b"tool of Debian", 0o755)
    (root / "tmp").mkdir(mode=0o700)
    before = list_tree(root)
    admin = Admin(empty_cli, root)
    said = empty_cli.run("admin", "init-fs", root, repository=False).stdout.decode()
    assert said == f"{root}/ostree: bootloader=bls\n"
    admin("os-init", "demo")
    try:
        for version in "123":
            admin.release(version)
            admin("deploy", "demo/stable")
        admin("rollback")
        after = list_tree(root)
        assert {path: after[path] for path in before if path not in {b"", b"boot"}} == {
            path: entry for path, entry in before.items() if path not in {b"", b"boot"}
        }
        own = [name for name in os.listdir(root / "boot") if name not in {"loader", "vmlinuz-6.1"}]
        assert own == ["ostreefs"]
    finally:
        remove_sysroot(admin.sysroot)


def test_an_efi_partition_elsewhere(empty_cli: Cli, tmp_path: Path) -> None:
    admin = Admin(empty_cli, tmp_path / "root")
    options = ("--modern", "--boot=/boot/efi/", "--bootloader=bls")
    empty_cli.run("admin", "init-fs", *options, admin.sysroot.root, repository=False)
    admin("os-init", "demo")
    try:
        admin.release("1")
        admin("deploy", "demo/stable")
        [entry] = (admin.sysroot.root / "boot/efi/loader/entries").iterdir()
        assert "\nlinux /boot/efi/ostreefs/" in entry.read_text()
        assert os.listdir(admin.sysroot.root / "boot") == ["efi"]
        admin("verify")
        done = empty_cli.run("admin", "init-fs", "--boot=../x", tmp_path / "y", repository=False)
        assert done.returncode == 2
        assert b"no folder below the root" in done.stderr
    finally:
        remove_sysroot(admin.sysroot)


def test_two_at_once(admin: Admin) -> None:
    """The second one says that it waits, and goes on when the first one has ended."""
    admin.release("1")
    with (admin.sysroot.ostree / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = command(*admin.words("deploy", "demo/stable"))
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
            assert waiting.stderr is not None
            assert b"waiting" in waiting.stderr.readline()
            assert admin("status") == "No deployments.\n"
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.communicate()[0].startswith(b"Deployed demo-1-")
    assert admin.versions == ["1"]


def test_an_ordinary_user() -> None:
    """In a directory of his own he does the same, with files that are his."""
    with ordinary_user() as account:
        assert account.home is not None
        root, tree = account.home / "root", account.home / "tree"

        def do(*words: Word, status: int = 0) -> str:
            done = ostreefs(*words, account=account)
            assert done.returncode == status, done
            return done.stdout.decode()

        for name, content in release_files("1").items():
            write(tree / name, content)
        do("admin", "init-fs", "--modern", "--bootloader=bls", root)
        do("admin", "os-init", "demo", f"--sysroot={root}")
        do("commit", f"--repo={root}/ostree/repo", "-b", "demo/stable", f"--tree=dir={tree}")
        for _ in range(2):
            do("admin", "deploy", f"--sysroot={root}", "--retain", "demo/stable")
        names = state_of(Sysroot(root)).names
        assert do("admin", "verify", f"--sysroot={root}").count(": whole\n") == 2
        tool = Sysroot(root).deployment(names[1]) / "usr/bin/tool"
        tool.chmod(0o600)
        assert "    Mm   /usr/bin/tool" in do("admin", "verify", f"--sysroot={root}", status=3)
        tool.chmod(0o644)
        do("admin", "rollback", f"--sysroot={root}")
        do("admin", "undeploy", f"--sysroot={root}", names[0])
        assert state_of(Sysroot(root)).names == names[1:]
        assert litter_of(Sysroot(root)) == []
