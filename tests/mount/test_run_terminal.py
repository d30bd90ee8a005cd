# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands inside commits at a terminal: what is typed, job control, the size of the window."""

import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import Word, command
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import PATIENCE
from tests.support.project import ROOT
from tests.support.systems import make_system

pytestmark = pytest.mark.mount

TYPE_INTO_IT = """
import fcntl, sys, termios
from pathlib import Path
from ostreefs.sandbox.run import run_in_tree
code = "import fcntl, os, termios; os.ttyname(0); fcntl.ioctl(0, termios.TIOCSTI, b'x')"
print("status", run_in_tree(Path("/"), [sys.argv[1], "-c", code]))
"""


class Terminal:
    """The other end of a terminal at which a command is the only one."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self.said = b""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Something new that matches; all before it is forgotten."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern.encode(), self.said)):
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0] or not self._read():
                pytest.fail(f"waited in vain for {pattern!r}: {self.said!r}")
        self.said = self.said[found.end() :]

    def _read(self) -> bytes:
        try:
            piece = os.read(self.fd, 4096)
        except OSError:  # everybody has closed it
            return b""
        self.said += piece
        return piece

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def wait(self) -> int:
        """The exit status."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def at_terminal(*words: Word) -> Iterator[Terminal]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'store'}"}
    pid, fd = os.forkpty()
    if pid == 0:
        try:
            for number in (signal.SIGINT, signal.SIGQUIT):  # whoever tests may ignore them
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(words[0], [os.fspath(word) for word in words], environment)
        finally:
            os._exit(99)
    terminal = Terminal(pid, fd)
    try:
        yield terminal
    finally:
        os.close(fd)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("terminal")
    commit_directory(init_repository(place / "repo"), make_system(place / "system"))
    return place / "repo"


@pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT")])
def test_keys_are_for_the_command(repository: Path, key: str, name: str) -> None:
    script = f"trap 'echo g''ot; x=1' {name}; echo rea''dy; "
    script += 'while [ -z "$x" ]; do sleep 0.1; done; echo after; exit 5'
    run = command("--repo", repository, "run", "main", "--", "sh", "-c", script)
    with at_terminal(*run) as terminal:
        terminal.wait_for("ready")
        terminal.type(key)
        terminal.wait_for("got")
        terminal.wait_for("after")
        assert terminal.wait() == 5


def test_a_command_without_a_handler_ends_by_the_key(repository: Path) -> None:
    run = command("--repo", repository, "run", "main", "--", "sh", "-c", "echo rea''dy; cat")
    with at_terminal(*run) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        assert terminal.wait() == 128 + signal.SIGINT


def test_a_shell_has_job_control(repository: Path) -> None:
    with at_terminal(*command("--repo", repository, "shell", "main")) as terminal:
        terminal.wait_for("[#$] ")
        terminal.resize(33, 77)
        terminal.type("stty size\n")
        terminal.wait_for("33 77")
        terminal.type("sh -c 'echo rea\"\"dy; sleep 1000'\n")
        terminal.wait_for("ready")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("kill %1; fg; echo status $((40+2))\n")
        terminal.wait_for("status 42")
        terminal.type("echo to the term''inal > /dev/tty\n")
        terminal.wait_for("to the terminal")
        terminal.type("exit 6\n")
        assert terminal.wait() == 6


def test_the_terminal_is_the_caller_s_again(repository: Path) -> None:
    """A shell inside makes itself the foreground, and is gone; whoever called reads again."""
    words = command("--repo", repository, "shell", "main")
    script = f'{" ".join(map(str, words))}; echo st"atus" $?; read line; echo "read $line"'
    with at_terminal("sh", "-c", script) as terminal:
        terminal.wait_for("[#$] ")
        terminal.type("exit 7\n")
        terminal.wait_for("status 7")
        terminal.type("typed\n")
        terminal.wait_for("read typed")
        assert terminal.wait() == 0


def test_stopping_and_going_on(repository: Path) -> None:
    """^Z stops a command with all that belongs to it; the shell outside has its turn."""
    run = command("--repo", repository, "run", "main", "--", "sh", "-c", "echo rea''dy; cat")
    script = f"set -m; {' '.join(map(_quote, run))}\necho st'opped'; fg; echo st'atus' $?"
    with at_terminal("bash", "-c", script) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x1a")
        terminal.wait_for("stopped")
        terminal.type("again\n")
        terminal.wait_for("again")
        terminal.type("\x04")
        terminal.wait_for("status 0")


def _quote(word: Word) -> str:
    return "'" + str(word).replace("'", "'\\''") + "'"


def test_nobody_inside_types_into_it() -> None:
    python = os.path.realpath(sys.executable)
    with at_terminal(sys.executable, "-c", TYPE_INTO_IT, python) as terminal:
        terminal.wait_for("PermissionError: .Errno 1.")
        terminal.wait_for("status 1")
        assert terminal.wait() == 0
