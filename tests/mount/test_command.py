# SPDX-License-Identifier: LGPL-2.1-or-later
"""`ostreefs mount`: in the background, with bad input, with rights and without."""

import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.fuse import mounts
from tests.support.commands import (
    OURSELVES,
    Account,
    Done,
    command,
    complaint,
    ostreefs,
    ostreefs_output,
    output,
    run,
)
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import clean_up, is_mounted, mounted, mounted_in_background, wait_until
from tests.support.trees import acl, make_small_tree, write

pytestmark = pytest.mark.mount


# ---- in the background


def test_usable_when_the_command_returns(small_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    script = " && ".join(
        [
            shlex.join(map(str, command("--repo", small_repository, "mount", "main", "mnt"))),
            "cat mnt/usr/lib/same",
            shlex.join(map(str, command("umount", "mnt"))),
        ]
    )
    assert output("sh", "-c", script, cwd=tmp_path) == b"same content"
    assert not is_mounted(tmp_path / "mnt")


def test_nothing_waits_for_the_daemon(small_repository: Path, tmp_path: Path) -> None:
    """It keeps neither the pipes nor the folder of whoever started it."""
    with mounted_in_background(small_repository, "main", at=tmp_path / "mnt") as mount:
        proc = Path(f"/proc/{mount.pid}")
        assert (proc / "cwd").readlink() == Path("/")
        for fd in "012":
            assert (proc / "fd" / fd).readlink() == Path("/dev/null")
        assert os.getsid(mount.pid) == mount.pid


def test_a_lock_of_the_caller_is_not_held(small_repository: Path, tmp_path: Path) -> None:
    """Also where he closed his standard streams, whose numbers the next files would get."""
    (tmp_path / "mnt").mkdir()
    words = command("--repo", small_repository, "mount", "--log-file", "log", "main", "mnt")
    mount = shlex.join(map(str, words))
    script = (
        f"exec 9>lock && flock -n 9 && {mount} <&- >&- 2>&- && exec 9>&- && flock -n lock true"
    )
    done = run("sh", "-c", script, cwd=tmp_path)
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        assert is_mounted(tmp_path / "mnt")
    finally:
        clean_up(tmp_path / "mnt", None)
    assert (tmp_path / "log").exists()


def test_what_is_mounted_where(small_repository: Path, tmp_path: Path) -> None:
    with mounted_in_background(small_repository, "main", at=tmp_path / "mnt"):
        found = mounts.find_mount(tmp_path / "mnt")
        assert found is not None
        assert found.source == f"{small_repository}#main"
        assert found.fstype == "fuse.ostreefs"
    with mounted_in_background(small_repository, "--all", at=tmp_path / "mnt"):
        found = mounts.find_mount(tmp_path / "mnt")
        assert found is not None
        assert found.source == str(small_repository)


@pytest.mark.parametrize("name", ["a b", "new\nline", "tab\tback\\slash", "é", "comma,x", "cr\rx"])
def test_strange_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    source = make_small_tree(folder / "source")
    repository = init_repository(folder / "repo")
    commit_directory(repository, source)
    with mounted_in_background(repository, "main", at=folder / "mnt") as mount:
        assert (mount.path / "usr/lib/same").read_bytes() == b"same content"
        found = mounts.find_mount(mount.path)
        assert found is not None
        shown = f"{repository}#main".encode("ascii", "backslashreplace").decode()
        assert found.source == shown


def test_revisions(small_repository: Path, tmp_path: Path) -> None:
    whole = os.fsdecode(output(*command("--repo", small_repository, "rev-parse", "main"))).strip()
    for revision in (whole, whole[:12]):
        with mounted(small_repository, revision, at=tmp_path / "mnt") as mount:
            assert os.getxattr(mount.path, "user.ostreefs.commit").decode() == whole


def test_options_between_the_words(small_repository: Path, tmp_path: Path) -> None:
    with mounted(small_repository, "-o", "noexec", "main", "-o", "suid", at=tmp_path / "mnt"):
        flags = os.statvfs(tmp_path / "mnt").f_flag
        assert flags & os.ST_NOEXEC
        if os.geteuid() == 0:
            assert not flags & os.ST_NOSUID


def test_options_of_fstab(small_repository: Path, tmp_path: Path) -> None:
    options = "defaults,nofail,_netdev,noauto,user,x-systemd.automount,comment=x,rw,noatime,noexec"
    with mounted(small_repository, "main", "-o", options, at=tmp_path / "mnt"):
        flags = os.statvfs(tmp_path / "mnt").f_flag
        assert flags & os.ST_NOEXEC
        assert flags & os.ST_RDONLY


def test_two_mounts_of_one_repository(small_repository: Path, tmp_path: Path) -> None:
    with (
        mounted(small_repository, "main", at=tmp_path / "one") as one,
        mounted_in_background(small_repository, "--all", at=tmp_path / "two") as two,
    ):
        inodes = {
            (path / "usr/lib/same").stat().st_ino for path in (one.path, two.path / "refs/main")
        }
        assert len(inodes) == 1


# ---- bad input


def check_refused(done: Done, mount_point: Path, reason: str) -> None:
    assert done.returncode == 1
    assert reason in complaint(done)
    assert not is_mounted(mount_point)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "does not exist"),
        ("file", "is not a directory"),
        ("full", "is not empty"),
        ("file/below", "Not a directory"),
    ],
)
def test_bad_mount_point(
    small_repository: Path, tmp_path: Path, name: str, reason: str, *, background: bool
) -> None:
    write(tmp_path / "full/file")
    write(tmp_path / "file")
    words = [] if background else ["--foreground"]
    path = tmp_path / name
    done = ostreefs("--repo", small_repository, "mount", *words, "main", path, timeout=10)
    check_refused(done, path, reason)
    assert str(path) in complaint(done)


def test_already_mounted(small_repository: Path, tmp_path: Path) -> None:
    with mounted(small_repository, "main", at=tmp_path / "mnt") as mount:
        done = ostreefs("--repo", small_repository, "mount", "--all", mount.path)
        assert done.returncode == 1
        assert complaint(done) == f"{mount.path} is already mounted ({small_repository}#main)"
        assert b"ostreefs umount" in done.stderr
        mount.check_alive()


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize(
    ("repository", "revision", "reason"),
    [
        ("repo", "nothing", "revision 'nothing' not found"),
        ("repo", "main^^", "revision 'main^^' not found"),
        ("repo", "0" * 64, "not found"),
        ("nowhere", "main", "is not an ostreefs repository"),
        ("empty", "main", "is not an ostreefs repository"),
    ],
)
def test_bad_repository_or_revision(
    tmp_path: Path, repository: str, revision: str, reason: str, *, background: bool
) -> None:
    source = make_small_tree(tmp_path / "source")
    commit_directory(init_repository(tmp_path / "repo"), source)
    for name in ("empty", "mnt"):
        (tmp_path / name).mkdir()
    words = [] if background else ["--foreground"]
    path = tmp_path / "mnt"
    done = ostreefs("--repo", tmp_path / repository, "mount", *words, revision, path, timeout=10)
    check_refused(done, path, reason)


def test_no_such_option(small_repository: Path, tmp_path: Path) -> None:
    path = tmp_path
    done = ostreefs("--repo", small_repository, "mount", "-o", "nonsense=1", "main", path)
    check_refused(done, path, "cannot mount on")
    assert "nonsense" in complaint(done)
    assert b"verify=" in done.stderr, "the hint names those that there are"


@pytest.mark.root
def test_no_device(small_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    mounting = shlex.join(
        map(str, command("--repo", small_repository, "mount", "main", tmp_path / "mnt"))
    )
    done = run("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /dev && exec {mounting}")
    check_refused(done, tmp_path / "mnt", "FUSE is not available: there is no /dev/fuse")
    assert b"modprobe fuse" in done.stderr


@pytest.mark.root
def test_device_that_a_user_may_not_open(small_repository: Path, user: Account) -> None:
    device = Path("/dev/fuse")
    mode = stat.S_IMODE(device.stat().st_mode)
    mnt = new_mount_point(user)
    device.chmod(0o600)
    try:
        words = ("--repo", "/nowhere", "mount", "main", mnt)
        done = ostreefs(*words, account=user)
    finally:
        device.chmod(mode)
    check_refused(done, mnt, "FUSE is not available: /dev/fuse may not be opened by you")


def new_mount_point(user: Account) -> Path:
    assert user.home is not None
    path = user.home / "point"
    path.mkdir(exist_ok=True)
    if user.uid is not None:
        os.chown(path, user.uid, user.uid)
    return path


# ---- as an ordinary user


@pytest.fixture
def own_repository(user: Account, small_source: Path) -> Iterator[Path]:
    """A repository of the user's, made by him."""
    assert user.home is not None
    path = user.home / "own"
    shutil.copytree(small_source, user.home / "tree", symlinks=True, ignore=_no_fifos)
    output("chmod", "-R", "a+rX,u+w", user.home / "tree")
    output(*command("--repo", path, "init", account=user), account=user)
    words = ("--repo", path, "commit", "-b", "main", user.home / "tree")
    output(*command(*words, account=user), account=user)
    yield path
    shutil.rmtree(path)
    shutil.rmtree(user.home / "tree")


def _no_fifos(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if stat.S_ISFIFO(os.lstat(os.path.join(folder, name)).st_mode)]


@pytest.mark.parametrize("background", [True, False])
def test_user(own_repository: Path, user: Account, *, background: bool) -> None:
    make = mounted_in_background if background else mounted
    with make(own_repository, "main", at=new_mount_point(user), account=user) as mount:
        assert output("cat", mount.path / "usr/lib/same", account=user) == b"same content"
        done = run("touch", mount.path / "new", account=user)
        assert b"Read-only file system" in done.stderr
        if os.geteuid() == 0:
            assert run("ls", mount.path).returncode != 0  # it is his alone, even for root


def test_user_without_fusermount(own_repository: Path, user: Account, tmp_path: Path) -> None:
    mnt = new_mount_point(user)
    blind = Account(user.python, user.path, user.uid, user.home, {"PATH": str(tmp_path)})
    done = ostreefs("--repo", own_repository, "mount", "main", mnt, account=blind)
    check_refused(done, mnt, "fusermount3 is missing")
    assert b"install the package fuse3" in done.stderr


def test_user_may_not_mount_there(own_repository: Path, user: Account) -> None:
    mnt = Path("/usr/local/games")
    if os.access(mnt, os.W_OK) and os.geteuid() != 0:
        pytest.skip("needs a folder that an ordinary user may not write")
    if not mnt.is_dir() or any(mnt.iterdir()):
        mnt = Path("/srv")
    done = ostreefs("--repo", own_repository, "mount", "main", mnt, account=user)
    check_refused(done, mnt, f"cannot mount on {mnt}: ")


def test_user_may_not_allow_others(own_repository: Path, user: Account) -> None:
    config = Path("/etc/fuse.conf")
    if config.exists() and "\nuser_allow_other" in config.read_text():
        pytest.skip("needs a machine whose /etc/fuse.conf does not allow it")
    mnt = new_mount_point(user)
    words = ("--repo", own_repository, "mount", "-o", "allow_other", "main", mnt)
    done = ostreefs(*words, account=user)
    check_refused(done, mnt, "user_allow_other")


# ---- a mount of root's for everybody

ACCESS = [(1, 6, 0xFFFFFFFF), (2, 4, 65534), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF)]


@pytest.mark.root
def test_permissions_are_checked(user: Account) -> None:
    assert user.home is not None
    folder = user.home / "shared"
    source = folder / "source"
    write(source / "open", b"open", 0o644)
    write(source / "secret", b"secret", 0o600)
    write(source / "granted", b"granted", 0o600)
    write(source / "closed/file", b"closed")
    (source / "closed").chmod(0o700)
    os.setxattr(source / "granted", "system.posix_acl_access", acl(*ACCESS, (32, 0, 0xFFFFFFFF)))
    write(source / "setuid", Path("/usr/bin/id").read_bytes(), 0o4755)
    repository = init_repository(folder / "repo", "bare")
    commit_directory(repository, source)
    with mounted(repository, "main", "-o", "allow_other", at=folder / "mnt") as mount:
        for name, expected in [
            ("open", b"open"),
            ("granted", b"granted"),
            ("secret", None),
            ("closed/file", None),
        ]:
            done = run("cat", mount.path / name, account=user)
            assert (done.stdout if done.returncode == 0 else None) == expected, done
        assert output(mount.path / "setuid", "-u", account=user) == b"65534\n"
        done = run("touch", mount.path / "open", account=user)
        assert done.returncode != 0
    with mounted(repository, "main", "-o", "allow_other,suid", at=folder / "mnt") as mount:
        assert output(mount.path / "setuid", "-u", account=user) == b"0\n"
    with mounted(repository, "main", at=folder / "mnt") as mount:
        done = run("cat", mount.path / "open", account=user)
        assert done.returncode != 0
        assert b"Permission denied" in done.stderr


@pytest.mark.root
def test_one_owner_for_everything(user: Account, tmp_path: Path) -> None:
    """However attributes are asked for; and he may do what an owner may."""
    write(tmp_path / "source/dir/secret", b"secret", 0o600)
    (tmp_path / "source/link").symlink_to("dir")
    os.chown(tmp_path / "source/link", 5, 6, follow_symlinks=False)
    (tmp_path / "source/dir").chmod(0o700)
    repository = init_repository(tmp_path / "repo", "bare")
    commit_directory(repository, tmp_path / "source")
    assert user.home is not None
    mnt = user.home / "owned"
    options = "allow_other,uid=nobody,gid=nogroup"
    with mounted(repository, "main", "-o", options, at=mnt) as mount:
        listed = output("find", mnt, "-printf", "%U:%G %P\n").splitlines()
        names = [b"", b"dir", b"dir/secret", b"link"]
        assert sorted(listed) == [b"65534:65534 " + name for name in names]
        with (mnt / "dir/secret").open("rb") as file:
            assert os.fstat(file.fileno()).st_uid == 65534
        assert output("cat", mnt / "dir/secret", account=user) == b"secret"
        assert os.getxattr(mnt / "dir/secret", "user.ostreefs.content")
        with pytest.raises(OSError, match="No data available"):  # that object has another owner
            os.getxattr(mnt / "dir/secret", "user.ostreefs.object")
        mount.check_alive()
    with mounted(repository, "--all", "-o", "gid=7", at=mnt) as mount:
        listed = output("find", f"{mnt}/refs/main/", "-printf", "%U:%G %P\n").splitlines()
        assert sorted(listed) == [b"0:7 ", b"0:7 dir", b"0:7 dir/secret", b"5:7 link"]
        assert (mnt / "refs").stat().st_gid == 7


@pytest.mark.root
def test_allow_root_allows_nobody_else(
    small_repository: Path, user: Account, tmp_path: Path
) -> None:
    assert user.home is not None
    with mounted(small_repository, "main", "-o", "allow_root", at=user.home / "rooted") as mount:
        assert (mount.path / "usr/lib/same").read_bytes() == b"same content"
        done = run("cat", mount.path / "usr/lib/same", account=user)
        assert done.returncode != 0
        assert b"Permission denied" in done.stderr


@pytest.mark.root
def test_devices_do_not_work_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mknod(tmp_path / "source/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    repository = init_repository(tmp_path / "repo", "bare")
    commit_directory(repository, tmp_path / "source")
    with (
        mounted(repository, "main", at=tmp_path / "mnt") as mount,
        pytest.raises(PermissionError),
    ):
        (mount.path / "null").open("rb")
    with mounted(repository, "main", "-o", "dev", at=tmp_path / "mnt") as mount:
        assert (mount.path / "null").read_bytes() == b""


# ---- the log


def test_log_of_a_supervised_mount(small_repository: Path, tmp_path: Path) -> None:
    """Without --log-file it goes to stderr."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    words = ("--repo", small_repository, "mount", "--foreground", "main", mnt)
    process = subprocess.Popen(
        command(*words), stderr=subprocess.PIPE, **OURSELVES.popen_arguments()
    )
    try:
        wait_until(lambda: process.poll() is not None or is_mounted(mnt), "the mount")
        assert (mnt / "usr").is_dir()
        process.terminate()
        _, said = process.communicate(timeout=10)
    finally:
        clean_up(mnt, process)
    assert process.returncode == 0
    assert said.decode() == f"ostreefs[{process.pid}]: INFO: SIGTERM: unmounting\n"
    assert not is_mounted(mnt)


def test_bad_log_file(small_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    log = tmp_path / "nowhere/log"
    words = ("--repo", small_repository, "mount", "--log-file", log, "main", tmp_path / "mnt")
    done = ostreefs(*words)
    check_refused(done, tmp_path / "mnt", f"{log}: No such file or directory")


def test_json(small_repository: Path, tmp_path: Path) -> None:
    words = ("--json", "--repo", small_repository, "mount", "--all", tmp_path)
    said = json.loads(output(*command(*words)))
    try:
        assert said["mount_point"] == str(tmp_path)
        status = Path(f"/proc/{said['pid']}/cmdline").read_bytes()
        assert b"ostreefs" in status
    finally:
        said = json.loads(output(*command("--json", "umount", tmp_path)))
    assert said == {"mount_point": str(tmp_path)}


# ---- a supervisor


@pytest.mark.parametrize("revision", ["main", "nothing"])
def test_a_supervisor_is_told(small_repository: Path, tmp_path: Path, revision: str) -> None:
    """When the mount can be used, not before, and not when there is none."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(20)
        words = ("--repo", small_repository, "mount", "--foreground", revision, mnt)
        environment = OURSELVES.environment() | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, env=environment)
        try:
            if revision == "main":
                assert supervisor.recv(1000) == b"READY=1"
                assert (mnt / "usr/lib/same").read_bytes() == b"same content"
                process.terminate()
            assert process.wait(20) == (0 if revision == "main" else 1)
            supervisor.setblocking(False)
            with pytest.raises(BlockingIOError):
                supervisor.recv(1000)
        finally:
            clean_up(mnt, process)
            assert process.stderr is not None
            process.stderr.close()


def test_a_watchdog_sees_a_process_that_hangs(small_repository: Path, tmp_path: Path) -> None:
    """Signs of life come while requests are answered, and cease with them."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(20)
        environment = OURSELVES.environment() | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "100000",
        }
        words = ("--repo", small_repository, "mount", "--foreground", "main", mnt)
        process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, env=environment)
        try:
            assert [supervisor.recv(100) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            supervisor.settimeout(0.5)
            with pytest.raises(TimeoutError):
                [supervisor.recv(100) for _ in range(50)]
            process.send_signal(signal.SIGABRT)  # as systemd does
            process.send_signal(signal.SIGCONT)
            assert process.wait(20) == -signal.SIGABRT
            assert process.stderr is not None
            assert b"pyfuse3" in process.stderr.read(), "where it hung"
        finally:
            clean_up(mnt, process)
            assert process.stderr is not None
            process.stderr.close()


def test_a_journal_gets_priorities(small_repository: Path, tmp_path: Path) -> None:
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    log = tmp_path / "journal"
    with log.open("wb") as journal:
        found = os.fstat(journal.fileno())
        environment = OURSELVES.environment()
        environment["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
        words = ("--repo", small_repository, "mount", "--foreground", "main", mnt)
        process = subprocess.Popen(command(*words), stderr=journal, env=environment)
        try:
            wait_until(lambda: process.poll() is not None or is_mounted(mnt), "the mount")
            run("stat", mnt)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            clean_up(mnt, process)
    assert log.read_text() == "<6>SIGTERM: unmounting\n"


# ---- counters


def test_counters_in_the_log(small_repository: Path, tmp_path: Path) -> None:
    with mounted(small_repository, "main", at=tmp_path / "mnt") as mount:
        os.kill(mount.pid, signal.SIGUSR1)
        mount.wait_for_log("INFO: counting requests from now on")
        assert (mount.path / "usr/lib/same").read_bytes() == b"same content"
        os.kill(mount.pid, signal.SIGUSR1)
        mount.wait_for_log("INFO: open: 1 requests, 0 errors, mean .* us, max .* us")
        mount.wait_for_log("INFO: trees: .* from cache, .* decoded")
        assert (mount.path / "usr/lib/same").read_bytes() == b"same content"


def test_file_of_statistics(small_repository: Path, tmp_path: Path) -> None:
    stats = tmp_path / "a,b"
    options = f"stats={tmp_path}/a\\,b"
    with mounted(small_repository, "main", "-o", options, at=tmp_path / "mnt") as mount:
        assert json.loads(stats.read_text())["pid"] == mount.pid
        assert (mount.path / "usr/lib/same").read_bytes() == b"same content"
        os.kill(mount.pid, signal.SIGUSR1)
        wait_until(lambda: "read" in json.loads(stats.read_text())["requests"], "the counters")
        assert (mount.path / "usr/bin").is_dir()
    found = json.loads(stats.read_text())["requests"]
    assert found["open"]["count"] == 1
    assert found["lookup"]["count"] >= 4


def test_the_root_is_known_when_the_mount_is_ready(small_repository: Path, tmp_path: Path) -> None:
    """Else a switch at the first look would have the kernel take it for one that is closed."""
    stats, mnt = tmp_path / "stats", tmp_path / "mnt"
    mnt.mkdir()
    repo = ("--json", "--repo", small_repository)
    said = ostreefs_output(*repo, "mount", "-o", f"stats={stats}", "main", mnt)
    try:
        os.kill(json.loads(said)["pid"], signal.SIGUSR1)
        wait_until(lambda: "getattr" in json.loads(stats.read_text())["requests"], "the counters")
    finally:
        clean_up(mnt, None)


@pytest.mark.parametrize(
    ("file", "reason"),
    [("mnt/stats", "is below the mount point"), ("no/stats", "No such file or directory")],
)
def test_bad_file_of_statistics(
    small_repository: Path, tmp_path: Path, file: str, reason: str
) -> None:
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    words = ("--repo", small_repository, "mount", "-o", f"stats={tmp_path / file}", "main", mnt)
    check_refused(ostreefs(*words), mnt, reason)
