# SPDX-License-Identifier: LGPL-2.1-or-later
"""Telling a supervisor, with real sockets."""

import logging
import os
import socket
from pathlib import Path

import pytest

from ostreefs.fuse.notify import notify


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_notify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "socket") if kind == "path" else f"@ostreefs-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name.replace("@", "\0", 1) if kind == "abstract" else name)
        supervisor.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1", "STATUS=é")
        assert supervisor.recv(100).decode() == "READY=1\nSTATUS=é"
        with pytest.raises(BlockingIOError):
            supervisor.recv(100)


@pytest.mark.parametrize("value", ["", None])
def test_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify("READY=1")


@pytest.mark.parametrize("name", ["/nowhere/socket", "@ostreefs-nobody", "@" + "x" * 200])
def test_a_supervisor_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """No reason to end."""
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with caplog.at_level(logging.WARNING):
        assert not notify("READY=1")
    assert name in caplog.text
