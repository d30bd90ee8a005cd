# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a process that serves a mount says what happens, and how much it says."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SYSLOG = "/dev/log"
_LINE = "ostreefs[%(process)d]: %(levelname)s: %(message)s"

_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3)'s numbers, which sd-daemon(3) has the journal read at the beginning of a line."""


class JournalFormatter(logging.Formatter):
    """Lines for the journal, which knows the process itself, with their priority."""

    def format(self, record: logging.LogRecord) -> str:
        """Put the priority before each line."""
        priority = _PRIORITIES.get(record.levelno, 5)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up_log(log_file: Path | None, *, foreground: bool, verbose: bool) -> None:
    """Log to a file, else in the foreground to stderr or the journal behind it, else to syslog."""
    handler = make_handler(log_file, foreground=foreground)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])


def make_handler(log_file: Path | None, *, foreground: bool) -> logging.Handler:
    """What takes the messages. Raises `OSError` for a file that cannot be written."""
    handler: logging.Handler
    formatter = logging.Formatter(_LINE)
    if log_file is not None:
        handler = logging.FileHandler(log_file)
    elif foreground:
        handler = logging.StreamHandler()
        if is_journal(2):
            formatter = JournalFormatter()
    else:
        handler = _open_syslog()
    handler.setFormatter(formatter)
    return handler


def _open_syslog() -> logging.Handler:
    """A machine without syslog is no reason not to mount; one that comes later is found."""
    if not os.path.exists(_SYSLOG):
        return logging.NullHandler()
    from logging.handlers import SysLogHandler  # noqa: PLC0415 -- pulls in sockets

    return SysLogHandler(_SYSLOG, SysLogHandler.LOG_DAEMON)


def is_journal(fd: int) -> bool:
    """Whether what is written to a descriptor goes to the journal, see systemd.exec(5)."""
    found = os.fstat(fd)
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
