# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing over a mounted commit: what changes is kept above, the commit stays what it was."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import (
    OURSELVES,
    Account,
    command,
    complaint,
    ostreefs,
    ostreefs_output,
    output,
    run,
)
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import is_mounted, wait_until
from tests.support.trees import list_tree, make_small_tree, write

pytestmark = pytest.mark.mount


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, make_small_tree(tmp_path / "source"))
    return repository


def mount(repository: Path, at: Path, *words: str | Path, account: Account = OURSELVES) -> int:
    output("mkdir", "-p", at, account=account)
    said = ostreefs_output(
        "--json", "--repo", repository, "mount", "--rw", *words, "main", at, account=account
    )
    pid: int = json.loads(said)["pid"]
    return pid


def unmount(at: Path, pid: int, account: Account = OURSELVES) -> None:
    output("umount", at) if account is OURSELVES else ostreefs_output(
        "umount", at, account=account
    )
    assert not is_mounted(at)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")


def leftovers(at: Path) -> list[Path]:
    """The directories that writable mounts at a place have, or have left."""
    records = Path("/var/tmp").glob("ostreefs-rw-*/mount.json")
    return [path.parent for path in records if str(at) in path.read_text()]


@pytest.mark.root
def test_what_is_written_is_kept_above(repository: Path, tmp_path: Path) -> None:
    at, upper = tmp_path / "mnt", tmp_path / "upper"
    pid = mount(repository, at, f"--upper={upper}")
    assert list_tree(at) == list_tree(tmp_path / "source")
    write(at / "usr/local/bin/mine", b"mine", 0o755)
    (at / "usr/bin/tool").write_bytes(b"changed")
    (at / "etc/nowhere").unlink()
    subprocess.run(["rm", "-r", at / "usr/share"], check=True)
    write(at / "usr/share/only", b"made anew")
    shown = list_tree(at)
    unmount(at, pid)
    assert leftovers(at) == []
    assert not (tmp_path / ".upper.work").exists()

    tree = f"--tree=overlay={upper}"
    base = "--base=main"
    made = json.loads(
        ostreefs_output("--json", "--repo", repository, "commit", "-b", "mine", base, tree)
    )
    assert made["files_read"] == 3
    ostreefs_output("--repo", repository, "checkout", "mine", tmp_path / "out")
    assert list_tree(tmp_path / "out") == shown

    pid = mount(repository, at, f"--upper={upper}")
    assert list_tree(at) == shown, "and is there again"
    unmount(at, pid)


@pytest.mark.root
def test_what_is_written_is_thrown_away(repository: Path, tmp_path: Path) -> None:
    at = tmp_path / "mnt"
    pid = mount(repository, at)
    write(at / "new", b"new")
    assert len(leftovers(at)) == 1
    ostreefs_output("umount", at)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")
    assert leftovers(at) == []
    pid = mount(repository, at)
    assert list_tree(at) == list_tree(tmp_path / "source")
    unmount(at, pid)


def test_an_ordinary_user_writes(user: Account) -> None:
    assert user.home is not None
    home = Path(user.home)
    source = home / "source"
    ostreefs_output("--repo", home / "repo", "init", account=user)
    output("mkdir", "-p", source / "usr/bin", home / "mnt", account=user)
    output("sh", "-c", f"echo old > {source}/usr/bin/tool", account=user)
    commit = ("--repo", home / "repo", "commit", "-b")
    ostreefs_output(*commit, "main", source, account=user)
    at, upper = home / "mnt", home / "upper"
    pid = mount(home / "repo", at, f"--upper={upper}", account=user)
    script = f"echo new > {at}/usr/bin/new; rm {at}/usr/bin/tool; mkdir {at}/etc"
    output("sh", "-c", script, account=user)
    unmount(at, pid, user)
    layers = (f"--tree=overlay={upper}", "--base=main")
    ostreefs_output(*commit, "mine", *layers, account=user)
    listed = ostreefs_output(
        "--repo", home / "repo", "ls", "-R", "--nul-filenames-only", "mine", account=user
    )
    assert set(listed.split(b"\0")[:-1]) == {b"/", b"/etc", b"/usr", b"/usr/bin", b"/usr/bin/new"}


@pytest.mark.parametrize(
    "words",
    [
        ["--upper=/tmp", "main"],
        ["--rw", "--all"],
        ["--rw", "--foreground", "main"],
        ["--rw", "--follow", "main"],
    ],
)
def test_wrong_usage(repository: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "mnt").mkdir()
    done = ostreefs("--repo", repository, "mount", *words, tmp_path / "mnt")
    assert done.returncode == 2, done


_APART = 'mount -t tmpfs tmpfs /var/tmp && { "$@"; status=$?; ls -A /var/tmp; exit $status; }'
"""Runs a command with a `/var/tmp` of its own, and lists what it has left there."""


@pytest.mark.root
@pytest.mark.parametrize("what", ["upper", "revision"])
def test_what_cannot_be_an_upper(repository: Path, tmp_path: Path, what: str) -> None:
    (tmp_path / "mnt").mkdir()
    file = write(tmp_path / "file", b"")
    options, reason = {
        "upper": ([f"--upper={file}", "main"], f"the upper directory {file} is not a directory"),
        "revision": (["nothing"], "revision 'nothing' not found: no such ref or commit"),
    }[what]
    words = command("--repo", repository, "mount", "--rw", *options, tmp_path / "mnt")
    done = run("unshare", "--mount", "sh", "-c", _APART, "sh", *words)
    assert (done.returncode, complaint(done)) == (1, reason)
    assert done.stdout == b"", "nothing is left"
    assert not is_mounted(tmp_path / "mnt")


def test_fuse_overlayfs_is_here() -> None:
    """As the project's own set-up installs it for the tests."""
    assert shutil.which("fuse-overlayfs")
