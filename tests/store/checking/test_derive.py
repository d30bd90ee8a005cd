# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deriving objects from what is on a disk gives what a commit of it records."""

import os
from pathlib import Path

import pytest

from ostreefs_store.checking.derive import derive_directory, derive_file
from ostreefs_store.codec import encode_file, file_digest
from ostreefs_store.errors import SourceChangedError
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from tests.support.trees import (
    ingest,
    make_privileged_tree,
    make_small_tree,
    make_socket,
    root_of,
    write,
)


@pytest.mark.parametrize(
    "modifiers", [Modifiers(), Modifiers(5, 6), Modifiers(xattrs=False)], ids=repr
)
def test_as_a_commit(repository: Repository, tmp_path: Path, modifiers: Modifiers) -> None:
    make = make_privileged_tree if os.geteuid() == 0 else make_small_tree
    source = make(tmp_path / "source")
    make_socket(source / "socket")
    if repository.objects.mode == "bare" and modifiers.owner_uid and os.geteuid() != 0:
        pytest.skip("needs root")
    ingest(repository, source, modifiers=modifiers)
    derived = derive_directory(source, modifiers)
    assert derived.root == root_of(repository)
    with repository.index.snapshot() as snapshot:
        assert derived.trees == dict(snapshot.iter_objects("trees"))
        assert derived.files == dict(snapshot.iter_objects("files"))


def test_with_workers(repository: Repository, tmp_path: Path) -> None:
    for number in range(1000):
        write(tmp_path / f"source/{number % 7}/{number}", b"%d" % number)
    ingest(repository, tmp_path / "source")
    assert derive_directory(tmp_path / "source", Modifiers()).root == root_of(repository)


def test_single_files(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    make_socket(source / "socket")
    fd = os.open(source, os.O_RDONLY)
    derived = derive_directory(source, Modifiers())
    for name in ("bin", "etc/fifo", "etc/empty", "usr/bin/tool"):
        above = os.open(os.path.dirname(name) or ".", os.O_RDONLY, dir_fd=fd)
        file = derive_file(above, os.path.basename(name), Modifiers())
        os.close(above)
        assert file_digest(encode_file(file)) in derived.files
    for name in ("etc", "socket"):
        with pytest.raises(ValueError, match=name):
            derive_file(fd, name, Modifiers())
    os.close(fd)


def test_a_file_that_never_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "source/sub/file", b"a")
    real = os.listxattr

    def grow(target: int | str, *, follow_symlinks: bool = True) -> list[str]:
        with path.open("ab") as file:
            file.write(b"+")
        return real(target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "listxattr", grow)
    with pytest.raises(SourceChangedError) as caught:
        derive_directory(tmp_path / "source", Modifiers())
    assert caught.value.path == b"sub/file"
