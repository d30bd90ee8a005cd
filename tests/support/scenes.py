# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests that kill commands repeat: a repository that is new again, sound, as committed."""

import os
from pathlib import Path

from ostreefs_store.model import Digest
from ostreefs_store.objects import Mode
from ostreefs_store.repository import Repository
from tests.support.trees import (
    FILE_CAPS,
    Listing,
    check_out,
    ingest,
    list_tree,
    make_small_tree,
    make_sparse,
    problems_of,
    remove_tree,
    write,
)


def renew(repository: Path, mode: Mode) -> None:
    if repository.exists():
        remove_tree(repository)
    Repository.init(repository, mode)


def make_source(path: Path) -> Path:
    """Make a tree with something for every way that leads into a repository."""
    make_small_tree(path)
    make_sparse(path / "large", (1 << 20) + 9, {0: b"large enough to be staged"})
    if os.geteuid() == 0:
        os.chown(write(path / "setuid", b"of somebody"), 1234, 1234)
        (path / "setuid").chmod(0o4755)
        os.setxattr(path / "usr/bin/tool", "security.capability", FILE_CAPS)
        os.setxattr(path / "usr/bin/tool", "user.comment", b"a comment")
    return path


def commit(repository: Path, source: Path, branch: str = "main") -> None:
    with Repository.open(repository, writable=True) as opened:
        ingest(opened, source, branch)


def find_tip(repository: Path, ref: str = "main") -> Digest | None:
    with Repository.open(repository) as opened, opened.index.snapshot() as snapshot:
        return snapshot.find_ref(ref)


def assert_sound(repository: Path) -> None:
    with Repository.open(repository) as opened:
        assert problems_of(opened) == []


def committed(repository: Path, place: Path, revision: str = "main") -> Listing:
    """List what a revision holds, by a checkout."""
    out = place / "look"
    with Repository.open(repository) as opened:
        check_out(opened, out, revision)
    found = list_tree(out)
    remove_tree(out)
    return found
