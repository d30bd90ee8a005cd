# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commits of several sources: upper directories of real overlays, modifiers, overrides."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.batch import Batch
from ostreefs_store.committing.bootable import bootable_metadata
from ostreefs_store.committing.commit import Target, write_commit
from ostreefs_store.committing.compose import Composed, Recipe, Source, compose
from ostreefs_store.committing.retouch import ModeOverride, parse_overrides
from ostreefs_store.committing.scan import SourceOptions
from ostreefs_store.errors import NoKernelError, OverridePathsError, UpperFeatureError
from ostreefs_store.model import Digest
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from ostreefs_store.traverse import find_node, iter_nodes
from tests.support.trees import (
    MESSAGE,
    check_out,
    list_tree,
    make_privileged_tree,
    make_small_tree,
    problems_of,
    settle,
    write,
)


def make(repository: Repository, recipe: Recipe, branch: str = "made") -> tuple[Composed, Batch]:
    batch = Batch()
    with repository.in_use(writing=True):
        composed = compose(repository, recipe, batch)
        write_commit(repository, batch, composed.root, MESSAGE, Target(branch))
    assert problems_of(repository) == []
    return composed, batch


@pytest.fixture
def base(repository: Repository, tmp_path: Path) -> Path:
    """A tree that is committed as `base`."""
    source = make_small_tree(tmp_path / "base")
    settle(source)
    make(repository, Recipe([Source("dir", str(source))]), "base")
    return source


# ---- upper directories of the kernel's overlayfs


class Overlay:
    """An overlay that is mounted over a directory."""

    def __init__(self, lower: Path, place: Path) -> None:
        self.upper, self.view = place / "upper", place / "view"
        self._work = place / "work"
        for path in (self.upper, self.view, self._work):
            path.mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={self.upper},workdir={self._work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self.view], check=True)

    def close(self) -> None:
        subprocess.run(["umount", self.view], check=True)


@pytest.fixture
def overlay(base: Path) -> Iterator[Overlay]:
    # An overlay cannot lie on another one, as a container's root is.
    place = Path("/dev/shm") / f"ostreefs-overlay-{os.getpid()}"
    subprocess.run(["rm", "-rf", place], check=True)
    lower = place / "lower"
    place.mkdir()
    subprocess.run(["cp", "-a", base, lower], check=True)
    mounted = Overlay(lower, place)
    yield mounted
    mounted.close()
    subprocess.run(["rm", "-rf", place], check=True)


def change_everything(view: Path) -> None:
    (view / "usr/lib/same").unlink()
    (view / "usr/bin/tool").write_bytes(b"another tool")
    (view / "usr/bin/tool").chmod(0o700)
    write(view / "usr/new/file", b"new")
    subprocess.run(["rm", "-r", view / "usr/share"], check=True)
    write(view / "usr/share/only", b"a directory made anew")
    (view / "bin").unlink()
    write(view / "bin/real", b"a directory for a link")
    subprocess.run(["rm", "-r", view / "etc/empty.d"], check=True)
    (view / "etc/empty.d").write_bytes(b"a file for a directory")
    (view / "usr/mode-0700").chmod(0o711)
    os.mknod(view / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


@pytest.mark.root
def test_an_overlay_becomes_what_it_showed(
    repository: Repository, overlay: Overlay, tmp_path: Path
) -> None:
    change_everything(overlay.view)
    expected = list_tree(overlay.view)
    recipe = Recipe([Source("overlay", str(overlay.upper))], base="base")
    composed, batch = make(repository, recipe)
    check_out(repository, tmp_path / "out", "made")
    assert list_tree(tmp_path / "out") == expected
    assert composed.read_files <= 6, "only what changed was read"
    assert not any(b"overlay" in encoded for encoded in batch.files.values())


@pytest.mark.root
def test_an_overlay_of_nothing_is_the_base(repository: Repository, overlay: Overlay) -> None:
    recipe = Recipe([Source("overlay", str(overlay.upper))], base="base")
    composed, batch = make(repository, recipe)
    with repository.index.snapshot() as snapshot:
        assert snapshot.find_ref("made") is not None
    assert composed.root == compose(repository, Recipe([], base="base"), Batch()).root
    assert batch.trees == {}


@pytest.mark.root
@pytest.mark.parametrize(
    ("mark", "feature"),
    [("trusted.overlay.metacopy", "metacopy"), ("trusted.overlay.redirect", "redirect_dir")],
)
def test_what_only_overlayfs_understands_is_refused(
    repository: Repository, base: Path, tmp_path: Path, mark: str, feature: str
) -> None:
    upper = tmp_path / "upper"
    path = write(upper / "usr/file", b"\0" * 10)
    os.setxattr(path if feature == "metacopy" else upper / "usr", mark, b"x")
    recipe = Recipe([Source("overlay", str(upper))], base="base")
    with pytest.raises(UpperFeatureError) as caught:
        compose(repository, recipe, Batch())
    assert caught.value.feature == feature
    assert b"usr" in caught.value.path


def test_marks_of_an_ordinary_user(repository: Repository, base: Path, tmp_path: Path) -> None:
    """As fuse-overlayfs makes them where there can be no device nodes."""
    upper = tmp_path / "upper"
    write(upper / "usr/lib/.wh.same")
    write(upper / "usr/share/.wh..wh..opq")
    write(upper / "usr/share/only", b"kept")
    (upper / "etc").mkdir()
    os.setxattr(upper / "etc", "user.overlay.opaque", b"y")
    make(repository, Recipe([Source("overlay", str(upper))], base="base"))
    check_out(repository, tmp_path / "out", "made")
    listed = set(list_tree(tmp_path / "out"))
    assert {name for name in listed if name.startswith((b"usr/share", b"etc"))} == {
        b"usr/share", b"usr/share/only", b"etc",
    }  # fmt: skip
    assert b"usr/lib/same" not in listed
    assert b"usr/lib/libtool.so" in listed
    assert os.listxattr(tmp_path / "out/etc") == []


# ---- several sources


def test_a_commit_under_a_directory(repository: Repository, base: Path, tmp_path: Path) -> None:
    mesa = write(tmp_path / "mesa/usr/lib/libtool.so", b"mine").parents[2]
    recipe = Recipe([Source("ref", "base"), Source("dir", str(mesa))])
    composed, batch = make(repository, recipe)
    check_out(repository, tmp_path / "out", "made")
    assert (tmp_path / "out/usr/lib/libtool.so").read_bytes() == b"mine"
    assert (tmp_path / "out/usr/lib/same").read_bytes() == b"same content"
    assert composed.read_files == 1
    with repository.index.snapshot() as snapshot:
        reached = {
            n.digest for n in iter_nodes(snapshot, find_node(snapshot, composed.root, b"/"))
        }
    assert set(batch.trees) <= reached, "trees that were laid over are not kept"


@pytest.mark.root
def test_modifiers_apply_to_commits_too(repository: Repository, tmp_path: Path) -> None:
    source = make_privileged_tree(tmp_path / "source")
    settle(source)
    make(repository, Recipe([Source("dir", str(source))]), "plain")
    modifiers = Modifiers(7, 8, xattrs=False, canonical=True, read_only_executables=True)
    expected = make(repository, Recipe([Source("dir", str(source))], modifiers=modifiers))[0].root
    recipe = Recipe([Source("ref", "plain")], modifiers=modifiers)
    composed, batch = make(repository, recipe, "again")
    assert composed.root == expected
    assert (composed.read_files, batch.object_files) == (0, [])
    recipe = Recipe([], base="plain", modifiers=modifiers)
    assert compose(repository, recipe, Batch()).root != expected, "none applies to the base"


@pytest.mark.parametrize(
    ("modifiers", "mode", "expected"),
    [
        (Modifiers(canonical=True), 0o6777, 0o755),
        (Modifiers(canonical=True), 0o640, 0o640),
        (Modifiers(read_only_executables=True), 0o775, 0o555),
        (Modifiers(read_only_executables=True), 0o664, 0o664),
    ],
)
def test_modes(modifiers: Modifiers, mode: int, expected: int) -> None:
    assert modifiers.mode(mode, is_regular=True) == expected


def test_owners() -> None:
    assert Modifiers().owner(3, 4) == (3, 4)
    assert Modifiers(owner_gid=9).owner(3, 4) == (3, 9)
    assert Modifiers(canonical=True).owner(3, 4) == (0, 0)
    assert Modifiers(owner_uid=7, canonical=True).owner(3, 4) == (7, 0)


# ---- statoverride and skip-list


def test_overrides_are_parsed() -> None:
    text = b"+2048 /usr/bin/tool\n=420 /etc/a b\n\n# a comment\n64 /plain\n"
    assert parse_overrides(text) == {
        b"usr/bin/tool": ModeOverride(0o4000, is_added=True),
        b"etc/a b": ModeOverride(0o644, is_added=False),
        b"plain": ModeOverride(0o100, is_added=True),
    }


@pytest.mark.parametrize("line", [b"+8x /a", b"+1 a", b"=99999 /a", b"/a", b"+1"])
def test_overrides_that_are_none(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^2$"):
        parse_overrides(b"+1 /fine\n" + line)


def test_modes_are_overridden(repository: Repository, base: Path, tmp_path: Path) -> None:
    overrides = parse_overrides(b"+2048 /usr/bin/tool\n=448 /usr/lib\n=320 /\n=256 /etc/fifo")
    recipe = Recipe([Source("dir", str(base))], overrides=overrides)
    _, batch = make(repository, recipe)
    assert batch.object_files == [], "no content is stored for a new mode"
    with repository.index.snapshot() as snapshot:
        assert snapshot.count("twins") == 1
    check_out(repository, tmp_path / "out", "made")
    listed = list_tree(tmp_path / "out")
    assert listed[b"usr/bin/tool"].mode == 0o4755
    assert (listed[b"usr/lib"].mode, listed[b"."].mode) == (0o700, 0o500)
    assert listed[b"etc/fifo"].mode == 0o400
    assert listed[b"usr/share"] == list_tree(base)[b"usr/share"]


@pytest.mark.parametrize("path", [b"none", b"usr/none/x", b"usr/bin/tool/x", b"bin"])
def test_overrides_of_what_is_not_there(repository: Repository, base: Path, path: bytes) -> None:
    overrides = {path: ModeOverride(0o644, is_added=False)}
    with pytest.raises(OverridePathsError) as caught:
        compose(repository, Recipe([Source("dir", str(base))], overrides=overrides), Batch())
    assert [found.lstrip(b"/") for found in caught.value.paths] == [path]


def test_paths_are_skipped(repository: Repository, base: Path, tmp_path: Path) -> None:
    skip = frozenset({b"usr/bin/tool", b"usr/share", b"none/at/all"})
    plain = compose(repository, Recipe([Source("dir", str(base))]), Batch()).root
    for branch in ("one", "two"):
        recipe = Recipe([Source("dir", str(base))], options=SourceOptions(skip=skip))
        make(repository, recipe, branch)
    check_out(repository, tmp_path / "out", "two")
    expected = {
        name: entry
        for name, entry in list_tree(base).items()
        if name != b"usr/bin/tool" and not name.startswith(b"usr/share")
    }
    assert list_tree(tmp_path / "out") == expected
    recipe = Recipe([Source("dir", str(base))])
    assert make(repository, recipe)[0].root == plain, "what was left out is not forgotten"


def test_a_hidden_change_is_seen_by_reading(repository: Repository, base: Path) -> None:
    """Mode and content changed, size and mtime as they were: only reading tells."""
    path = base / "usr/bin/tool"
    found = path.stat()
    path.write_bytes(bytes(found.st_size))
    path.chmod(0o700)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    settle(base)
    recipe = Recipe([Source("dir", str(base))], options=SourceOptions(trust=False))
    composed, _ = make(repository, recipe)
    assert composed.read_files == 7


# ---- bootable


def metadata_of(repository: Repository, root: Digest, batch: Batch) -> dict[str, object]:
    with repository.index.snapshot() as snapshot:
        return dict(bootable_metadata(snapshot, batch, root))


def test_bootable(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "usr/lib/modules/6.1.0/vmlinuz", b"kernel")
    write(source / "usr/lib/modules/broken/modules.dep", b"")
    batch = Batch()
    root = compose(repository, Recipe([Source("dir", str(source))]), batch).root
    assert metadata_of(repository, root, batch) == {
        "ostree.bootable": True,
        "ostree.linux": "6.1.0",
    }
    write(source / "usr/lib/modules/6.2.0/vmlinuz", b"kernel")
    batch = Batch()
    root = compose(repository, Recipe([Source("dir", str(source))]), batch).root
    with pytest.raises(NoKernelError, match=r"kernels 6\.1\.0, 6\.2\.0"):
        metadata_of(repository, root, batch)
    root = compose(repository, Recipe([Source("dir", str(tmp_path / "source/usr"))]), batch).root
    with pytest.raises(NoKernelError, match="no kernel"):
        metadata_of(repository, root, batch)
