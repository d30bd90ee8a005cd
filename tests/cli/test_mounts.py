# SPDX-License-Identifier: LGPL-2.1-or-later
"""`mounts`, of a list of mounts that nobody serves."""

from pathlib import Path

import pytest

from ostreefs.fuse import mounts
from ostreefs.text import format_duration
from tests.cli.conftest import Cli

MOUNTINFO = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:99998 / /no\\040such\\012place ro - fuse.ostreefs /repo#main ro,user_id=7,group_id=8
23 21 0:99999 / / ro - fuse.ostreefs /repo ro
"""


def set_mounts(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> None:
    path.write_text(text)
    monkeypatch.setattr(mounts, "_MOUNTINFO", path)


def test_nothing_is_mounted(
    empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_mounts(monkeypatch, tmp_path / "mountinfo", MOUNTINFO.splitlines()[0])
    assert empty_cli("mounts") == ""
    assert empty_cli.json("mounts") == []


def test_nobody_answers(empty_cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_mounts(monkeypatch, tmp_path / "mountinfo", MOUNTINFO)
    assert empty_cli.lines("mounts") == [
        "MOUNTPOINT       SOURCE      COMMIT  PID  SINCE  STATE",
        "/no such\\nplace  /repo#main  -       -    -      unknown",
        "/                /repo       -       -    -      unknown",
    ]
    first, second = empty_cli.json("mounts")
    assert first == {
        "mount_point": "/no such\nplace",
        "source": "/repo#main",
        "state": "unknown",
        "pid": None,
        "uid": 7,
        "commit": None,
        "since": None,
        "seconds": None,
    }
    assert second["uid"] == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3600, "1 h 0 min"),
        (90061, "1 d 1 h"),
        (400 * 86400 + 5, "400 d 0 h"),
    ],
)
def test_durations(seconds: int, expected: str) -> None:
    assert format_duration(seconds) == expected
