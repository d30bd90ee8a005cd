# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lines for the journal."""

import logging
import os
from pathlib import Path

import pytest

from ostreefs.cli.logs import JournalFormatter, is_journal


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
