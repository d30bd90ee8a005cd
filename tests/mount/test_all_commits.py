# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mount of all commits, while the repository changes below it."""

import os
from pathlib import Path

import pytest

from ostreefs_store.model import Digest
from ostreefs_store.refs import delete_refs
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, commit_directory, init_repository, put_commit
from tests.support.mounts import Mounted, mounted, mounted_in_background
from tests.support.trees import make_small_tree, tool_differences, write

pytestmark = pytest.mark.mount


def test_commits_and_refs(tmp_path: Path) -> None:
    source, repository = make_small_tree(tmp_path / "source"), init_repository(tmp_path / "repo")
    first = commit_directory(repository, source, "main")
    with mounted_in_background(repository, "--all", at=tmp_path / "mnt") as mount:
        assert sorted(os.listdir(mount.path)) == ["by-date", "commits", "history", "refs"]
        assert os.listdir(mount.path / "commits") == [first]
        assert os.listdir(mount.path / "refs") == ["main"]
        assert os.readlink(mount.path / "refs/main") == f"../commits/{first}"
        assert os.readlink(mount.path / "commits" / first[:6]) == first
        assert not tool_differences(source, mount.path / "commits" / first, hardlinks=True)
        assert (mount.path / "refs/main/etc/empty").exists()
        for missing in ("commits/abcdef", "refs/other", "other", f"commits/{first}/other"):
            assert not (mount.path / missing).exists()


def test_what_is_new_is_seen_at_once(tmp_path: Path) -> None:
    source, repository = make_small_tree(tmp_path / "source"), init_repository(tmp_path / "repo")
    first = commit_directory(repository, source, "main")
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        commits, refs = mount.path / "commits", mount.path / "refs"
        assert (os.listdir(commits), os.listdir(refs)) == ([first], ["main"])
        assert not (refs / "main/etc/new").exists()
        write(source / "etc/new", b"new")
        assert not (refs / "os/next").exists()
        second = commit_directory(repository, source, "main")
        assert sorted(os.listdir(commits)) == sorted([first, second])
        assert os.readlink(refs / "main") == f"../commits/{second}"
        assert (refs / "main/etc/new").read_bytes() == b"new"
        assert not (commits / first / "etc/new").exists()
        commit_directory(repository, source, "os/next")
        assert sorted(os.listdir(refs)) == ["main", "os"]
        assert (refs / "os/next/etc/new").read_bytes() == b"new"
        with (
            Repository.open(repository, writable=True) as opened,
            opened.index.transaction() as transaction,
        ):
            delete_refs(transaction, "main")
        assert os.listdir(refs) == ["os"]
        assert not (refs / "main").exists()
        assert (commits / first / "etc/empty").exists()


def test_an_open_directory_shows_what_is_new_after_a_rewind(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    put(repository, {b"a": EMPTY_FILE})
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        fd = os.open(mount.path / "commits", os.O_RDONLY)
        assert len(os.listdir(fd)) == 1
        put(repository, {b"b": EMPTY_FILE})
        assert len(os.listdir(fd)) == 2
        os.close(fd)


def test_same_object_same_inode(tmp_path: Path) -> None:
    source, repository = make_small_tree(tmp_path / "source"), init_repository(tmp_path / "repo")
    first = commit_directory(repository, source)
    write(source / "etc/new", b"new")
    second = commit_directory(repository, source)
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        one, two = (mount.path / "commits" / commit for commit in (first, second))
        for path in ("usr/bin/tool", "bin", "etc/fifo"):
            assert (one / path).lstat().st_ino == (two / path).lstat().st_ino
        assert (one / "usr").stat().st_ino != (two / "usr").stat().st_ino
        inodes = [p.lstat().st_ino for p in one.rglob("*") if p.is_dir() and not p.is_symlink()]
        assert len(set(inodes)) == len(inodes)


def put(repository: Path, content: dict[bytes, object], count: int = 1) -> None:
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        for number in range(count):
            put_commit(transaction, {**content, b"%d" % number: {}})  # type: ignore[dict-item]  # a directory in a directory


def test_a_thousand_commits(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    put(repository, {b"a": EMPTY_FILE}, 1000)
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        listed = os.listdir(mount.path / "commits")
        assert len(listed) == len(set(listed)) == 1000
        assert listed == sorted(listed)
        for commit in listed[::100]:
            assert "a" in os.listdir(mount.path / "commits" / commit)


def test_ambiguous_prefix(tmp_path: Path) -> None:
    repository = init_repository(tmp_path / "repo")
    ids = [Digest(b"\xab\xcd" * 15 + bytes([0, number])) for number in range(2)]
    with (
        Repository.open(repository, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        for commit_id in ids:
            put_commit(transaction, {b"x": EMPTY_FILE}, commit_id=commit_id)
    with mounted(repository, "--all", at=tmp_path / "mnt") as mount:
        assert not os.path.lexists(mount.path / "commits/abcd")
        assert os.listdir(mount.path / "commits" / ids[1].hex()) == ["x"]


def test_a_mount_of_one_commit_stays_at_it(tmp_path: Path) -> None:
    source, repository = make_small_tree(tmp_path / "source"), init_repository(tmp_path / "repo")
    commit_directory(repository, source, "main")
    mount: Mounted
    with mounted(repository, "main", at=tmp_path / "mnt") as mount:
        write(source / "etc/new", b"new")
        commit_directory(repository, source, "main")
        assert not (mount.path / "etc/new").exists()
        assert "new" not in os.listdir(mount.path / "etc")


def test_by_date_and_history(tmp_path: Path) -> None:
    source, repository = make_small_tree(tmp_path / "source"), init_repository(tmp_path / "repo")
    with mounted_in_background(repository, "--all", at=tmp_path / "mnt") as mount:
        assert os.listdir(mount.path / "history") == os.listdir(mount.path / "by-date") == []
        first = commit_directory(repository, source, "os/main")
        write(source / "etc/new", b"new")
        second = commit_directory(repository, source, "os/main")
        history = mount.path / "history/os/main"
        assert sorted(os.listdir(history)) == ["0", "1"]
        assert os.path.basename(os.readlink(history / "0")) == second
        assert (history / "0/etc/new").read_bytes() == b"new"
        assert not (history / "1/etc/new").exists()
        day = mount.path / "by-date/1970-01-01"
        assert {os.path.basename(os.readlink(path)) for path in day.iterdir()} == {first, second}
        for path in day.iterdir():
            assert (path / "usr/bin/tool").read_bytes() == (source / "usr/bin/tool").read_bytes()
