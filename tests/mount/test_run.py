# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands inside commits, with real mounts and bubblewrap, as ourselves and an ordinary user."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import iter_mounts
from tests.support.commands import (
    NOBODY,
    OURSELVES,
    Account,
    Done,
    Word,
    command,
    complaint,
    ostreefs,
    ostreefs_output,
    run,
)
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import is_free, wait_until
from tests.support.systems import make_old_system, make_system

pytestmark = pytest.mark.mount


@dataclass(frozen=True)
class Machine:
    """A repository with systems in it, and who uses it."""

    repository: Path
    account: Account

    def verb(self, *words: Word, **arguments: object) -> Done:
        words = ("--repo", self.repository, *words)
        # From a directory that is another one inside, wherever the project lies.
        return ostreefs(*words, account=self.account, **{"cwd": "/usr"} | arguments)

    def run(self, *words: Word) -> str:
        """What a command prints inside that must succeed."""
        done = self.verb("run", *words)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def script(self, *words: str) -> list[str]:
        """The lines of a script, the last word, in the system `main`."""
        *options, script = words
        return self.run(*options, "main", "--", "sh", "-c", f"{script}\n:").splitlines()

    @property
    def uid(self) -> int:
        return os.geteuid() if self.account.uid is None else self.account.uid

    @property
    def start(self) -> str:
        """Where commands start inside: at home, if that is to be seen there."""
        if self.uid == 0:
            return "/root"
        home = self.account.variables.get("HOME", os.environ.get("HOME", "/"))
        return home if home.startswith("/home/") else "/"


def make_machine(place: Path, account: Account) -> Machine:
    place.mkdir(exist_ok=True)
    system = make_system(place / "system")
    (system / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    (system / "usr/bin/plain").write_text("no program")
    (system / "usr/bin/orphan").write_text("#!/usr/bin/python9\n")
    (system / "usr/bin/orphan").chmod(0o755)
    foreign = bytearray((system / "usr/bin/busybox").read_bytes()[:4096])
    foreign[18:20] = (183 if os.uname().machine != "aarch64" else 62).to_bytes(2, "little")
    (system / "usr/bin/foreign").write_bytes(foreign)
    (system / "usr/bin/foreign").chmod(0o755)
    make_old_system(place / "old")
    bare = make_old_system(place / "bare")
    (bare / "bin/sh").unlink()
    if account.uid is not None:
        subprocess.run(["chown", "-R", str(account.uid), place], check=True)
    machine = Machine(place / "repo", account)
    assert machine.verb("init", "--mode=bare-user").returncode == 0
    for name, source in (("main", system), ("old", place / "old"), ("bare", bare)):
        assert machine.verb("commit", "-b", name, source).returncode == 0
    return machine


@pytest.fixture(scope="module", params=["ourselves", "user"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if request.param == "ourselves":
        return make_machine(tmp_path_factory.mktemp("run") / "place", OURSELVES)
    account: Account = request.getfixturevalue("user")
    assert account.home is not None
    return make_machine(account.home / "run", account)


@pytest.fixture(autouse=True)
def nothing_is_left(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Neither mounts nor directories, once a command has ended."""
    ours = [tmp_path_factory.getbasetemp()]
    if "machine" in request.fixturenames:
        ours.append(request.getfixturevalue("machine").repository)
    before = leftovers(ours)
    yield
    wait_until(lambda: leftovers(ours) <= before, "the end of mounts and directories")


def leftovers(ours: list[Path]) -> set[str]:
    """Mounts of what is in these directories, and directories for mounts that nobody uses.

    Others may be in use meanwhile, by whoever else runs commands on this machine.
    """
    sources = tuple(map(str, ours))
    found = {mount.target for mount in iter_mounts() if mount.source.startswith(sources)}
    uids = (os.geteuid(), 65534)
    halls = [Path("/run/ostreefs"), *(Path(f"/tmp/ostreefs-{uid}") for uid in uids)]
    places = [place for hall in halls if os.access(hall, os.R_OK) for place in hall.iterdir()]
    for place in [*places, *Path("/var/tmp").glob("ostreefs-rw-*")]:
        with suppress(FileNotFoundError, PermissionError):
            if is_free(place):
                found.add(str(place))
    return found


# ---- what is inside


def test_what_stands_where(machine: Machine) -> None:
    script = """
        id -u; pwd
        ls /; echo -; ls /tmp; cat /proc/1/comm; ls /dev | grep -c '^null$'
        cat /var/lib/pkg/list; readlink /var/run; stat -c %a /tmp /var/tmp
        touch /tmp/x /var/x /var/lib/x /run/x /var/tmp/x "$XDG_RUNTIME_DIR/x" && echo writable
        for place in "" /etc /usr/bin /var/lib/pkg; do touch $place/x 2>&1; done
    """
    lines = machine.script(script)
    names = ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"]
    refused = [f"touch: {p}/x: Read-only file system" for p in ("", "/etc", "/usr/bin")]
    assert lines == [
        str(machine.uid),
        machine.start,
        *names,
        "-",
        "bwrap",
        "1",
        "busybox",
        "../run",
        "1777",
        "1777",
        "writable",
        *refused,
        "touch: /var/lib/pkg/x: Read-only file system",
    ]


def test_the_environment_is_a_clean_one(machine: Machine) -> None:
    account = machine.account
    variables = {"SECRET": "x", "LANG": "C.UTF-8", "TERM": "dumb", "WANTED": "a b"}
    account = Account(account.python, account.path, account.uid, account.home, variables)
    other = Machine(machine.repository, account)
    lines = other.script("--env=WANTED", "--env", "MINE=x=y", "env")
    found = dict(line.split("=", 1) for line in lines)
    assert "SECRET" not in found
    expected = {"LANG": "C.UTF-8", "TERM": "dumb", "WANTED": "a b", "MINE": "x=y"}
    expected |= {"container": "ostreefs", "XDG_RUNTIME_DIR": f"/run/user/{machine.uid}"}
    assert expected.items() <= found.items()
    assert "/usr/bin" in found["PATH"].split(":")
    done = machine.verb("run", "--env=NOTHING", "main", "true")
    assert complaint(done) == "there is no variable 'NOTHING' to hand on"


def test_binds(machine: Machine) -> None:
    place = machine.repository.parent
    folder = place / "a:b"
    folder.mkdir()
    (folder / "file").write_text("theirs\n")
    if machine.account.uid is not None:
        os.chown(folder, machine.uid, machine.uid)
    escaped = str(folder).replace(":", "\\:")
    words = (f"--bind={escaped}:/usr/local/deep/er", f"--ro-bind={escaped}/file:/etc/passwd")
    script = "cat /etc/passwd /usr/local/deep/er/file; echo mine > /usr/local/deep/er/new;"
    script += "touch /etc/passwd 2>/dev/null || echo refused; ls /usr; touch /usr/x 2>&1"
    lines = machine.script(*words, script)
    listed = ["bin", "local", "share", "touch: /usr/x: Read-only file system"]
    assert lines == ["theirs", "theirs", "refused", *listed]
    assert (folder / "new").read_text() == "mine\n"
    done = machine.verb("run", "--bind=/nowhere", "main", "true")
    assert complaint(done) == "cannot bind /nowhere: No such file or directory"
    done = machine.verb("run", f"--bind={escaped}:/usr/bin/sh", "main", "true")
    assert complaint(done).endswith("the tree has a file there") or done.returncode == 1
    done = machine.verb("run", f"--bind={escaped}:/", "main", "true")
    assert complaint(done).startswith("the root is the tree itself")
    done = machine.verb("run", f"--bind={escaped}:etc", "main", "true")
    assert complaint(done).startswith("cannot bind '")
    shutil.rmtree(folder)


def test_directories_of_this_machine(machine: Machine) -> None:
    place = machine.repository.parent
    script = "ls /home; ls /var; echo kept > /var/kept"
    var = place / "var"
    var.mkdir()
    if machine.account.uid is not None:
        os.chown(var, machine.uid, machine.uid)
    assert machine.script(f"--var={var}", script) == sorted(os.listdir("/home"))
    assert (var / "kept").read_text() == "kept\n"
    assert machine.script("--no-home", "ls /home") == []
    assert machine.script("--chdir=/usr/share", "pwd") == ["/usr/share"]
    done = machine.verb("run", "--chdir=/nowhere", "main", "true")
    assert complaint(done) == "there is no directory /nowhere inside"
    shutil.rmtree(var)


def test_network(machine: Machine) -> None:
    resolv = Path("/etc/resolv.conf")
    if resolv.is_file():
        assert machine.script("cat /etc/resolv.conf") == resolv.read_text().splitlines()
    devices = "grep : /proc/net/dev | wc -l"
    count = str(sum(":" in line for line in Path("/proc/net/dev").read_text().splitlines()))
    assert machine.script(devices) == machine.script("--network", devices) == [count]
    script = "grep -c lo: /proc/net/dev; grep -vc lo: /proc/net/dev; cat /etc/resolv.conf 2>&1"
    lone = machine.script("--no-network", script)
    assert lone == ["1", "2", "cat: can't open '/etc/resolv.conf': No such file or directory"]


def test_users(machine: Machine) -> None:
    assert machine.script("--user=root", "id -u; id -g; echo $HOME $USER") == [
        "0",
        "0",
        "/root root",
    ]
    script = "id -u; id -g; touch /tmp/x; stat -c %u /tmp/x"
    lines = machine.script("--user=4321:1234", script)
    assert lines == ["4321", "1234", "4321"]
    names = machine.script("--user=4321", "id -un; id -gn")
    assert names == ["4321", "4321"]
    done = machine.verb("run", "--user=nobodyatall", "main", "true")
    expected = "there is no user 'nobodyatall' in the tree, nor on this machine"
    assert complaint(done) == expected


@pytest.mark.root
def test_root_becomes_somebody_else(tmp_path: Path, user: Account) -> None:
    """With his rights on this machine, and no others; the tree and its layer are open to him."""
    assert user.home is not None
    system = make_system(tmp_path / "system")
    (system / "srv").mkdir()
    (system / "srv").chmod(0o777)
    (system / "etc/secret").touch(0o600)
    repository = init_repository(tmp_path / "repo", "bare")
    commit_directory(repository, system)
    script = (
        f"touch {user.home}/made; cat /etc/secret 2>/dev/null || echo no; ls /mine 2>&1; id -u"
    )
    words = (f"--user={NOBODY}", f"--bind={user.home}", "main", "--", "sh", "-c")
    said = ostreefs_output("--repo", repository, "run", *words, script)
    assert said.decode().splitlines()[0::2] == ["no", str(NOBODY)]
    assert (user.home / "made").stat().st_uid == NOBODY
    script = "echo x > /srv/new && stat -c %u /srv/new; touch /etc/x 2>/dev/null || echo no"
    said = ostreefs_output("--repo", repository, "run", "--rw", *words, script)
    assert said.decode().splitlines() == [str(NOBODY), "no"]


def test_an_old_tree_gets_mount_points(machine: Machine) -> None:
    script = "ls /; ls /proc/self >/dev/null && touch /tmp/x /var/x && ls /home; touch /x 2>&1"
    lines = machine.run("old", "--", "sh", "-c", f"{script}; :").splitlines()
    names = ["bin", "dev", "etc", "home", "proc", "root", "run", "tmp", "usr", "var"]
    assert lines == [*names, *sorted(os.listdir("/home")), "touch: /x: Read-only file system"]


# ---- writing


def test_what_is_written_is_kept(machine: Machine) -> None:
    upper = machine.repository.parent / "upper"
    script = "echo new > /etc/new; rm /usr/bin/wc; mkdir /opt; echo x > /tmp/x; cat /etc/new"
    assert machine.script("--rw", f"--upper={upper}", script) == ["new"]
    assert machine.script("--rw", f"--upper={upper}", "cat /etc/new; ls -d /opt") == [
        "new",
        "/opt",
    ]
    layers = ("--base=main", f"--tree=overlay={upper}")
    assert machine.verb("commit", "-b", "mine", *layers).returncode == 0
    listed = machine.verb("--json", "diff", "main", "mine")
    changes = {item["path"] for item in json.loads(listed.stdout)["changes"]}
    assert changes - {"/", "/etc", "/usr", "/usr/bin"} == {
        "/etc/new",
        "/opt",
        "/usr/bin/wc",
    }
    assert machine.run("mine", "--", "cat", "/etc/new") == "new\n"


def test_what_is_written_is_thrown_away(machine: Machine) -> None:
    assert machine.script("--rw", "echo new > /etc/new; cat /etc/new") == ["new"]
    assert machine.script("ls /etc") == ["group", "passwd", "resolv.conf"]
    upper = machine.repository.parent / "old-upper"
    machine.run("--rw", f"--upper={upper}", "old", "--", "touch", "/etc/x")
    kept = {str(path.relative_to(upper)) for path in upper.rglob("*")}
    assert kept == {"etc", "etc/x"}, "and no mount points"


def test_a_new_upper_directory_is_no_change_by_itself(machine: Machine) -> None:
    """Whatever the umask is: it stands for the root of the tree."""
    upper = machine.repository.parent / "closed-upper"
    words = ("--rw", f"--upper={upper}", "main", "--", "touch", "/etc/x")
    assert machine.verb("run", *words, umask=0o077).returncode == 0
    assert upper.stat().st_mode & 0o777 == 0o755
    layers = ("--base=main", f"--tree=overlay={upper}")
    assert machine.verb("commit", "-b", "closed", *layers).returncode == 0
    listed = machine.verb("--json", "diff", "main", "closed")
    changes = {item["path"] for item in json.loads(listed.stdout)["changes"]}
    if machine.account is OURSELVES:  # anybody else's group may be another one
        assert changes == {"/etc/x"}


@pytest.mark.root
def test_a_root_that_a_user_may_not_enter(machine: Machine, tmp_path: Path) -> None:
    if machine.account is not OURSELVES:
        return
    closed = make_system(tmp_path / "closed")
    closed.chmod(0o700)
    assert machine.verb("commit", "-b", "private", closed).returncode == 0
    done = machine.verb("run", f"--user={NOBODY}", "private", "--", "true")
    assert (done.returncode, complaint(done)) == (
        1,
        f"user {NOBODY} may not enter the root of the tree, whose mode is 0700",
    )


# ---- how it ends


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nonsense"], 127, "cannot run 'nonsense': there is no such command in the tree"),
        ([""], 127, "cannot run '': there is no such command in the tree"),
        (["/bin/no"], 127, "cannot run '/bin/no': there is no such command in the tree"),
        (["plain"], 126, "cannot run 'plain': it is not executable"),
        (["/etc"], 126, "cannot run '/etc': it is a directory"),
        (["orphan"], 126, "cannot run 'orphan': the tree lacks its interpreter /usr/bin/python9"),
        (["foreign"], 126, "cannot run 'foreign': it is a program for "),
    ],
)
def test_commands_that_cannot_be_run(
    machine: Machine, words: list[str], status: int, said: str
) -> None:
    done = machine.verb("run", "main", "--", *words)
    assert done.returncode == status
    assert complaint(done).startswith(said)
    assert b"ostreefs: hint: " in done.stderr


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("exit 125", 125)],
)
def test_the_status_is_that_of_the_command(machine: Machine, script: str, status: int) -> None:
    done = machine.verb("run", "main", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_what_cannot_be(machine: Machine) -> None:
    done = machine.verb("run", "nothing", "true")
    assert (done.returncode, complaint(done)) == (
        1,
        "revision 'nothing' not found: no such ref or commit",
    )
    done = machine.verb("shell", "bare")
    assert complaint(done) == "the tree has no shell: neither /bin/bash nor /bin/sh"
    account = machine.account
    empty = Account(account.python, account.path, account.uid, account.home, {"PATH": "/nowhere"})
    done = Machine(machine.repository, empty).verb("run", "main", "true")
    assert done.returncode == 1
    assert complaint(done).endswith(" is missing, which runs commands inside a tree") or (
        "fusermount3 is missing" in complaint(done)
    )


def test_a_shell(machine: Machine) -> None:
    done = machine.verb("shell", "main", "--", "-c", "echo $0; exit 3")
    assert (done.returncode, done.stdout) == (3, b"/bin/sh\n")
    done = machine.verb("shell", "main", input=b"echo inside; exit 4\n")
    assert (done.returncode, done.stdout) == (4, b"inside\n")


# ---- signals


@contextmanager
def running(machine: Machine, *words: Word) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has said a line."""
    words = ("--repo", machine.repository, "run", *words)
    account = machine.account
    with subprocess.Popen(
        command(*words, account=account),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **account.popen_arguments(),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_for_the_command(machine: Machine, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    with running(machine, "main", "--", "sh", "-c", script) as process:
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == b"got\n"
        assert process.returncode == 9


@pytest.mark.parametrize("words", [[], ["--rw"]], ids=["read-only", "writable"])
def test_nothing_is_left_of_who_was_killed(machine: Machine, words: list[str]) -> None:
    script = "sleep 3210 & echo ready; sleep 3210"
    with running(machine, *words, "main", "--", "sh", "-c", script) as process:
        wait_until(lambda: count_processes("sleep\x003210") == 2, "both to be there")
        process.kill()
        process.wait()
        wait_until(lambda: count_processes("sleep\x003210") == 0, "the end of what was inside")


@pytest.mark.parametrize("which", ["daemon", "guard", "bwrap"])
def test_helpers_that_are_killed(machine: Machine, which: str) -> None:
    """Each of the processes around a command may die; everything is taken down all the same."""
    script = "echo ready; while read line; do cat /etc/group || exit 8; done; exit 9"
    with running(machine, "main", "--", "sh", "-c", script) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        daemon, guard, bwrap = map(int, children)
        os.kill({"daemon": daemon, "guard": guard, "bwrap": bwrap}[which], signal.SIGKILL)
        if which == "daemon":
            wait_until(lambda: is_zombie(daemon), "its end")
        process.communicate(b"line\n", timeout=30)
        assert process.returncode in ({8, 9, 127, 135} if which == "daemon" else {9})


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_is_left_running_ends(machine: Machine) -> None:
    assert machine.script("nohup sleep 4321 >/dev/null 2>&1 & echo left") == ["left"]
    assert count_processes("sleep\x004321") == 0


def count_processes(words: str) -> int:
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += (folder / "cmdline").read_text() == f"{words}\0"
        except OSError:
            continue
    return found


def test_machines_that_forbid_user_namespaces() -> None:
    """As in a namespace of one's own, where everybody may forbid more of them."""
    code = "from ostreefs.sandbox.run import check_user_namespaces as c; c()"
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    python = (OURSELVES.python, "-c", code)
    done = run("unshare", "-Ur", "sh", "-c", script, "sh", *python, account=OURSELVES)
    assert b"SandboxError: this machine forbids user namespaces: " in done.stderr


def test_bubblewrap_is_here() -> None:
    """As the project's own set-up installs it for the tests."""
    assert run("bwrap", "--version").returncode == 0
