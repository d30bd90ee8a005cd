# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts served by a process of their own, watched from this one.

A daemon that dies, that does not exit with 0 when its mount is taken down, or that logs a warning
or an error which no test announced, is a failure.
"""

import fcntl
import json
import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ostreefs.fuse import mounts
from tests.support.commands import OURSELVES, Account, Word, command, ostreefs_output, run

PATIENCE = 30.0
_INTERVAL = 0.005


@dataclass
class Mounted:
    """A mount and its daemon."""

    path: Path
    log: Path
    account: Account
    process: subprocess.Popen[bytes] | None
    pid: int
    announced: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Announce warnings and errors in the log; at least one must come."""
        self.announced.append(pattern)

    def wait_for_log(self, pattern: str) -> str:
        """The first line that matches, and that has come or is coming."""
        lines: list[str] = []

        def find() -> bool:
            lines.extend(line for line in self.read_log() if re.search(pattern, line))
            return bool(lines)

        wait_until(find, f"a line with {pattern!r} in the log")
        return lines[0]

    def read_log(self) -> list[str]:
        """What the daemon has logged."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def check_alive(self) -> None:
        """Fail when the daemon has ended."""
        if self.process is None:
            os.kill(self.pid, 0)
        else:
            assert self.process.poll() is None, self.describe()

    def describe(self) -> str:
        """What is known of the daemon, for a failure."""
        status = None if self.process is None else self.process.poll()
        return f"daemon {self.pid}, status {status}, log: {self.read_log()}"

    def check_log(self) -> None:
        """Fail for warnings that were not announced, and for announced ones that did not come."""
        bad = [line for line in self.read_log() if re.search(r"WARNING|ERROR|CRITICAL", line)]
        unannounced = [
            line for line in bad if not any(re.search(wanted, line) for wanted in self.announced)
        ]
        assert not unannounced, unannounced
        missing = [
            wanted for wanted in self.announced if not any(re.search(wanted, line) for line in bad)
        ]
        assert not missing, (missing, self.read_log())


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again; fail after a while."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(_INTERVAL)


def is_free(directory: Path) -> bool:
    """Whether no process has a directory locked, as those have that use one for a mount."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def is_mounted(path: Path) -> bool:
    """Whether something is mounted right here."""
    return mounts.find_mount(path) is not None


@contextmanager
def mounted(
    repository: Path, *words: Word, at: Path, account: Account = OURSELVES
) -> Iterator[Mounted]:
    """Serve a mount with ``--foreground``; `words` are revision and options.

    The block ends with the mount taken down, unless the test has done it, and the daemon's exit.
    """
    log = at.with_name(f"{at.name}.log")
    _make_mount_point(at, account)
    words = ("--repo", repository, "mount", "--foreground", "--log-file", log, *words, at)
    process = subprocess.Popen(
        command(*words, account=account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **account.popen_arguments(),
    )
    mount = Mounted(at, log, account, process, process.pid)
    try:
        wait_until(lambda: process.poll() is not None or is_mounted(at), "the mount")
        _check_usable(mount)
        yield mount
        if is_mounted(at):
            mount.check_alive()
            unmount(mount)
        said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (0, (b"", b"")), (said, mount.describe())
    finally:
        clean_up(mount.path, mount.process)
    assert not is_mounted(at)
    mount.check_log()


@contextmanager
def mounted_in_background(
    repository: Path, *words: Word, at: Path, account: Account = OURSELVES
) -> Iterator[Mounted]:
    """Mount as people do; the mount is usable at once when the command returns."""
    log = at.with_name(f"{at.name}.log")
    _make_mount_point(at, account)
    words = ("--json", "--repo", repository, "mount", "--log-file", log, *words, at)
    said = json.loads(ostreefs_output(*words, account=account))
    assert said["mount_point"] == str(at)
    mount = Mounted(at, log, account, None, said["pid"])
    daemon = os.pidfd_open(mount.pid)
    try:
        assert is_mounted(at)
        _check_usable(mount)
        yield mount
        if is_mounted(at):
            mount.check_alive()
            unmount(mount)
        assert select.select([daemon], [], [], PATIENCE)[0], mount.describe()
    finally:
        os.close(daemon)
        clean_up(mount.path, mount.process)
    assert not is_mounted(at)
    mount.check_log()


def unmount(mount: Mounted) -> None:
    """Take a mount down as its owner does; the daemon ends some time later."""
    done = run(*command("umount", mount.path, account=mount.account), account=mount.account)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done


def _make_mount_point(path: Path, account: Account) -> None:
    path.mkdir(exist_ok=True)
    if account.uid is not None:
        os.chown(path, account.uid, account.uid)


def _check_usable(mount: Mounted) -> None:
    """Let a third process look, which can be given up where it hangs."""
    mount.check_alive()
    done = run("stat", mount.path, account=mount.account, timeout=PATIENCE)
    assert done.returncode == 0, (done, mount.describe())


def clean_up(path: Path, process: subprocess.Popen[bytes] | None) -> None:
    """Leave neither a process nor a mount behind, whatever happened."""
    if process is not None and process.poll() is None:
        process.kill()
        process.communicate()
    if is_mounted(path):
        tool = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*tool, path], check=False, capture_output=True)
