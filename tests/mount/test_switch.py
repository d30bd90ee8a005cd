# SPDX-License-Identifier: LGPL-2.1-or-later
"""A live mount that is made to show another commit, on request or as a ref moves."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs.fuse import control
from ostreefs.fuse.mounts import find_mount
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.refs import delete_refs
from ostreefs_store.repository import Repository
from tests.support.commands import complaint, ostreefs, ostreefs_output
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import Mounted, mounted_in_background, wait_until
from tests.support.trees import list_tree, make_small_tree, write

pytestmark = pytest.mark.mount


class Builds:
    """A repository with two builds, which differ deep down, at the top and in the root itself."""

    def __init__(self, place: Path) -> None:
        self.repository = init_repository(place / "repo")
        self.sources = []
        for name in ("one", "two"):
            source = make_small_tree(place / name)
            write(source / "usr/share/deep/er/file", name.encode())
            write(source / f"only-{name}", name.encode())
            (source / "usr/lib/same").write_bytes(b"size" + name.encode())
            commit_directory(self.repository, source, name)
            self.sources.append(source)
        self.sources[1].chmod(0o700)
        commit_directory(self.repository, self.sources[1], "two")

    def expected(self, number: int) -> object:
        return list_tree(self.sources[number])


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


@pytest.fixture
def mount(builds: Builds, tmp_path: Path) -> Iterator[Mounted]:
    with mounted_in_background(builds.repository, "one", at=tmp_path / "mnt") as mounted:
        yield mounted


def test_everything_is_the_other_commit_s(builds: Builds, mount: Mounted) -> None:
    for turn in range(4):
        number = turn % 2
        assert list_tree(mount.path) == builds.expected(number)
        assert not (mount.path / f"only-{('two', 'one')[number]}").exists(), "and is remembered"
        printed = ostreefs_output("switch", mount.path, ("two", "one")[number]).decode().strip()
        assert os.getxattr(mount.path, "user.ostreefs.commit").decode() == printed


def test_what_is_open_stays(builds: Builds, mount: Mounted) -> None:
    deep = mount.path / "usr/share/deep/er"
    held = os.open(deep, os.O_RDONLY)
    with open(deep / "file", "rb") as file, os.scandir(mount.path) as listing:
        first = next(listing).name
        ostreefs_output("switch", mount.path, "two")
        assert file.read() == b"one"
        assert (deep / "file").read_bytes() == b"two"
        names = {first, *(entry.name for entry in listing)}
    assert names == set(os.listdir(builds.sources[0])), "one listing is of one commit"
    assert os.listdir(held) == ["file"]
    fd = os.open("file", os.O_RDONLY, dir_fd=held)
    assert os.read(fd, 10) == b"one"
    os.close(fd)
    os.close(held)
    assert list_tree(mount.path) == builds.expected(1)


def test_names_that_were_missing(builds: Builds, mount: Mounted) -> None:
    assert not (mount.path / "only-two").exists()
    ostreefs_output("switch", mount.path, "two")
    assert (mount.path / "only-two").read_bytes() == b"two"
    assert not (mount.path / "only-one").exists()


def test_what_cannot_be_shown(builds: Builds, mount: Mounted, tmp_path: Path) -> None:
    done = ostreefs("switch", mount.path, "nothing")
    assert (done.returncode, complaint(done)) == (
        1,
        "revision 'nothing' not found: no such ref or commit",
    )
    assert list_tree(mount.path) == builds.expected(0)
    done = ostreefs("switch", tmp_path, "one")
    assert (done.returncode, complaint(done)) == (1, f"{tmp_path} is not a mount of ostreefs")
    with mounted_in_background(builds.repository, "--all", at=tmp_path / "all") as every:
        done = ostreefs("switch", every.path, "one")
        assert (done.returncode, complaint(done)) == (
            1,
            "a mount of all commits shows all of them already",
        )


def test_prune_keeps_what_is_shown_now(builds: Builds, mount: Mounted) -> None:
    ostreefs_output("switch", mount.path, "two")
    with Repository.open(builds.repository, writable=True) as repository:
        with repository.index.transaction() as transaction:
            for ref in ("one", "two"):
                delete_refs(transaction, ref)
        report = prune(repository, Rules(refs_only=True))
    assert len(report.leased) == 1
    assert len(report.commits) == 2
    assert list_tree(mount.path) == builds.expected(1)


def test_prune_keeps_what_somebody_is_still_in(builds: Builds, mount: Mounted) -> None:
    """A working directory goes on with its commit, for as long as it is one."""
    held = os.open(mount.path / "usr/share/deep", os.O_RDONLY)
    listing = os.scandir(mount.path / "usr/share/deep/er")
    for name in ("two", "one", "two"):
        ostreefs_output("switch", mount.path, name)
    with Repository.open(builds.repository, writable=True) as repository:
        with repository.index.transaction() as transaction:
            delete_refs(transaction, "one")
        report = prune(repository, Rules(refs_only=True))
        assert len(report.leased) == 1
        assert os.listdir(held) == ["er"]
        fd = os.open("er/file", os.O_RDONLY, dir_fd=held)
        assert os.read(fd, 10) == b"one"
        assert [entry.name for entry in listing] == ["file"]
        os.close(fd)
        os.close(held)
        listing.close()
        wait_until(lambda: not prune(repository, Rules(refs_only=True)).leased, "its end")
    assert list_tree(mount.path) == builds.expected(1)


def test_garbage_on_the_socket(builds: Builds, mount: Mounted) -> None:
    found = find_mount(mount.path)
    assert found is not None
    for line in (b"\n", b"{}\n", b"[1]\n", b"\xff\n", b'{"verb": "fly"}\n', b"no end"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(control.address(found.device))
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            assert "error" in json.loads(connection.recv(1000))
    answer = control.ask(mount.path, {"verb": "status"})
    assert answer["commit"] == os.getxattr(mount.path, "user.ostreefs.commit").decode()
    assert list_tree(mount.path) == builds.expected(0)


def test_following_a_ref(builds: Builds, tmp_path: Path) -> None:
    repository = builds.repository
    with mounted_in_background(repository, "--follow", "one", at=tmp_path / "mnt") as mount:
        assert list_tree(mount.path) == builds.expected(0)
        for number in (1, 0):
            moved = commit_directory(repository, builds.sources[number], "one")
            mount.wait_for_log(f"showing commit {moved}")
            assert list_tree(mount.path) == builds.expected(number)
            assert os.getxattr(mount.path, "user.ostreefs.commit").decode() == moved
        with (
            Repository.open(repository, writable=True) as opened,
            opened.index.transaction() as transaction,
        ):
            delete_refs(transaction, "one")
        mount.expect("cannot follow one")
        mount.wait_for_log("cannot follow one")
        assert list_tree(mount.path) == builds.expected(0), "a ref that is gone shows the last"
