# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL while an archive is taken in, written, or laid over a checkout."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.repository import Repository
from ostreefs_store.tar.export import ExportOptions, export_tree, replaced_file
from tests.support.archives import archive, commit_archive, file, gnu_tar
from tests.support.crash import every_death
from tests.support.scenes import assert_sound, commit, find_tip, make_source, renew
from tests.support.trees import check_out, list_tree, remove_tree, root_of, write

pytestmark = pytest.mark.crash


def take_in(repository: Path, data: bytes, branch: str = "main") -> None:
    with Repository.open(repository, writable=True) as opened:
        commit_archive(opened, data, branch)


def export(repository: Path, out: Path) -> None:
    with Repository.open(repository) as opened, replaced_file(out) as target:
        export_tree(opened, root_of(opened), target, ExportOptions())


@pytest.mark.parametrize("mode", MODES)
def test_commit(place: Path, mode: Mode) -> None:
    """What was half written is seen to be so, although the archive cannot be read twice."""
    repository, source = place / "repo", make_source(place / "source")
    data = gnu_tar(source, "--sparse")
    renew(repository, mode)
    commit(repository, source)
    with Repository.open(repository) as opened:
        expected = root_of(opened)
    renew(repository, mode)
    for _ in every_death(lambda: take_in(repository, data)):
        assert_sound(repository)
        tip = find_tip(repository)
        take_in(repository, data, "again")
        assert_sound(repository)
        with Repository.open(repository) as opened:
            assert root_of(opened, "again") == expected
            assert tip is None or root_of(opened) == expected
        assert os.listdir(repository / "tmp") == []
        renew(repository, mode)


def test_commit_with_workers(place: Path) -> None:
    """All deaths one after another: each commit finds what the ones before have left."""
    repository = place / "repo"
    members = [file(f"{number % 7}/{number}", b"%d" % number * 300) for number in range(200)]
    data = archive(*members, file("large", b"x" * (1 << 20) + b"y"))
    renew(repository, "bare-user")
    take_in(repository, data, "other")
    with Repository.open(repository) as opened:
        expected = root_of(opened, "other")
    renew(repository, "bare-user")
    for _ in every_death(lambda: take_in(repository, data), step=23):
        assert_sound(repository)
    assert_sound(repository)
    with Repository.open(repository) as opened:
        assert root_of(opened) == expected


def test_export(place: Path) -> None:
    repository = place / "repo"
    renew(repository, "bare-user")
    commit(repository, make_source(place / "source"))
    out = place / "out.tar"
    export(repository, out)
    whole = out.read_bytes()
    out.write_bytes(b"old")
    for _ in every_death(lambda: export(repository, out)):
        assert out.read_bytes() in {b"old", whole}
        out.write_bytes(b"old")


def layers(place: Path) -> Iterator[Path]:
    yield make_source(place / "base")
    layer = place / "layer"
    write(layer / "usr/.wh.bin")
    write(layer / "etc/.wh..wh..opq")
    write(layer / "etc/new", b"new")
    write(layer / "usr/share", b"a file for a directory")
    write(layer / "bin/tool", b"a directory for a link")
    yield layer


def test_checkout_with_whiteouts(place: Path) -> None:
    """Each file is there whole or not at all; who does it again gets what he should."""
    repository = place / "repo"
    renew(repository, "bare-user")
    for source in layers(place):
        commit(repository, source, source.name)

    def lay(branch: str, out: Path) -> None:
        union = CheckoutOptions(user=True, union="overwrite", whiteouts=True)
        with Repository.open(repository) as opened:
            check_out(opened, out, branch, union)

    lay("base", place / "expected")
    lay("layer", place / "expected")
    expected = list_tree(place / "expected")
    lay("base", place / "out")
    for _ in every_death(lambda: lay("layer", place / "out")):
        lay("layer", place / "out")
        found = list_tree(place / "out")
        left = {path for path in found if b".ostreefs-" in path}
        assert {path: found[path] for path in found.keys() - left} == expected
        remove_tree(place / "out")
        lay("base", place / "out")
