# SPDX-License-Identifier: LGPL-2.1-or-later
"""/ostree/var: what every deployment has as /var.

It belongs to the machine. The first release that is deployed fills it with copies of what it has
at /var, since nothing there may be linked to objects; of later ones the directories are made that
are not there yet. Nothing that is there is ever replaced, written to or deleted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ostreefs.sysroot.layout import LITTER
from ostreefs_store import durable
from ostreefs_store.beneath import open_beneath
from ostreefs_store.checkouts.checkout import checkout
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.metadata import rewrite_metadata
from ostreefs_store.model import Tree
from ostreefs_store.traverse import find_node, iter_children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository
    from ostreefs_store.traverse import Node

_VAR = b"/var"


def ensure_var(sysroot: Sysroot, repository: Repository, root: Digest) -> list[bytes]:
    """Give /ostree/var what a release has and it lacks, durably; the directories that were added.

    An empty one is filled in one step: after a crash it is empty or whole. The repository is in
    use.
    """
    var = sysroot.ostree / "var"
    with repository.index.snapshot() as snapshot:
        directories = list(_iter_directories(snapshot, root))
    if not directories:
        return []
    durable.ensure_directory(var)
    if is_var_empty(sysroot):
        _fill(sysroot, repository, root)
        return []
    return _add_directories(sysroot, directories)


def is_var_empty(sysroot: Sysroot) -> bool:
    """Whether nothing is there, so that the next release fills it."""
    var = sysroot.ostree / "var"
    return not var.is_dir() or not any(var.iterdir())


def _iter_directories(snapshot: Snapshot, root: Digest) -> Iterator[Node]:
    """The directories of /var, itself first, parents before what they hold."""
    try:
        pending = [find_node(snapshot, root, _VAR)]
    except PathNotFoundError:
        return
    while pending:
        node = pending.pop()
        if isinstance(node.item, Tree):
            yield node
            if any(entry.is_tree for entry in node.item.entries):
                pending += iter_children(snapshot, node)


def _fill(sysroot: Sysroot, repository: Repository, root: Digest) -> None:
    staged = sysroot.ostree / f"{LITTER[0]}var"
    options = CheckoutOptions(user=os.geteuid() != 0, force_copy=True, subpath=_VAR)
    checkout(repository, root, staged, options)
    fd = os.open(sysroot.ostree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        durable.sync_filesystem(fd)
    finally:
        os.close(fd)
    durable.rename_new(staged, sysroot.ostree / "var")
    durable.sync_directory(sysroot.ostree)


def _add_directories(sysroot: Sysroot, directories: list[Node]) -> list[bytes]:
    """Make those that are not there; none through a symbolic link, or below a file."""
    added: list[bytes] = []
    top = os.open(sysroot.ostree / "var", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for node in directories[1:]:
            path = node.path.removeprefix(_VAR).strip(b"/")
            assert isinstance(node.item, Tree)
            with suppress(FileNotFoundError, NotADirectoryError):
                if _add_directory(top, path, node.item):
                    added.append(node.path)
        if added:
            durable.sync_filesystem(top)
    finally:
        os.close(top)
    return added


def _add_directory(top: int, path: bytes, tree: Tree) -> bool:
    above, _, name = path.rpartition(b"/")
    with open_beneath(top, above) as fd:
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            return False
        durable.trace("var:made")
        with open_beneath(fd, name) as made:
            if os.geteuid() == 0:
                rewrite_metadata(made, tree)
            else:
                os.fchmod(made, tree.mode & 0o777)
    return True
