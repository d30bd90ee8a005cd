# SPDX-License-Identifier: LGPL-2.1-or-later
"""`mount -t ostreefs` and lines in fstab, with the real mount(8)."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import FSTYPE
from tests.support.commands import OURSELVES, Account, Done, Word, output, run
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import wait_until
from tests.support.project import ROOT
from tests.support.trees import write

pytestmark = pytest.mark.mount

HELPER = ROOT / "mount-helpers/mount.ostreefs"

# mount(8) looks for helpers in /sbin alone: ours is put there in a namespace of its own.
SETUP = """
set -e
bin=$1
mkdir "$bin/real"
mount --bind /usr/sbin "$bin/real"
mount -t tmpfs none /usr/sbin
ln -s "$bin"/real/* /usr/sbin/
cp -P "$bin"/sbin/* /usr/sbin/
touch "$bin/fstab"
mount --bind "$bin/fstab" /etc/fstab
echo ready
exec sleep infinity
"""


NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Machine:
    """Namespaces for mounts and processes, in which mount(8) finds our helper.

    All processes in there end with it, and so do the mounts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "it's & |command"
        self.install_program(OURSELVES)
        output(
            "make", "-C", HELPER.parent, "install", f"DESTDIR={folder}", f"OSTREEFS={self.program}"
        )
        self._init = subprocess.Popen(
            [*NAMESPACES, "sh", "-c", SETUP, "sh", folder],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        self._inside = children.strip()

    def run(self, *words: Word, account: Account | None = None) -> Done:
        """Run a command in there, as root or as the ordinary user."""
        command: list[Word] = ["nsenter", "-t", self._inside, "--mount", "--pid", "--wd=/"]
        if account is not None:
            command += ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        return run(*command, *words, env={"PATH": os.environ["PATH"]})

    def install_program(self, account: Account) -> None:
        """Let the helper call ostreefs as this account can run it."""
        path = shlex.quote(f"PYTHONPATH={account.environment()['PYTHONPATH']}")
        python = shlex.quote(account.python)
        self.program.write_text(f'#!/bin/sh\nexec env {path} {python} -m ostreefs "$@"\n')
        self.program.chmod(0o755)

    def output(self, *words: Word) -> bytes:
        """What a command prints in there that must succeed and say nothing else."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), done
        return bytes(done.stdout)

    def is_mounted(self, path: Path) -> bool:
        """Whether one of ours is mounted right there."""
        return self.run("findmnt", "-t", FSTYPE, "--mountpoint", path).returncode == 0

    def close(self) -> None:
        self._init.kill()
        self._init.communicate()


@pytest.fixture(scope="module")
def machine(user: Account) -> Iterator[Machine]:
    assert user.home is not None
    folder = user.home / "machine"
    folder.mkdir()
    machine = Machine(folder)
    yield machine
    machine.close()


@pytest.fixture
def mnt(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    while machine.is_mounted(path):
        assert machine.run("umount", path).returncode == 0


def mount(machine: Machine, *words: Word, status: int = 0) -> bytes:
    """Call mount(8); what it says on stderr."""
    done = machine.run("mount", *words)
    assert (done.returncode, done.stdout) == (status, b""), done
    if status == 0:
        assert done.stderr == b"", done
    return bytes(done.stderr)


@pytest.mark.root
def test_one_commit(machine: Machine, small_repository: Path, mnt: Path) -> None:
    mount(machine, "-t", "ostreefs", f"{small_repository}#main", mnt)
    assert machine.output("cat", mnt / "usr/lib/same") == b"same content"
    [found] = json.loads(machine.output("findmnt", "--json", mnt))["filesystems"]
    assert found["source"] == f"{small_repository}#main"
    assert found["fstype"] == FSTYPE
    assert {"ro", "nosuid", "nodev"} <= set(found["options"].split(","))
    machine.output("umount", mnt)
    assert not machine.is_mounted(mnt)


@pytest.mark.root
@pytest.mark.parametrize("type_", ["ostreefs", "fuse.ostreefs"])
def test_all_commits(machine: Machine, small_repository: Path, mnt: Path, type_: str) -> None:
    options = "noexec,allow_other,allow_suid,uid=5,nofail,_netdev,x-systemd.automount"
    mount(machine, "-t", type_, "-o", options, small_repository, mnt)
    assert b"commits" in machine.output("ls", mnt).split()
    assert machine.output("stat", "-c", "%u", mnt / "refs/main/usr") == b"5\n"
    shown = set(machine.output("findmnt", "-no", "OPTIONS", mnt).decode().strip().split(","))
    assert {"noexec", "allow_other", "nodev"} <= shown
    assert "nosuid" not in shown


@pytest.mark.root
@pytest.mark.parametrize("name", ["a b,c", "a#b", "a#", "\\ \t'\"$(x)"])
@pytest.mark.parametrize("revision", ["#main", ""])
def test_paths(machine: Machine, tmp_path: Path, name: str, revision: str) -> None:
    write(tmp_path / "source/file", b"content")
    folder = tmp_path / name
    (folder / "mnt").mkdir(parents=True)
    repository = init_repository(folder / f"repo{name}")
    commit_directory(repository, tmp_path / "source")
    mount(machine, "-t", "ostreefs", f"{repository}{revision}", folder / "mnt")
    try:
        below = "" if revision else "refs/main"
        assert machine.output("cat", folder / "mnt" / below / "file") == b"content"
    finally:
        machine.output("umount", folder / "mnt")


# ---- fstab


def escape(text: object) -> str:
    """A field of fstab, see fstab(5)."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\\#" else c for c in str(text))


@pytest.mark.root
def test_fstab(machine: Machine, small_repository: Path, tmp_path: Path) -> None:
    """All of a file, twice: the second time everything is mounted already."""
    one, two, never = tmp_path / "with space", tmp_path / "two", tmp_path / "never"
    for path in (one, two, never):
        path.mkdir()
    fstab = tmp_path / "fstab"
    lines = [
        "# a comment",
        f"{small_repository}#main {escape(one)} ostreefs defaults,nofail,x-systemd.automount 0 0",
        f"{small_repository} {two} ostreefs ro,_netdev,uid=7,x-a=b 0 0",
        f"{small_repository}#main {never} ostreefs noauto,user 0 0",
    ]
    fstab.write_text("\n".join(lines) + "\n")
    try:
        for _ in range(2):
            mount(machine, "-T", fstab, "-a")
            assert machine.output("cat", one / "usr/lib/same") == b"same content"
            assert machine.output("stat", "-c", "%u", two / "refs") == b"7\n"
            assert not machine.is_mounted(never)
        mount(machine, "--fstab", fstab, never)
        assert machine.is_mounted(never)
    finally:
        for path in (one, two, never):
            machine.run("umount", path)
    assert not any(machine.is_mounted(path) for path in (one, two, never))


@pytest.mark.root
def test_follow(machine: Machine, tmp_path: Path, mnt: Path) -> None:
    write(tmp_path / "source/file", b"old")
    repository = init_repository(tmp_path / "repo")
    commit_directory(repository, tmp_path / "source")
    mount(machine, "-t", "ostreefs", "-o", "follow", f"{repository}#main", mnt)
    assert machine.output("cat", mnt / "file") == b"old"
    write(tmp_path / "source/file", b"newer")
    commit_directory(repository, tmp_path / "source")
    wait_until(lambda: machine.output("cat", mnt / "file") == b"newer", "the new commit")
    said = mount(machine, "-t", "ostreefs", "-o", "follow", repository, mnt, status=1)
    assert b"--follow is for a mount of one ref" in said


@pytest.mark.root
def test_an_ordinary_user_mounts_what_fstab_allows(machine: Machine, user: Account) -> None:
    """The `user` option of fstab: mount(8) becomes that user before it calls the helper."""
    assert user.home is not None
    path = user.home / "fstab mnt"
    path.mkdir()
    os.chown(path, 65534, 65534)
    source = write(user.home / "of-fstab/file", b"content").parent
    repository = init_repository(user.home / "shared-repo")
    commit_directory(repository, source)
    output("chmod", "-R", "a+rX", repository)
    line = f"{repository}#main {escape(path)} ostreefs noauto,user 0 0\n"
    (machine.folder / "fstab").write_text(line)
    machine.install_program(user)
    try:
        done = machine.run("mount", path, account=user)
        assert (done.returncode, done.stderr) == (0, b"")
        assert machine.run("cat", path / "file", account=user).stdout == b"content"
        shown = machine.output("findmnt", "-no", "OPTIONS", path).decode()
        assert {"user_id=65534", "noexec"} <= set(shown.strip().split(","))
        done = machine.run("umount", path, account=user)
        assert (done.returncode, done.stderr) == (0, b"")
    finally:
        machine.run("umount", path)
        machine.install_program(OURSELVES)


# ---- what cannot be mounted


@pytest.mark.root
@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        ("{}#nothing", 32, "revision 'nothing' not found"),
        ("/nowhere", 32, "is not an ostreefs repository"),
        ("/nowhere#main", 32, "/nowhere is not an ostreefs repository"),
        ("{}#", 1, "there is no revision"),
        ("#main", 1, "there is no repository"),
        ("{}#main -ononsense", 32, "nonsense"),
        ("{}#main -ouid=no-such-user", 32, "there is no user"),
        ("{}#main -oremount", 32, "cannot be remounted"),
    ],
)
def test_failures(
    machine: Machine, small_repository: Path, mnt: Path, what: str, status: int, reason: str
) -> None:
    words = what.format(small_repository).split()
    said = mount(machine, "-t", "ostreefs", *words, mnt, status=status)
    assert reason in said.decode()
    assert not machine.is_mounted(mnt)


@pytest.mark.root
def test_mounted_already(machine: Machine, small_repository: Path, mnt: Path) -> None:
    mount(machine, "-t", "ostreefs", small_repository, mnt)
    said = mount(machine, "-t", "ostreefs", small_repository, mnt, status=32)
    assert b"already mounted" in said


# ---- the helper by itself


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A command that says with which arguments it was called, and exits as $STATUS says."""
    path = tmp_path / "bin/ostreefs"
    write(path, b'#!/bin/sh\nprintf "<%s>" "$@"\nexit ${STATUS:-0}\n', 0o755)
    return path.parent


def call(recorder: Path, *words: Word, status: int = 0) -> Done:
    path = f"{recorder}:/usr/bin:/bin"
    return run("sh", HELPER, *words, env={"PATH": path, "STATUS": str(status)})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/r", "/d"], "<--repo=/r><-o><><--all><--></d>"),
        (["/r#a/b^", "/d", "-o", "rw,x"], "<--repo=/r><-o><,rw,x><--><a/b^></d>"),
        (["-o", "a", "-v", "/r", "-n", "/d", "-ob"], "<-v><--repo=/r><-o><,a,b><--all><--></d>"),
        (["/r#1#v", "/ d\n", "-t", "fuse.ostreefs"], "<--repo=/r#1><-o><><--><v></ d\n>"),
    ],
)
def test_arguments(recorder: Path, words: list[str], expected: str) -> None:
    done = call(recorder, *words)
    assert (done.returncode, done.stdout.decode()) == (0, "<mount>" + expected), done


def test_fake(recorder: Path) -> None:
    done = call(recorder, "/r", "/d", "-f")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("words", [[], ["/r"], ["/r", "/d", "/e"], ["/r", "/d", "-z"], ["-o"]])
def test_wrong_usage(recorder: Path, words: list[str]) -> None:
    done = call(recorder, *words)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"mount.ostreefs: error: ")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, 0), (1, 32), (2, 1), (3, 32), (70, 4), (127, 2), (130, 8), (143, 8), (141, 32)],
)
def test_exit_statuses(recorder: Path, status: int, expected: int) -> None:
    assert call(recorder, "/r", "/d", status=status).returncode == expected


def test_command_that_is_not_there(tmp_path: Path) -> None:
    done = run("/bin/sh", HELPER, "/r", "/d", env={"PATH": str(tmp_path)})
    assert done.returncode == 2
