# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories that nobody needs any more are taken away, and no others."""

from pathlib import Path

from ostreefs.compose.scratch import scratch_directory


def test_what_is_left_is_deleted_and_what_is_used_stays(tmp_path: Path) -> None:
    left = tmp_path / "ostreefs-compose-left"
    (left / "upper/x").mkdir(parents=True)
    (tmp_path / "ostreefs-compose-link").symlink_to(tmp_path)
    (tmp_path / "other").mkdir()
    with scratch_directory(tmp_path) as first:
        assert not left.exists()
        with scratch_directory(tmp_path) as second:
            assert first.is_dir()
            assert second.is_dir()
            assert first != second
        assert not second.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"ostreefs-compose-link", "other"}
