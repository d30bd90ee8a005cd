# SPDX-License-Identifier: LGPL-2.1-or-later
"""One tree from several sources: directories, commits, archives, upper directories.

They are laid over one another in the order given, each stored as far as it is new. The sources are
read one after the other; merging them works on metadata alone.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal, NamedTuple

from ostreefs_store.committing.ingest import Ingested, ingest_directory
from ostreefs_store.committing.merge import Merger
from ostreefs_store.committing.retouch import ModeOverride, modify_tree, override_modes
from ostreefs_store.committing.scan import SourceOptions
from ostreefs_store.committing.sharing import share_inodes
from ostreefs_store.committing.upper import read_upper
from ostreefs_store.layer import DEFAULT_HEAD, Layer, WholeTree
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from ostreefs_store.batch import Batch
    from ostreefs_store.committing.ingest import Progress
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository

Kind = Literal["dir", "ref", "tar", "overlay"]


class Source(NamedTuple):
    """Where a tree comes from.

    `value` is a path, or a revision; `stream` is the archive of a tar source, open for reading.
    """

    kind: Kind
    value: str
    stream: IO[bytes] | None = None
    whiteouts: bool = False


class Recipe(NamedTuple):
    """What to make of sources: the commit to begin with, and what to change on the way."""

    sources: list[Source]
    base: str | None = None
    modifiers: Modifiers = Modifiers()
    options: SourceOptions = SourceOptions()
    overrides: dict[bytes, ModeOverride] | None = None


class Composed(NamedTuple):
    """The tree, and what was read for it. `directories` has one for each directory source."""

    root: Digest
    directories: list[tuple[str, Ingested]]
    read_files: int
    read_bytes: int


def compose(
    repository: Repository, recipe: Recipe, batch: Batch, progress: Progress | None = None
) -> Composed:
    """Store what sources hold, and lay them over one another; see `Recipe`.

    No modifiers apply to the base. Raises what `ingest_directory`, `read_tar`, `read_upper` and
    `resolve` raise, `TreeConflictError`, `OverridePathsError`.
    """
    run = _Composition(repository, recipe, batch, progress)
    return run.run()


class _Composition:
    def __init__(
        self, repository: Repository, recipe: Recipe, batch: Batch, progress: Progress | None
    ) -> None:
        self._repository = repository
        self._recipe = recipe
        self._batch = batch
        self._progress = progress
        self._directories: list[tuple[str, Ingested]] = []
        self._read_files = self._read_bytes = 0

    def run(self) -> Composed:
        root = None if self._recipe.base is None else self._root_of(self._recipe.base)
        default = self._recipe.modifiers.apply(DEFAULT_HEAD)
        for source in self._recipe.sources:
            above = self._read(source)
            replace = source.kind == "overlay" or source.whiteouts
            with self._repository.index.snapshot() as snapshot:
                merger = Merger(snapshot, self._batch, replace=replace, default=default)
                root = merger.lay(root, above)
        assert root is not None
        share_inodes(self._repository, self._batch)
        if self._recipe.overrides:
            with self._repository.index.snapshot() as snapshot:
                root = override_modes(snapshot, self._batch, root, self._recipe.overrides)
        if len(self._recipe.sources) > 1 or self._recipe.base or self._recipe.overrides:
            self._batch.keep_trees_of(root)
        return Composed(root, self._directories, self._read_files, self._read_bytes)

    def _read(self, source: Source) -> Layer | WholeTree:
        match source.kind:
            case "ref":
                return self._read_ref(source)
            case "tar":
                return self._read_tar(source)
            case _:
                return self._read_directory(source)

    def _read_directory(self, source: Source) -> Layer | WholeTree:
        recipe = self._recipe
        what = (self._repository, source.value, recipe.modifiers, self._batch)
        above: Layer | WholeTree
        if source.kind == "overlay":
            above, ingested = read_upper(*what, options=recipe.options, progress=self._progress)
        else:
            ingested = ingest_directory(*what, options=recipe.options, progress=self._progress)
            above = WholeTree(ingested.root)
        self._count(source.value, ingested)
        return above

    def _read_ref(self, source: Source) -> WholeTree:
        root = self._root_of(source.value)
        if self._recipe.modifiers != Modifiers():
            with self._repository.index.snapshot() as snapshot:
                root = modify_tree(snapshot, self._batch, root, self._recipe.modifiers)
        return WholeTree(root)

    def _read_tar(self, source: Source) -> Layer:
        from ostreefs_store.tar.tarimport import (  # noqa: PLC0415 -- tarfile, for archives alone
            TarSource,
            read_tar,
        )

        assert source.stream is not None
        skip = self._recipe.options.skip
        name = "standard input" if source.value == "-" else source.value
        archive = TarSource(source.stream, name, source.whiteouts, skip)
        contents = read_tar(
            self._repository, archive, self._recipe.modifiers, self._batch, self._progress
        )
        self._read_files += contents.read_files
        self._read_bytes += contents.read_bytes
        return contents.layer

    def _count(self, path: str, ingested: Ingested) -> None:
        self._directories.append((path, ingested))
        self._read_files += ingested.read_files
        self._read_bytes += ingested.read_bytes

    def _root_of(self, revision: str) -> Digest:
        with self._repository.index.snapshot() as snapshot:
            return read_commit(snapshot, resolve(snapshot, revision)).root
