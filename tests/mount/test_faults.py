# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damage, signals and deaths: what a mount does when not all is well."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ostreefs_store.model import Digest
from ostreefs_store.repository import Repository
from tests.support.commands import (
    OURSELVES,
    command,
    complaint,
    ostreefs,
    ostreefs_output,
    output,
    run,
)
from tests.support.commits import EMPTY_FILE, commit_directory, init_repository, put_commit
from tests.support.mounts import (
    Mounted,
    clean_up,
    is_mounted,
    mounted,
    mounted_in_background,
    unmount,
    wait_until,
)
from tests.support.trees import write

pytestmark = pytest.mark.mount

CONTENT = os.urandom(300_000)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write(tmp_path / "source/dir/file", CONTENT)
    write(tmp_path / "source/other", b"other")
    commit_directory(init_repository(tmp_path / "repo"), tmp_path / "source")
    return tmp_path / "repo"


@pytest.fixture
def mount(repository: Path, tmp_path: Path) -> Iterator[Mounted]:
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        yield mount


def object_of(mount: Mounted, name: str) -> Path:
    digest = os.getxattr(mount.path / name, "user.ostreefs.object").decode()
    return mount.path.with_name("repo") / "objects" / digest[:2] / digest[2:]


# ---- damage


@pytest.mark.parametrize("how", ["missing", "truncated", "longer", "directory", "symlink", "fifo"])
def test_damaged_object(mount: Mounted, how: str) -> None:
    path = object_of(mount, "dir/file")
    if how == "truncated":
        os.truncate(path, 1000)
    elif how == "longer":
        os.truncate(path, len(CONTENT) + 1)
    else:
        path.unlink()
    if how == "directory":
        path.mkdir()
    elif how == "symlink":
        path.symlink_to("/etc/passwd")
    elif how == "fifo":
        os.mkfifo(path)
    mount.expect(path.parent.name + path.name)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "dir/file").open("rb")
    assert (mount.path / "other").read_bytes() == b"other"
    assert (mount.path / "dir/file").stat().st_size == len(CONTENT)


def test_flipped_object(mount: Mounted) -> None:
    """Nobody reads a whole object before its first byte is given out; fsck finds this."""
    path = object_of(mount, "dir/file")
    flipped = bytes(255 - byte for byte in CONTENT)
    path.write_bytes(flipped)
    assert (mount.path / "dir/file").read_bytes() == flipped


def test_truncated_while_it_is_open(mount: Mounted) -> None:
    """What is gone is never shown as zeros."""
    path = object_of(mount, "dir/file")
    mount.expect(path.parent.name + path.name)
    with (mount.path / "dir/file").open("rb") as file:
        assert os.pread(file.fileno(), 100, 0) == CONTENT[:100]
        os.truncate(path, 200_000)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(file.fileno(), 100, 0) == CONTENT[:100]
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(file.fileno(), 100, 250_000)
    assert (mount.path / "other").read_bytes() == b"other"


def test_missing_records(tmp_path: Path) -> None:
    path = init_repository(tmp_path / "repo")
    missing = Digest(b"m" * 32)
    with (
        Repository.open(path, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        put_commit(transaction, {b"d": {b"x": missing}, b"y": EMPTY_FILE}, branch="main")
    with mounted(path, "main", at=tmp_path / "mnt") as mount:
        mount.expect(missing.hex())
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "d/x").stat()
        with pytest.raises(OSError, match="Input/output error"):
            os.listdir(mount.path / "d")
        assert sorted(os.listdir(mount.path)) == ["d", "y"]
        assert (mount.path / "y").read_bytes() == b""
        assert mount.wait_for_log(missing.hex()).startswith(f"ostreefs[{mount.pid}]: ERROR: ")


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts(mount: Mounted, number: signal.Signals) -> None:
    assert mount.process is not None
    assert (mount.path / "other").read_bytes() == b"other"
    mount.process.send_signal(number)
    assert mount.process.wait(10) == 0
    assert not is_mounted(mount.path)
    assert any("unmounting" in line for line in mount.read_log())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_is_used(mount: Mounted, number: signal.Signals) -> None:
    assert mount.process is not None
    fd = os.open(mount.path / "dir/file", os.O_RDONLY)
    mount.process.send_signal(number)
    assert mount.process.wait(10) == 0
    assert not is_mounted(mount.path)
    with pytest.raises(OSError, match="Transport endpoint is not connected"):
        os.pread(fd, 1, 0)
    with suppress(OSError):
        os.close(fd)


def test_killed(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="status -9"):  # noqa: PT012, SIM117 -- the fixture fails
        with mounted(repository, "main", at=tmp_path / "mnt") as mount:
            _kill(mount)
            with pytest.raises(OSError, match="Transport endpoint is not connected"):
                os.listdir(mount.path)
            unmount(mount)
            assert not is_mounted(mount.path)
            assert os.listdir(mount.path) == []


def test_the_next_mount_replaces_a_dead_one(repository: Path, tmp_path: Path) -> None:
    """Also one on top of another, and where files of it are open."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    words = ("-v", "--repo", repository, "mount", "--log-file", tmp_path / "log")
    mounting = command("--json", *words, "main", mnt)
    process = json.loads(run(*mounting).stdout)["pid"]
    fd = os.open(mnt / "other", os.O_RDONLY)
    try:
        for _ in range(2):
            _kill_and_wait(process)
            done = run(*mounting)
            said = f"ostreefs: detached {repository}#main from {mnt}: its process has died\n"
            assert (done.returncode, done.stderr.decode()) == (0, said)
            process = json.loads(done.stdout)["pid"]
            assert (mnt / "other").read_bytes() == b"other"
        assert ostreefs("umount", mnt).returncode == 0
        assert not is_mounted(mnt)
    finally:
        with suppress(OSError):
            os.close(fd)
        clean_up(mnt, None)


def _kill_and_wait(pid: int) -> None:
    daemon = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([daemon], [], [], 10)[0]
    os.close(daemon)


def test_a_mount_that_hangs_is_not_replaced(mount: Mounted) -> None:
    """Nor does it hang who tries, or take down."""
    os.kill(mount.pid, signal.SIGSTOP)
    try:
        done = ostreefs("--repo", "/nowhere", "mount", "main", mount.path)
        assert "is already mounted" in complaint(done)
    finally:
        os.kill(mount.pid, signal.SIGCONT)
    assert (mount.path / "other").read_bytes() == b"other"


BUGGY = """
import sys
from pathlib import Path
from ostreefs.fuse import serve

async def obey(signals, *_, **__):
    async for _ in signals:
        raise RuntimeError("a bug")

serve.obey = obey
request = serve.MountRequest(Path(sys.argv[1]), "main", Path(sys.argv[2]))
serve.serve(request, lambda: print("ready", flush=True))
"""


def test_a_daemon_that_ends_with_an_error(repository: Path, tmp_path: Path) -> None:
    """Nobody is to take the place where it was for an empty directory."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    process = subprocess.Popen(
        [OURSELVES.python, "-c", BUGGY, repository, mnt],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **OURSELVES.popen_arguments(),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 1
        assert b"RuntimeError: a bug" in said
        with pytest.raises(OSError, match="Transport endpoint is not connected"):
            os.listdir(mnt)
    finally:
        clean_up(mnt, process)


def test_a_mount_that_hangs_can_be_taken_down(mount: Mounted) -> None:
    assert mount.process is not None
    os.kill(mount.pid, signal.SIGSTOP)
    try:
        done = ostreefs("umount", "-l", mount.path, timeout=20)
        assert (done.returncode, done.stderr) == (0, b"")
        assert not is_mounted(mount.path)
    finally:
        os.kill(mount.pid, signal.SIGCONT)
    assert mount.process.wait(20) == 0


def _kill(mount: Mounted) -> None:
    assert mount.process is not None
    mount.process.kill()
    mount.process.wait()


# ---- unmounting


def test_busy(mount: Mounted) -> None:
    with (mount.path / "dir/file").open("rb") as file:
        done = ostreefs("umount", mount.path)
        assert done.returncode == 1
        assert complaint(done).startswith(f"cannot unmount {mount.path}: ")
        assert b"busy" in done.stderr
        assert b"-l" in done.stderr
        mount.check_alive()
        done = ostreefs("umount", "-l", mount.path)
        assert (done.returncode, done.stderr) == (0, b"")
        assert not is_mounted(mount.path)
        assert file.read() == CONTENT


@pytest.mark.parametrize("how", ["trailing slash", "relative", "through a link", "umount"])
def test_ways_to_unmount(mount: Mounted, how: str) -> None:
    if how == "umount":
        tool = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
        subprocess.run([*tool, mount.path], check=True)
    elif how == "through a link":
        link = mount.path.with_name("link")
        link.symlink_to(mount.path)
        assert ostreefs("umount", link).returncode == 0
    elif how == "relative":
        assert ostreefs("umount", "mnt", cwd=mount.path.parent).returncode == 0
    else:
        assert ostreefs("umount", f"{mount.path}/").returncode == 0
    assert not is_mounted(mount.path)


def test_unmount_of_what_is_not_mounted(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path, f"{tmp_path} is not mounted"),
        (tmp_path / "missing", f"{tmp_path}/missing is not mounted"),
        (Path("/proc"), "/proc is a mount of type proc, not of ostreefs"),
    ]:
        done = ostreefs("umount", path)
        assert done.returncode == 1
        assert complaint(done) == reason


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_damage_is_found_when_a_file_is_opened(tmp_path: Path, size: int) -> None:
    repository = init_repository(tmp_path / "repo")
    content = os.urandom(size)
    source = write(tmp_path / "source/file", content).parent
    write(source / "whole", b"whole")
    commit_directory(repository, source)
    [stored] = [p for p in repository.glob("objects/*/*") if p.stat().st_size == size]
    stored.write_bytes(bytes(size))
    with mounted_in_background(
        repository, "-o", "verify=open", "main", at=tmp_path / "mnt"
    ) as mount:
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "file").read_bytes()
        assert (mount.path / "whole").read_bytes() == b"whole"
        stored.write_bytes(content)
        assert (mount.path / "file").read_bytes() == content, "nothing of it was cached"
        mount.expect(f"{stored.parent.name}{stored.name} is corrupt: content differs")


def test_more_files_open_than_it_may_have(tmp_path: Path) -> None:
    """Whoever opens too many is told so; everybody else, and a switch, goes on as before."""
    allowed = 120
    for number in range(allowed):
        write(tmp_path / f"source/{number}", b"%d" % number)
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, tmp_path / "source")
    write(tmp_path / "source/new", b"new")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -n {allowed}; exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    account = replace(OURSELVES, python=str(python))
    opened: list[int] = []
    with mounted_in_background(repository, "main", at=tmp_path / "mnt", account=account) as mount:
        mount.expect("too many files of the mount are open")
        paths = [mount.path / str(number) for number in range(allowed)]
        with pytest.raises(OSError, match="Too many open files"):
            opened.extend(os.open(path, os.O_RDONLY) for path in paths)
        assert len(opened) >= allowed // 2 - 5
        # What looks at the memory and what gives it back in a pause must live with that, too.
        for _ in range(3):
            assert os.listdir(mount.path)
            for path in paths:
                path.stat()
        commit_directory(repository, tmp_path / "source")
        ostreefs_output("switch", mount.path, "main")
        for number, fd in enumerate(opened):
            assert os.read(fd, 100) == b"%d" % number
            os.close(fd)
        assert (mount.path / "new").read_bytes() == b"new"


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Path]:
    """The kernel's own view of mounts, by the minor number of their device."""
    (tmp_path / "connections").mkdir()
    output("mount", "-t", "fusectl", "fusectl", tmp_path / "connections")
    yield tmp_path / "connections"
    output("umount", tmp_path / "connections")


@pytest.mark.root
def test_a_connection_that_is_cut(mount: Mounted, connections: Path) -> None:
    """As one does where a daemon hangs: whoever waits is told, and it ends when it goes on."""
    assert mount.process is not None
    connection = connections / str(os.minor(mount.path.stat().st_dev))
    mount.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen(["cat", mount.path / "other"], stderr=subprocess.PIPE) as reader:
        wait_until(lambda: int((connection / "waiting").read_text()) > 0, "a request")
        (connection / "abort").write_text("1")
        _, said = reader.communicate(timeout=20)
    assert reader.returncode == 1
    assert b"Software caused connection abort" in said or b"not connected" in said
    mount.process.send_signal(signal.SIGCONT)
    assert mount.process.wait(timeout=20) == 0
    output("umount", mount.path)
