# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lines for the journal."""

import logging
import os
import socket
from pathlib import Path

import pytest

from ostreefs.cli import logs
from ostreefs.cli.logs import JournalFormatter, is_journal, make_handler


@pytest.mark.parametrize(
    ("level", "message", "expected"),
    [
        (logging.DEBUG, "a", "<7>a"),
        (logging.INFO, "a", "<6>a"),
        (logging.WARNING, "a", "<4>a"),
        (logging.ERROR, "a\nb", "<3>a\n<3>b"),
        (logging.CRITICAL, "a", "<2>a"),
        (25, "a", "<5>a"),
    ],
)
def test_priorities(level: int, message: str, expected: str) -> None:
    record = logging.LogRecord("x", level, "", 0, message, (), None)
    assert JournalFormatter().format(record) == expected


def test_is_it_the_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable is inherited by processes whose stderr is something else."""
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "other").open("w") as other:
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(journal.fileno())
        assert not is_journal(other.fileno())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(journal.fileno())


@pytest.fixture
def syslog(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where syslog would listen."""
    path = tmp_path / "log"
    monkeypatch.setattr(logs, "_SYSLOG", str(path))
    return path


def test_syslog(syslog: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(syslog))
        server.settimeout(10)
        handler = make_handler(None, foreground=False)
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "hello", (), None))
        handler.close()
        said = server.recv(1000)
        daemon, warning = 3 << 3, 4
        expected = f"<{daemon | warning}>ostreefs[{os.getpid()}]: WARNING: hello"
        assert said.removesuffix(b"\0").decode() == expected


def test_syslog_that_comes_later(syslog: Path) -> None:
    """Neither a socket that is missing nor one that was left is a reason not to mount."""
    assert type(make_handler(None, foreground=False)) is logging.NullHandler
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(syslog))
    handler = make_handler(None, foreground=False)
    syslog.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(syslog))
        server.settimeout(10)
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "hello", (), None))
        assert b"INFO: hello" in server.recv(1000)
    handler.close()
