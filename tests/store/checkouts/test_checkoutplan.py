# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whiteouts, and what is left out of a checkout."""

import os
import stat
from pathlib import Path

import pytest

from ostreefs_store.checkouts.checkout import checkout
from ostreefs_store.checkouts.filemaker import CheckoutOptions, Union
from ostreefs_store.errors import CheckoutConflictError
from ostreefs_store.repository import Repository
from tests.support.trees import (
    check_out,
    ingest,
    list_tree,
    make_deep_directory,
    make_small_tree,
    root_of,
    write,
)

UNIONS: list[Union] = ["overwrite", "add", "identical"]


def names_in(root: Path) -> set[str]:
    return {os.fsdecode(path) for path in list_tree(root)} - {"."}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What is there before: what a checkout of a base would be."""
    root = tmp_path / "out"
    write(root / "a/f", b"1")
    write(root / "a/b/g", b"2")
    write(root / "c/h", b"3")
    write(root / "c/deep/er/h", b"3")
    write(root / "top", b"4")
    (root / "link").symlink_to("a")
    write(root / "outside/kept", b"5")
    (root / "c/to-outside").symlink_to("../outside")
    return root


def lay(
    repository: Repository,
    layer: Path,
    out: Path,
    union: Union = "overwrite",
    *,
    whiteouts: bool = True,
) -> None:
    ingest(repository, layer)
    options = CheckoutOptions(user=True, union=union, whiteouts=whiteouts)
    check_out(repository, out, options=options)


@pytest.mark.parametrize("union", UNIONS)
def test_whiteouts(repository: Repository, tmp_path: Path, out: Path, union: Union) -> None:
    layer = tmp_path / "layer"
    write(layer / "a/.wh.f")
    write(layer / "a/.wh.b")
    write(layer / "a/.wh.nothing")
    write(layer / ".wh.top", b"not empty")
    write(layer / ".wh.link")
    write(layer / ".wh..wh.aufs")
    lay(repository, layer, out, union)
    kept = "a c c/h c/deep c/deep/er c/deep/er/h c/to-outside outside outside/kept"
    assert names_in(out) == set(kept.split())


def test_opaque_directories(repository: Repository, tmp_path: Path, out: Path) -> None:
    layer = tmp_path / "layer"
    write(layer / "c/.wh..wh..opq")
    write(layer / "c/new", b"new")
    write(layer / "never-there/.wh..wh..opq")
    (layer / "c").chmod(0o710)
    lay(repository, layer, out)
    assert names_in(out) >= {"c/new", "never-there", "outside/kept", "a/f"}
    assert not names_in(out) & {"c/h", "c/deep", "c/to-outside", "c/.wh..wh..opq"}
    assert stat.S_IMODE((out / "c").stat().st_mode) == 0o710


def test_an_opaque_root(repository: Repository, tmp_path: Path, out: Path) -> None:
    layer = tmp_path / "layer"
    write(layer / ".wh..wh..opq")
    write(layer / "new", b"new")
    layer.chmod(0o711)
    inode = out.stat().st_ino
    lay(repository, layer, out)
    assert names_in(out) == {"new"}
    assert (out.stat().st_ino, stat.S_IMODE(out.stat().st_mode)) == (inode, 0o711)


def test_kinds_replace_each_other(repository: Repository, tmp_path: Path, out: Path) -> None:
    layer = tmp_path / "layer"
    write(layer / "a", b"a file")
    write(layer / "top/below", b"below")
    (layer / "c").symlink_to("outside")
    write(layer / "link/below", b"not through it")
    lay(repository, layer, out)
    assert (out / "a").read_bytes() == b"a file"
    there = "a top top/below c link link/below outside outside/kept"
    assert names_in(out) == set(there.split())
    assert not (out / "link").is_symlink()


@pytest.mark.parametrize(
    ("union", "whiteouts"),
    [("overwrite", False), ("add", False), ("add", True), ("identical", True)],
)
def test_kinds_do_not_replace_each_other_otherwise(
    repository: Repository, tmp_path: Path, out: Path, union: Union, whiteouts: bool
) -> None:
    layer = tmp_path / "layer"
    write(layer / "top/below", b"below")
    with pytest.raises(CheckoutConflictError, match="top"):
        lay(repository, layer, out, union, whiteouts=whiteouts)
    assert (out / "top").read_bytes() == b"4"


def test_names_of_their_own_layer_stay(repository: Repository, tmp_path: Path, out: Path) -> None:
    """Whatever the order of the names."""
    layer = tmp_path / "layer"
    for name in ("-first", "top", "zlast"):
        write(out / name, b"old")
        write(layer / name, b"new")
        write(layer / f".wh.{name}")
    write(layer / "a/here", b"here")
    write(layer / ".wh.a")
    lay(repository, layer, out)
    assert {(out / name).read_bytes() for name in ("-first", "top", "zlast")} == {b"new"}
    assert {name for name in names_in(out) if name.startswith("a")} == {"a", "a/here"}


def test_links_and_directories_of_such_names(
    repository: Repository, tmp_path: Path, out: Path
) -> None:
    layer = tmp_path / "layer"
    (layer / ".wh.c").mkdir(parents=True)
    (layer / ".wh.a").symlink_to("nowhere")
    lay(repository, layer, out)
    assert names_in(out) >= {".wh.c", ".wh.a", "a/f", "c/h"}


def test_without_the_option_they_are_files(
    repository: Repository, tmp_path: Path, out: Path
) -> None:
    write(tmp_path / "layer/.wh.a")
    write(tmp_path / "layer/c/.wh..wh..opq")
    lay(repository, tmp_path / "layer", out, whiteouts=False)
    assert names_in(out) >= {".wh.a", "a/f", "c/.wh..wh..opq", "c/h"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_whiteouts_of_nothing(
    repository: Repository, tmp_path: Path, out: Path, name: str
) -> None:
    before = list_tree(tmp_path / "out")
    write(tmp_path / "layer/d" / name)
    with pytest.raises(CheckoutConflictError, match="whiteout of nothing"):
        lay(repository, tmp_path / "layer", out)
    assert {k: v for k, v in list_tree(out).items() if k != b"d"} == before


def test_into_a_new_place(repository: Repository, tmp_path: Path) -> None:
    write(tmp_path / "layer/.wh.a")
    write(tmp_path / "layer/b/.wh..wh..opq")
    write(tmp_path / "layer/b/c")
    lay(repository, tmp_path / "layer", tmp_path / "new", "none")
    assert names_in(tmp_path / "new") == {"b", "b/c"}


def test_a_deep_directory_is_deleted(repository: Repository, deep_path: Path) -> None:
    make_deep_directory(deep_path / "out", b"d" * 200, 1500)
    write(deep_path / "layer" / (".wh." + "d" * 200))
    lay(repository, deep_path / "layer", deep_path / "out")
    assert names_in(deep_path / "out") == set()


# ---- what is left out ----


@pytest.mark.parametrize(
    ("skip", "gone"),
    [
        ({b"usr/bin/tool"}, {"usr/bin/tool"}),
        ({b"usr/bin"}, {"usr/bin", "usr/bin/tool"}),
        ({b"bin", b"etc/fifo"}, {"bin", "etc/fifo"}),
        ({b"tool", b"nothing", b"usr/bin/tool/x"}, set()),
    ],
)
@pytest.mark.parametrize("union", ["none", "overwrite"])
def test_skip(
    any_repository: Repository, tmp_path: Path, skip: set[bytes], gone: set[str], union: Union
) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    options = CheckoutOptions(user=True, skip=frozenset(skip), union=union)
    check_out(any_repository, tmp_path / "out", options=options)
    assert names_in(tmp_path / "out") == names_in(source) - gone


def test_skip_is_relative_to_the_subpath(repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    options = CheckoutOptions(user=True, subpath=b"usr", skip=frozenset({b"lib", b"usr/share"}))
    check_out(repository, tmp_path / "out", options=options)
    assert names_in(tmp_path / "out") == {
        name for name in names_in(source / "usr") if not name.startswith("lib")
    }


def test_skip_everything(repository: Repository, tmp_path: Path) -> None:
    ingest(repository, make_small_tree(tmp_path / "source"))
    options = CheckoutOptions(skip=frozenset({b""}))
    assert checkout(repository, root_of(repository), tmp_path / "out", options).files == 0
    assert not (tmp_path / "out").exists()
