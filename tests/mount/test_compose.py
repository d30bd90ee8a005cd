# SPDX-License-Identifier: LGPL-2.1-or-later
"""`compose --run`: commands inside a tree, whose changes become part of the commit."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import (
    OURSELVES,
    Account,
    Done,
    command,
    complaint,
    ordinary_user,
    ostreefs,
    ostreefs_output,
    output,
)
from tests.support.debian import DebianTree
from tests.support.mounts import wait_until
from tests.support.packages import make_deb
from tests.support.systems import make_system
from tests.support.trees import write

pytestmark = pytest.mark.mount


class Builder:
    """Composes in a repository of somebody's."""

    def __init__(self, place: Path, account: Account) -> None:
        self.repository = place / "repo"
        self._account = account

    def run(self, *words: str | Path, **arguments: Any) -> Done:
        return ostreefs("--repo", self.repository, *words, account=self._account, **arguments)

    def __call__(self, *words: str | Path, **arguments: Any) -> str:
        done = self.run(*words, **arguments)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def shell(self, script: str) -> None:
        """Run a script outside."""
        output("sh", "-ec", script, account=self._account)

    def ls(self, revision: str) -> dict[str, Any]:
        return {i["path"]: i for i in json.loads(self("--json", "ls", "-R", revision, "/"))}

    def mounts(self) -> list[str]:
        """Those of this repository."""
        lines = self("mounts").splitlines()
        return [line for line in lines if str(self.repository) in line]

    def popen(self, *words: str | Path) -> subprocess.Popen[bytes]:
        line = command("--repo", self.repository, *words, account=self._account)
        return subprocess.Popen(line, stderr=subprocess.PIPE, **self._account.popen_arguments())


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tree in which commands can run, everything root's, as an archive."""
    place = tmp_path_factory.mktemp("base")
    root = make_system(place / "tree")
    write(root / "usr/share/gone/file", b"gone")
    write(root / "etc/conf", b"old")
    root_owns = ("--owner-uid=0", "--owner-gid=0")
    ostreefs_output("--repo", place / "repo", "init", "--mode=bare-user")
    ostreefs_output("--repo", place / "repo", "commit", "-b", "os", *root_owns, root)
    return ostreefs_output("--repo", place / "repo", "export", "os")


@pytest.fixture(params=["ourselves", "ordinary"])
def builder(request: pytest.FixtureRequest, tmp_path: Path, packed: bytes) -> Iterator[Builder]:
    """With the tree as `os`; of an ordinary user, too, where we are root."""
    with ExitStack() as stack:
        account, place = OURSELVES, tmp_path
        if request.param == "ordinary":
            account = stack.enter_context(ordinary_user())
            assert account.home is not None
            place = account.home
        made = Builder(place, account)
        made("init", "--mode=bare-user")
        made("commit", "-b", "os", "--tree=tar=-", input=packed)
        yield made


def test_what_commands_change(builder: Builder) -> None:
    done = builder.run(
        *("compose", "-b", "mine", "os"),
        "--run=echo said; echo new >/etc/conf; rm -r /usr/share/gone; echo v >/var/made",
        "--run=id -u >/usr/share/who; echo tmp >/tmp/x; read line </var/made; echo $line >/etc/v",
        "--overlay=os:/etc/conf=>/etc/old-conf",
        "--run=test -e /etc/old-conf && test ! -e /tmp/x && test ! -e /repo",
    )
    assert done.returncode == 0, done
    assert done.stderr == b"said\n"
    assert len(done.stdout) == 65
    before, after = builder.ls("os"), builder.ls("mine")
    assert before.keys() - after.keys() == {"/usr/share/gone", "/usr/share/gone/file"}
    made = {"/var/made", "/etc/v", "/usr/share/who", "/etc/old-conf"}
    assert after.keys() - before.keys() == made
    assert {(item["uid"], item["gid"]) for item in after.values()} == {(0, 0)}
    changed = {p for p in before.keys() & after.keys() if before[p]["mode"] != after[p]["mode"]}
    assert not changed
    assert builder("cat", "mine", "/etc/conf", "/usr/share/who", "/etc/v") == "new\n0\nv\n"
    again = json.loads(builder("--json", "compose", "--recipe-of=mine", "-b", "again"))
    assert again["root"] == json.loads(builder("--json", "show", "mine"))["root"]
    assert builder.mounts() == []


def test_owners_of_what_commands_change(builder: Builder) -> None:
    """As an ordinary user, too, what somebody else has in the tree stays theirs."""
    owned = builder.repository.with_name("owned")
    builder.shell(f"mkdir -p {owned}/shared {owned}/anew; chmod 2775 {owned}/shared")
    builder.shell(f"cd {owned}; echo a | tee grown replaced equal")
    builder(
        "compose", "-b", "base", "os", f"--dir={owned}=>/owned", "--owner-uid=7", "--owner-gid=8"
    )
    builder(
        *("compose", "-b", "mine", "base"),
        "--run=cd /owned; echo more >>grown; rm replaced; ln -s grown replaced; chmod 600 grown",
        "--run=cd /owned/shared; touch new; mkdir d; touch d/x",
        "--run=cd /owned; touch new; rmdir anew; mkdir anew; cat equal >new",
    )
    after = builder.ls("mine")
    theirs = {path for path, item in after.items() if (item["uid"], item["gid"]) == (7, 8)}
    assert theirs == {"/owned", "/owned/equal", "/owned/grown", "/owned/shared"}
    assert after["/owned/grown"]["mode"].endswith("0600")
    assert after["/owned/shared"]["mode"].endswith("2775")
    assert builder("cat", "mine", "/owned/grown", "/owned/new") == "a\nmore\na\n"
    for name in ("shared/new", "shared/d", "shared/d/x"):
        assert (after[f"/owned/{name}"]["uid"], after[f"/owned/{name}"]["gid"]) == (0, 8), name
    assert after["/owned/shared/d"]["mode"].endswith("2755")
    assert {after[f"/owned/{name}"]["uid"] for name in ("new", "anew", "replaced")} == {0}
    builder("fsck")


def test_a_root_that_its_owner_may_not_write(builder: Builder) -> None:
    """It keeps its metadata, although ordinary users' upper directories must be writable."""
    closed = builder.repository.with_name("closed")
    builder("checkout", "-U", "os", closed)
    builder.shell(f"setfattr -n user.kept -v yes {closed}; chmod 0555 {closed}")
    owners = ("--owner-uid=0", "--owner-gid=0")
    builder("commit", "-b", "base", *owners, f"--tree=dir={closed}")

    def changes(old: str, new: str) -> set[str]:
        return {
            each["path"] for each in json.loads(builder("--json", "diff", old, new))["changes"]
        }

    assert "/" in changes("os", "base")
    builder("compose", "-b", "mine", "base", "--run=echo new >/etc/conf", umask=0o077)
    assert changes("base", "mine") == {"/etc/conf"}
    builder.shell(f"chmod 0755 {closed}")


def test_a_command_that_fails(builder: Builder) -> None:
    words = ("compose", "-b", "mine", "os")
    done = builder.run(*words, "--run=echo before; exit 3", "--run=echo after")
    assert (done.returncode, done.stdout) == (1, b"")
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "before"
    assert lines[1].startswith("ostreefs: error: --run 'echo before; exit 3' failed with 3;")
    assert "ended by signal 15" in builder.run(*words, "--run=kill $$").stderr.decode()
    complaint(builder.run(*words, "--overlay=os:/etc=>/usr/bin", "--overlay=os:/etc=>/bin/sh"))
    without = builder("compose", "--orphan", "os", "--run=rm /bin/sh").strip()
    assert "/bin/sh" in complaint(builder.run("compose", "-b", "mine", without, "--run=true"))
    assert builder("refs") == "os\n"
    assert builder.mounts() == []


def test_conflicts_are_found_before_anything_is_run(builder: Builder) -> None:
    words = (
        "compose",
        "-b",
        "mine",
        "os",
        "--overlay=os:/etc/conf=>/x",
        "--overlay=os:/bin/id=>/x",
    )
    assert "/x" in complaint(builder.run(*words, "--run=echo run"))
    done = builder.run(*words, "--run=echo run", "--overlay=os:/etc=>/new", "--dry-run")
    assert done.returncode == 1
    assert done.stdout.decode().splitlines()[0].startswith("conflict  /x  differs between")
    done = builder.run(*words, "--run=echo run", "--dry-run", "--on-conflict=last")
    assert done.returncode == 0
    assert b"'echo run' was not run" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended(builder: Builder, number: int) -> None:
    """What runs inside is gone soon after, with all that was made for it."""
    with builder.popen(
        "compose", "-b", "mine", "os", "--run=echo $$ started >&2; exec sleep 1000"
    ) as process:
        assert process.stderr is not None
        assert b"started" in process.stderr.readline()
        process.send_signal(number)
        process.wait(timeout=20)
        process.stderr.read()  # until nobody has it open any more
    assert builder("refs") == "os\n"
    wait_until(lambda: not builder.mounts(), "the mount is gone")
    builder("compose", "--orphan", "os", "--run=true")  # sweeps up what a SIGKILL has left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whom", ["ours", "inside"])
def test_ended_whatever_the_command_makes_of_it(builder: Builder, number: int, whom: str) -> None:
    """It exits with 0; nothing is committed nevertheless, and nothing else is run."""
    with builder.popen(
        *("compose", "-b", "mine", "os"),
        "--run=trap 'exit 0' INT TERM HUP; echo started >&2; while :; do sleep 0.01; done",
        "--run=echo next >&2",
    ) as process:
        assert process.stderr is not None
        assert b"started" in process.stderr.readline()
        os.kill(process.pid if whom == "ours" else find_inside(builder.repository), number)
        process.wait(timeout=20)
        said = process.stderr.read()
    assert process.returncode == 128 + number, said
    assert b"next" not in said
    assert b"Traceback" not in said
    assert builder("refs") == "os\n"
    wait_until(lambda: not builder.mounts(), "the mount is gone")


def find_inside(repository: Path) -> int:
    """The process that runs the commands of a composition."""
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (each / "cmdline").read_bytes().split(b"\0")
            if b"ostreefs.compose.inside" in words and bytes(repository) in words[-2]:
                return int(each.name)
    raise AssertionError("nothing runs inside")


@pytest.mark.root
def test_a_package_is_configured_by_dpkg(tmp_path: Path) -> None:
    """The maintainer script that was not run is run by dpkg itself, inside."""
    debian = DebianTree(tmp_path / "tree")
    debian.install("dpkg", "tar", "dash", "coreutils", "diffutils", "libc-bin")
    for name in ("info", "updates", "triggers"):
        (debian.path / "var/lib/dpkg" / name).mkdir()
    (debian.path / "usr/bin/sh").unlink(missing_ok=True)
    (debian.path / "usr/bin/sh").symlink_to("dash")
    script = "#!/bin/sh\n[ $1 = configure ] && echo configured >/var/lib/hello\n"
    deb = make_deb(
        tmp_path, {"usr/share/hello": "x"}, control={"postinst": script}, Architecture="all"
    )
    builder = Builder(tmp_path, OURSELVES)
    builder("init", "--mode=bare-user")
    builder("commit", "-b", "os", debian.path)
    builder("compose", "-b", "mine", "os", "--deb", deb, "--run=dpkg --configure -a")
    assert builder("cat", "mine", "/var/lib/hello") == "configured\n"
    assert "Status: install ok installed" in builder("cat", "mine", "/var/lib/dpkg/status")
