# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sysroots for tests: releases in their repository, and deployments that can be deleted again."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ostreefs.sysroot.boot.choose import open_loader
from ostreefs.sysroot.deployments import State, list_trees, read_state
from ostreefs.sysroot.layout import Settings, Sysroot, init_fs, os_init
from ostreefs.sysroot.protect import set_immutable
from ostreefs_store.batch import Batch
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.committing.ingest import ingest_directory
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from tests.support.trees import remove_tree, write

OS = "demo"
REF = "demo/stable"


def release_files(version: str) -> dict[str, bytes]:
    """The files of a release: most of them as in any other."""
    return {
        "usr/lib/modules/6.1/vmlinuz": f"kernel of {version}".encode(),
        "usr/lib/modules/6.1/initramfs.img": b"the same initramfs",
        "usr/bin/tool": b"the same tool",
        "usr/lib/version": version.encode(),
        "etc/os-release": f"VERSION={version}\n".encode(),
        "etc/empty": b"",
    }


def make_sysroot(path: Path, bootloader: str = "bls") -> Sysroot:
    """Make an empty one that knows an operating system."""
    sysroot = init_fs(path, Settings(bootloader=bootloader), modern=True)
    os_init(sysroot, OS)
    return sysroot


def commit_release(
    sysroot: Sysroot,
    version: str,
    files: Mapping[str, bytes] | None = None,
    *,
    ref: str = REF,
    timestamp: int = 0,
    source: Path | None = None,
) -> str:
    """Commit a release to a ref; its id."""
    source = source or sysroot.root.parent / f"{sysroot.root.name}.source"
    for name, content in (release_files(version) if files is None else files).items():
        write(source / name, content)
    with (
        Repository.open(sysroot.repository, writable=True) as repository,
        repository.in_use(writing=True),
    ):
        batch = Batch()
        root = ingest_directory(repository, source, Modifiers(), batch).root
        message = Message(f"release {version}", "", timestamp, {"version": version})
        digest, _ = write_commit(repository, batch, root, message, Target(ref))
    remove_tree(source)
    return digest.hex()


def state_of(sysroot: Sysroot) -> State:
    """What a sysroot holds."""
    return read_state(sysroot, open_loader(sysroot))


def loosen(sysroot: Sysroot) -> None:
    """Let everything of a sysroot be deleted."""
    if sysroot.ostree.is_dir():
        for path in sysroot.ostree.iterdir():
            if path.is_dir() and not path.is_symlink():
                set_immutable(path, immutable=False)


def remove_sysroot(sysroot: Sysroot) -> None:
    """Delete a sysroot with all that is in it."""
    loosen(sysroot)
    if sysroot.root.exists():
        remove_tree(sysroot.root)


def copy_sysroot(source: Sysroot, target: Sysroot) -> None:
    """Put a copy of a sysroot in the place of another one, hard links and all."""
    remove_sysroot(target)
    target.root.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", source.root, target.root], check=True)


@contextmanager
def temporary_sysroot(path: Path, bootloader: str = "bls") -> Iterator[Sysroot]:
    """A sysroot that is deleted in the end, immutable directories and all."""
    sysroot = make_sysroot(path, bootloader)
    try:
        yield sysroot
    finally:
        remove_sysroot(sysroot)


def litter_of(sysroot: Sysroot) -> list[str]:
    """Whatever is there beside deployments and what belongs to them."""
    state = state_of(sysroot)
    known = {"repo", "var", "rebase.d", "lock", "sysroot.conf", "order", "current", *state.names}
    known |= {f"{name}.origin" for name in state.names}
    found = [path.name for path in sysroot.ostree.iterdir() if path.name not in known]
    used = {d.origin.boot for d in state.deployments if d.origin is not None}
    kernels = sysroot.boot / "ostreefs"
    if kernels.is_dir():
        found += [path.name for path in kernels.iterdir() if path.name not in used]
    entries = sysroot.boot / "loader/entries"
    if entries.is_dir():
        found += [path.name for path in entries.glob(".tmp-*")]
        ours = [path.name for path in entries.glob("ostreefs-*")]
        if len(ours) != len(state.names):
            found.append(f"boot entries {ours}")
    assert sorted(list_trees(sysroot)) == sorted(state.names)
    return sorted(found)
