# SPDX-License-Identifier: LGPL-2.1-or-later
"""A repository: its folder, its configuration, and the parts that hold its data.

::

    repo/
      config.toml   format version, mode, feature flags; written last, makes it a repository
      lock          what shared and exclusive users flock(2)
      index/        see `index`
      objects/      see `objects`
      tmp/          staging; what a crash leaves here is removed under the exclusive lock
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from ostreefs_store import dates, durable
from ostreefs_store.codec import read_file
from ostreefs_store.config import (
    CONFIG_NAME,
    TWINS,
    Config,
    format_config,
    parse_config,
    with_feature,
)
from ostreefs_store.errors import (
    NotARepositoryError,
    ReadOnlyRepositoryError,
    RepositoryExistsError,
)
from ostreefs_store.index import Index
from ostreefs_store.lock import LOCK_NAME, exclusive_lock, shared_lock
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import Mode, ObjectFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest


class Repository:
    """An open repository; a context manager. Not to be used in a forked child."""

    def __init__(
        self,
        path: Path,
        config: Config,
        index: Index,
        objects: ObjectFiles,
        *,
        writable: bool,
    ) -> None:
        self.writable = writable
        self.path = path
        self.config = config
        self.index = index
        self.objects = objects

    @classmethod
    def init(cls, path: Path, mode: Mode) -> bool:
        """Make a repository; whether it is new.

        An interrupted init is completed by the next one; until ``config.toml`` is there nothing
        takes the folder for a repository. Raises `RepositoryExistsError` when the place holds
        something else, or a repository of another mode.
        """
        if (path / CONFIG_NAME).exists():
            with cls.open(path) as present:
                if present.config.mode != mode:
                    detail = f"a repository of mode {present.config.mode} is there"
                    raise RepositoryExistsError(str(path), detail)
            return False
        if path.exists() and not path.is_dir():
            raise RepositoryExistsError(str(path), "it is not a directory")
        path.mkdir(parents=True, exist_ok=True)
        foreign = {p.name for p in path.iterdir() if not p.name.startswith(".tmp-")}
        if foreign - {"objects", "tmp", "index", LOCK_NAME}:
            raise RepositoryExistsError(str(path), "the directory is not empty")
        ObjectFiles.create(path)
        durable.ensure_directory(path / "index")
        Index.create(path / "index")
        (path / LOCK_NAME).touch(mode=0o644)
        durable.sync_directory(path / "index")
        durable.sync_directory(path.parent)
        durable.write_file(path / CONFIG_NAME, format_config(mode).encode())
        return True

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> Repository:
        """Open a repository.

        Raises `NotARepositoryError`, `UnsupportedFormatError`, `ReadOnlyRepositoryError`,
        `IndexCorruptError`.
        """
        config_path = path / CONFIG_NAME
        try:
            text = config_path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            detail = f"it has no {CONFIG_NAME}" if path.exists() else "there is no such directory"
            raise NotARepositoryError(str(path), detail) from None
        except UnicodeDecodeError:
            raise NotARepositoryError(str(path), f"{CONFIG_NAME} is not text") from None
        config = parse_config(text, str(path), writable=writable)
        if writable and not os.access(path / "objects", os.W_OK):
            raise ReadOnlyRepositoryError(str(path), "its objects are read-only for you")
        objects = ObjectFiles(path, config.mode)
        try:
            index = Index.open(path / "index", writable=writable)
        except BaseException:
            objects.close()
            raise
        index.reflog_limit = lambda: config.reflog_limit
        opened = cls(path, config, index, objects, writable=writable)
        if writable:
            dates.complete(index)
        if writable and config.missing:
            opened._upgrade(text)
        return opened

    @classmethod
    def open_best(cls, path: Path) -> Repository:
        """Open a repository for writing where that is allowed, else for reading. As `open`."""
        try:
            return cls.open(path, writable=True)
        except ReadOnlyRepositoryError:
            return cls.open(path)

    def _upgrade(self, config: str) -> None:
        """Make a repository of an older program ready for what this one writes.

        Dying in between leaves one that is ready, and knows no content yet of what it holds: that
        is read again when it comes again.
        """
        for feature in self.config.missing:
            config = with_feature(config, feature)
        durable.write_file(self.path / CONFIG_NAME, config.encode())
        if TWINS not in self.config.missing:
            return
        with self.index.transaction() as transaction:
            transaction.put_all("content", list(_contents(transaction)))

    def open_content(self, digest: Digest, file: RegularFile) -> int:
        """Open the object file that holds the content of a file object, by its twin if need be.

        Raises `ObjectMissingError`, `ObjectCorruptError`.
        """
        with self.index.snapshot() as snapshot:
            holder = snapshot.find_holder(digest)
        return self.objects.open_checked(holder, file)

    def read_config(self) -> str:
        """The text of ``config.toml``, which was found sound when the repository was opened."""
        return (self.path / CONFIG_NAME).read_text("utf-8")

    def edit_config(self, edit: Callable[[str], str]) -> None:
        """Replace ``config.toml`` by what `edit` makes of its text; wholly or not at all.

        The index's write lock keeps two editors apart. The repository is in use.
        """
        with self.index.transaction():
            text = edit(self.read_config())
            parse_config(text, str(self.path), writable=True)
            durable.write_file(self.path / CONFIG_NAME, text.encode())

    def close(self) -> None:
        """Close it."""
        self.index.close()
        self.objects.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def in_use(self, *, writing: bool = False) -> Iterator[None]:
        """Keep every object where it is while the block runs.

        A writer that finds itself alone first removes what crashes left in ``tmp``, and beside
        ``config.toml``.
        """
        with shared_lock(self.path, when_alone=self._clean if writing else None):
            yield

    @contextmanager
    def alone(self, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Let nobody else use object files or write while the block runs, see `exclusive_lock`."""
        with exclusive_lock(self.path, on_wait=on_wait):
            if self.writable:
                self._clean()
            yield

    def _clean(self) -> None:
        self.objects.clean_staging()
        for path in self.path.glob(".tmp-*"):
            path.unlink()


def _contents(snapshot: Snapshot) -> Iterator[tuple[Digest, Digest]]:
    """(content digest, file digest) of every object that has an object file."""
    for digest, encoded in snapshot.iter_objects("files"):
        file = read_file(encoded)
        if isinstance(file, RegularFile) and file.size and snapshot.find_holder(digest) == digest:
            yield file.content, digest
