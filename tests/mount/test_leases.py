# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is mounted is not pruned, whoever mounted it, and for as long as it is mounted."""

import errno
import os
import stat
from pathlib import Path

import pytest

from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import Report, prune
from ostreefs_store.repository import Repository
from tests.support.commands import Account
from tests.support.commits import commit_files, init_repository
from tests.support.mounts import mounted, mounted_in_background

pytestmark = pytest.mark.mount


@pytest.fixture
def commits(tmp_path: Path) -> list[str]:
    """Three commits on `main`; each has a file of its own and one that all have."""
    with Repository.open(init_repository(tmp_path / "repo"), writable=True) as repository:
        return [
            commit_files(
                repository, tmp_path / "source", {"file": content, "d/e/same": b"same"}
            ).hex()
            for content in (b"one", b"two", b"three")
        ]


def prune_to_the_tip(repository: Path) -> Report:
    with Repository.open(repository, writable=True) as opened:
        return prune(opened, Rules(refs_only=True, depth=0))


def deleted(report: Report) -> set[str]:
    return {commit.hex() for commit in report.commits}


def test_the_commit_of_a_mount_stays(tmp_path: Path, commits: list[str]) -> None:
    repository = tmp_path / "repo"
    with mounted_in_background(repository, "main~2", at=tmp_path / "mnt") as mount:
        assert deleted(prune_to_the_tip(repository)) == {commits[1]}
        assert (mount.path / "file").read_bytes() == b"one"
        assert (mount.path / "d/e/same").read_bytes() == b"same"
    assert deleted(prune_to_the_tip(repository)) == {commits[0]}


def test_of_all_commits_those_stay_that_somebody_looked_into(
    tmp_path: Path, commits: list[str]
) -> None:
    repository = tmp_path / "repo"
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        folder = mount.path / "commits"
        assert sorted(os.listdir(folder)) == sorted(commits)
        for commit in commits:
            assert stat.S_ISDIR((folder / commit).stat().st_mode)  # that is no look into it
        assert sorted(os.listdir(folder / commits[0])) == ["d", "file"]
        assert deleted(prune_to_the_tip(repository)) == {commits[1]}
        assert (folder / commits[0] / "file").read_bytes() == b"one"
        assert (folder / commits[2] / "d/e/same").read_bytes() == b"same"
        assert sorted(os.listdir(folder)) == sorted([commits[0], commits[2]])
        with pytest.raises(FileNotFoundError):
            (folder / commits[1] / "file").read_bytes()
        with pytest.raises(FileNotFoundError):
            os.listdir(folder / commits[1])


def test_a_directory_that_is_open_when_its_commit_goes(tmp_path: Path, commits: list[str]) -> None:
    repository = tmp_path / "repo"
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        fd = os.open(mount.path / "commits" / commits[0], os.O_PATH | os.O_DIRECTORY)
        assert deleted(prune_to_the_tip(repository)) == set(commits[:2])
        with pytest.raises(OSError, match=r"file handle|No such") as caught:
            os.stat("file", dir_fd=fd)
        assert caught.value.errno in {errno.ESTALE, errno.ENOENT}
        os.close(fd)


@pytest.mark.root
def test_somebody_who_may_only_read_the_repository_is_safe(
    tmp_path: Path, commits: list[str], user: Account
) -> None:
    repository = tmp_path / "repo"
    assert user.home is not None
    place = user.home / "mnt"
    changed = [p for p in repository.parents if p.stat().st_mode & 0o005 != 0o005]
    modes = [p.stat().st_mode & 0o7777 for p in changed]
    for parent in changed:
        parent.chmod(0o755)
    try:
        with mounted(repository, "main~2", at=place, account=user):
            report = prune_to_the_tip(repository)
            assert deleted(report) == {commits[1]}
            assert [commit.hex() for commit in report.leased] == [commits[0]]
        assert deleted(prune_to_the_tip(repository)) == {commits[0]}
    finally:
        for parent, mode in zip(changed, modes, strict=True):
            parent.chmod(mode)
