# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tar archives for tests: made member by member, and taken into a repository."""

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any

from ostreefs_store.batch import Batch
from ostreefs_store.committing.commit import Target, write_commit
from ostreefs_store.layer import flatten
from ostreefs_store.model import Digest
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from ostreefs_store.tar.tarimport import TarContents, TarSource, read_tar
from tests.support.trees import MESSAGE

NO_MODIFIERS = Modifiers()


def member(name: str | bytes, kind: bytes = tarfile.REGTYPE, **facts: Any) -> tarfile.TarInfo:
    """A header; `facts` are attributes of `tarfile.TarInfo`."""
    info = tarfile.TarInfo(os.fsdecode(name))
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def archive(
    *members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], format_: int = tarfile.PAX_FORMAT
) -> bytes:
    """An archive of members, regular ones with their content."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=format_, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for item in members:
            info, content = item if isinstance(item, tuple) else (item, b"")
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def file(
    name: str | bytes, content: bytes = b"content", **facts: Any
) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file."""
    return member(name, **facts), content


def directory(name: str | bytes, mode: int = 0o755, **facts: Any) -> tarfile.TarInfo:
    """A directory."""
    return member(name, tarfile.DIRTYPE, mode=mode, **facts)


def read_archive(
    repository: Repository,
    data: bytes | IO[bytes],
    batch: Batch | None = None,
    modifiers: Modifiers = NO_MODIFIERS,
    *,
    whiteouts: bool = False,
) -> TarContents:
    """Read an archive; what it says goes into `batch`."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    source = TarSource(stream, "test.tar", whiteouts)
    return read_tar(repository, source, modifiers, Batch() if batch is None else batch)


def commit_archive(
    repository: Repository,
    data: bytes | IO[bytes],
    branch: str = "main",
    modifiers: Modifiers = NO_MODIFIERS,
) -> Digest:
    """Commit an archive that lies on nothing; the digest of its tree."""
    batch = Batch()
    with repository.in_use(writing=True):
        contents = read_archive(repository, data, batch, modifiers)
        root, trees = flatten(contents.layer)
        batch.trees.update(trees)
        write_commit(repository, batch, root, MESSAGE, Target(branch))
    return root


def gnu_tar(source: Path, *options: str, members: tuple[str, ...] = (".",)) -> bytes:
    """What GNU tar makes of a directory, with everything it can tell unless options say not."""
    command = ["tar", "--create", "--numeric-owner"]
    if not any(option.startswith("--format") for option in options):
        command += ["--format=posix", "--xattrs", "--xattrs-include=*", "--acls"]
    done = subprocess.run(
        [*command, *options, "-C", source, *members],
        check=True,
        capture_output=True,
    )
    return done.stdout


def bsdtar(source: Path, *options: str) -> bytes:
    """What bsdtar makes of a directory."""
    command = ["bsdtar", "--create", "--xattrs", "--acls", "--numeric-owner", "--format=pax"]
    done = subprocess.run(
        [*command, *options, "-C", source, "-f", "-", "."], check=False, capture_output=True
    )
    return done.stdout
