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
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from ostreefs_store import durable
from ostreefs_store.codec import read_file
from ostreefs_store.errors import (
    NotARepositoryError,
    ReadOnlyRepositoryError,
    RepositoryExistsError,
    UnsupportedFormatError,
)
from ostreefs_store.index import Index
from ostreefs_store.lock import LOCK_NAME, exclusive_lock, shared_lock
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import MODES, Mode, ObjectFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

FORMAT_VERSION = 1
CONFIG_NAME = "config.toml"

TWINS = "twins"
"""The feature of having objects without an object file of their own, see `index`."""


class Config(NamedTuple):
    """What ``config.toml`` says."""

    mode: Mode
    has_twins: bool = True
    """Whether programs that know no twins are kept away."""


def format_config(config: Config) -> str:
    """The text of a new ``config.toml``."""
    return (
        "# ostreefs repository; see docs/format.md\n"
        "[repository]\n"
        f"format = {FORMAT_VERSION}\n"
        f'mode = "{config.mode}"\n'
        "\n"
        "# Features by what a program that does not know them may still do:\n"
        "# read and write, read alone, nothing.\n"
        "[features]\n"
        "compatible = []\n"
        "ro-compatible = []\n"
        f'incompatible = ["{TWINS}"]\n'
    )


def with_feature(text: str, feature: str) -> str:
    """A ``config.toml`` with one more incompatible feature; whatever else it says stays."""
    found = re.search(r"^incompatible\s*=\s*\[([^\]]*)\]", text, re.MULTILINE)
    if found:
        listed = ", ".join(filter(None, [found[1].strip().rstrip(","), f'"{feature}"']))
        return f"{text[: found.start()]}incompatible = [{listed}]{text[found.end() :]}"
    line = f'incompatible = ["{feature}"]\n'
    head = re.search(r"^\[features\][^\n]*\n", text, re.MULTILINE)
    if head:
        return text[: head.end()] + line + text[head.end() :]
    return f"{text.rstrip()}\n\n[features]\n{line}"


_PRISTINE = {format_config(Config(mode)): Config(mode) for mode in MODES}


def parse_config(text: str, path: str, *, writable: bool) -> Config:
    """What a ``config.toml`` says.

    Raises `UnsupportedFormatError` for a newer format or features that this program does not know,
    `NotARepositoryError` for text that is no such configuration.
    """
    if text in _PRISTINE:  # as nearly every repository has it; parsing TOML costs 10 ms
        return _PRISTINE[text]
    import tomllib  # noqa: PLC0415 -- see above

    try:
        document = tomllib.loads(text)
        section = document["repository"]
        version = section["format"]
        if version != FORMAT_VERSION:
            detail = f"its format is {version}, this program knows {FORMAT_VERSION}"
            raise UnsupportedFormatError(path, detail)
        mode = section["mode"]
        features = document.get("features", {})
        incompatible = list(features.get("incompatible", []))
        strange = [feature for feature in incompatible if feature != TWINS]
        if writable:
            strange += features.get("ro-compatible", [])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise NotARepositoryError(path, f"{CONFIG_NAME}: {error}") from None
    if strange:
        raise UnsupportedFormatError(path, f"features {', '.join(map(str, strange))}")
    if mode not in MODES:
        raise UnsupportedFormatError(path, f"mode {mode!r}")
    return Config(mode, TWINS in incompatible)


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
        durable.write_file(path / CONFIG_NAME, format_config(Config(mode)).encode())
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
        opened = cls(path, config, index, objects, writable=writable)
        if writable and not config.has_twins:
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
        """Make a repository of an older program ready for twins.

        Dying in between leaves one that is ready, and knows no content yet of what it holds: that
        is read again when it comes again.
        """
        durable.write_file(self.path / CONFIG_NAME, with_feature(config, TWINS).encode())
        with self.index.transaction() as transaction:
            transaction.put_all("content", list(_contents(transaction)))

    def open_content(self, digest: Digest, file: RegularFile) -> int:
        """Open the object file that holds the content of a file object, by its twin if need be.

        Raises `ObjectMissingError`, `ObjectCorruptError`.
        """
        with self.index.snapshot() as snapshot:
            holder = snapshot.find_holder(digest)
        return self.objects.open_checked(holder, file)

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
        """Have nobody else use any object while the block runs; `on_wait` if others do now."""
        with exclusive_lock(self.path, on_wait=on_wait):
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
