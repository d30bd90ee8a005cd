# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether deployments are what their commits say, and making them so again.

Everything is read: a file that was changed through one of its hard links has the wrong content in
the repository and in every deployment that shares it. So a repair first makes the object whole,
from a copy of its content elsewhere, and then links it anew wherever something else is. Each path
is replaced by a rename; what has a file open keeps what it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs.sysroot.deploy import checkout_options, find_kernel_of
from ostreefs.sysroot.kernels import find_damaged, replace_parts
from ostreefs.sysroot.protect import set_immutable
from ostreefs_store import durable
from ostreefs_store.beneath import open_beneath, remove_beneath
from ostreefs_store.checking.fsck import Problem
from ostreefs_store.checking.repair import Outcome, open_directories, repair_objects
from ostreefs_store.checkouts.checkout import checkout
from ostreefs_store.comparing.diff import Change, diff_trees, is_change
from ostreefs_store.comparing.sides import CommitSide, DirectorySide, join_objects
from ostreefs_store.metadata import rewrite_metadata
from ostreefs_store.model import BlockDevice, CharDevice, Digest, RegularFile, Symlink, Tree
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import read_commit
from ostreefs_store.traverse import read_tree_object
from ostreefs_store.verify import inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ostreefs.sysroot.deployments import Deployment
    from ostreefs.sysroot.layout import Sysroot
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository


class Verdict(NamedTuple):
    """What is wrong with a deployment. The changes lead from its commit to what is there."""

    deployment: Deployment
    changes: tuple[Change, ...] = ()
    kernel: tuple[str, ...] = ()
    """Files of its kernel that are damaged or missing."""
    problem: str = ""
    """Why nothing could be compared."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.changes or self.kernel or self.problem)


def verify_deployment(sysroot: Sysroot, repository: Repository, deployment: Deployment) -> Verdict:
    """Compare a deployment with its commit, and its kernel. Raises `OSError`."""
    origin = deployment.origin
    if origin is None:
        return Verdict(deployment, problem=f"its origin cannot be read: {deployment.damage}")
    with repository.index.snapshot() as snapshot:
        if snapshot.find_commit(origin.commit) is None:
            return Verdict(deployment, problem=f"its commit {origin.commit.hex()} is missing")
        changes = tuple(_compare(repository, snapshot, deployment, origin.commit))
        kernel = find_kernel_of(snapshot, read_commit(snapshot, origin.commit))
        damaged = find_damaged(sysroot, kernel) if origin.boot and kernel is not None else ()
    return Verdict(deployment, changes, tuple(damaged))


def _compare(
    repository: Repository, snapshot: Snapshot, deployment: Deployment, commit: Digest
) -> list[Change]:
    wanted = CommitSide(repository, snapshot, commit.hex())
    found = DirectorySide(str(deployment.path), Modifiers())
    changes = diff_trees(join_objects(wanted, found), wanted.root, found.root)
    if not checkout_options().user:
        return list(changes)
    return [change for change in map(_as_user, changes) if _is_seen(change)]


def _as_user(change: Change) -> Change:
    """A change without what the checkout of an ordinary user cannot have."""
    if change.old is None or change.new is None:
        return change
    old, new = change.old.item, change.new.item
    fields = {"uid": new.uid, "gid": new.gid, "xattrs": new.xattrs}
    if not isinstance(old, Symlink):
        fields["mode"] = old.mode & 0o777
    return change._replace(old=change.old._replace(item=msgspec.structs.replace(old, **fields)))


def _is_seen(change: Change) -> bool:
    """Whether a change remains; device nodes, which he cannot make, may be missing."""
    is_device = change.old is not None and isinstance(change.old.item, CharDevice | BlockDevice)
    return is_change(change) and not (change.kind == "D" and is_device)


# ---- repair ----


def repair_deployment(
    sysroot: Sysroot, repository: Repository, verdict: Verdict, sources: Sequence[bytes]
) -> list[Outcome]:
    """Make a deployment what its commit says; the objects that had to be repaired for it.

    What cannot be repaired stays as it is. `sources` are directories with copies of content. The
    repository is in use. Raises `OSError`.
    """
    origin, path = verdict.deployment.origin, verdict.deployment.path
    if origin is None or verdict.problem:
        return []
    problems = find_damaged_objects(repository, verdict.changes)
    directories = open_directories(repository, sources, problems)
    outcomes = list(repair_objects(repository, problems, directories))
    lost = {o.problem.digest for o in outcomes if not o.repaired}
    with repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, origin.commit).root
        kernel = find_kernel_of(snapshot, read_commit(snapshot, origin.commit))
    set_immutable(path, immutable=False)
    try:
        _restore(repository, root, path, [c for c in verdict.changes if not _is_lost(c, lost)])
        if kernel is not None and not any(part.digest in lost for part in kernel.parts.values()):
            replace_parts(sysroot, repository, kernel, verdict.kernel)
    finally:
        set_immutable(path, immutable=True)
    return outcomes


def find_damaged_objects(repository: Repository, changes: Iterable[Change]) -> list[Problem]:
    """The objects that should be at these paths and are not whole themselves."""
    found: dict[Digest, Problem] = {}
    with repository.index.snapshot() as snapshot:
        for change in changes:
            item = change.old.item if change.old is not None else None
            if change.old is None or not isinstance(item, RegularFile) or not item.size:
                continue
            holder = snapshot.find_holder(change.old.digest)
            held = item if holder == change.old.digest else None
            fault = inspect(repository.objects, holder, held or _file_of(snapshot, holder, item))
            if fault is not None:
                name = change.old.digest.hex()
                found[change.old.digest] = Problem("file", name, **fault._asdict())
    return list(found.values())


def _file_of(snapshot: Snapshot, holder: Digest, item: RegularFile) -> RegularFile:
    from ostreefs_store.codec import read_file  # noqa: PLC0415 -- for twins alone

    encoded = snapshot.find_file(holder)
    found = read_file(encoded) if encoded is not None else item
    return found if isinstance(found, RegularFile) else item


def _is_lost(change: Change, lost: set[Digest]) -> bool:
    return change.old is not None and change.old.digest in lost


def _restore(repository: Repository, root: Digest, path: Path, changes: Sequence[Change]) -> None:
    """Delete what should not be there; then make what is missing or wrong, parents first."""
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for change in changes:
            if change.kind == "A":
                _remove(top, change.path)
        made: list[bytes] = []
        for change in changes:
            is_below = any(change.path.startswith(above + b"/") for above in made)
            if change.old is not None and not is_below:
                _make(repository, root, top, change)
                if change.kind == "D" and not isinstance(change.old.item, RegularFile):
                    made.append(change.path)
        durable.sync_filesystem(top)
    finally:
        os.close(top)


def _remove(top: int, path: bytes) -> None:
    above, _, name = path.strip(b"/").rpartition(b"/")
    try:
        with open_beneath(top, above) as fd:
            remove_beneath(fd, name)
    except (FileNotFoundError, NotADirectoryError):
        return  # what is above it went


def _make(repository: Repository, root: Digest, top: int, change: Change) -> None:
    """Put what a commit has at a path there; of a directory that is there its metadata alone."""
    assert change.old is not None
    digest = change.old.digest
    with repository.index.snapshot() as snapshot:
        directory = read_tree_object(snapshot, digest) if snapshot.has_tree(digest) else None
    above, _, name = change.path.strip(b"/").rpartition(b"/")
    options = checkout_options()._replace(subpath=change.path)
    if directory is not None and change.kind == "M":
        with open_beneath(top, change.path.strip(b"/")) as fd:
            _set_metadata(fd, directory, user=options.user)
        return
    with open_beneath(top, above) as fd:
        place = Path(f"/proc/self/fd/{fd}")
        if directory is not None:
            checkout(repository, root, place / os.fsdecode(name), options)
            return
        checkout(repository, root, place, options._replace(union="overwrite"))


def _set_metadata(fd: int, directory: Tree, *, user: bool) -> None:
    if user:
        os.fchmod(fd, directory.mode & 0o777)
    else:
        rewrite_metadata(fd, directory)
    os.utime(fd, (0, 0))
