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
    from ostreefs_store.committing.merge import Watcher
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


_UNMODIFIED = Modifiers()
_PLAIN = SourceOptions()


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
    composition = Composition(
        repository, batch, modifiers=recipe.modifiers, options=recipe.options, progress=progress
    )
    if recipe.base is not None:
        composition.begin(recipe.base)
    for source in recipe.sources:
        replace = source.kind == "overlay" or source.whiteouts
        composition.lay(composition.read(source), replace=replace)
    is_layered = len(recipe.sources) > 1 or recipe.base is not None
    return composition.finish(recipe.overrides, is_layered=is_layered)


class Composition:
    """A tree in the making; what it needs that no index has goes into a batch."""

    def __init__(
        self,
        repository: Repository,
        batch: Batch,
        *,
        modifiers: Modifiers = _UNMODIFIED,
        options: SourceOptions = _PLAIN,
        progress: Progress | None = None,
    ) -> None:
        self.root: Digest | None = None
        self._repository = repository
        self._batch = batch
        self._modifiers = modifiers
        self._options = options
        self._progress = progress
        self._directories: list[tuple[str, Ingested]] = []
        self._read_files = self._read_bytes = 0

    def begin(self, revision: str) -> None:
        """Begin with the tree of a commit."""
        self.root = self._root_of(revision)

    def read(self, source: Source, modifiers: Modifiers | None = None) -> Layer | WholeTree:
        """Store what a source holds; with other modifiers than usual if they are given."""
        modifiers = self._modifiers if modifiers is None else modifiers
        match source.kind:
            case "ref":
                return self._read_ref(source, modifiers)
            case "tar":
                return self._read_tar(source, modifiers)
            case _:
                return self._read_directory(source, modifiers)

    def lay(
        self,
        above: Layer | WholeTree,
        *,
        replace: bool = False,
        as_installed: bool = False,
        watcher: Watcher | None = None,
    ) -> None:
        """Lay something over what there is so far, see `Merger`."""
        with self._repository.index.snapshot() as snapshot:
            merger = Merger(
                snapshot,
                self._batch,
                replace=replace,
                default=self._modifiers.apply(DEFAULT_HEAD),
                as_installed=as_installed,
                watcher=watcher,
            )
            self.root = merger.lay(self.root, above)

    def finish(
        self, overrides: dict[bytes, ModeOverride] | None = None, *, is_layered: bool = True
    ) -> Composed:
        """The tree; with `is_layered` trees that it does not need are dropped from the batch."""
        root = self.root
        assert root is not None
        share_inodes(self._repository, self._batch)
        if overrides:
            with self._repository.index.snapshot() as snapshot:
                root = override_modes(snapshot, self._batch, root, overrides)
        if is_layered or overrides:
            self._batch.keep_trees_of(root)
        return Composed(root, self._directories, self._read_files, self._read_bytes)

    def _read_directory(self, source: Source, modifiers: Modifiers) -> Layer | WholeTree:
        what = (self._repository, source.value, modifiers, self._batch)
        above: Layer | WholeTree
        if source.kind == "overlay":
            above, ingested = read_upper(*what, options=self._options, progress=self._progress)
        else:
            ingested = ingest_directory(*what, options=self._options, progress=self._progress)
            above = WholeTree(ingested.root)
        self._count(source.value, ingested)
        return above

    def _read_ref(self, source: Source, modifiers: Modifiers) -> WholeTree:
        root = self._root_of(source.value)
        if modifiers != Modifiers():
            with self._repository.index.snapshot() as snapshot:
                root = modify_tree(snapshot, self._batch, root, modifiers)
        return WholeTree(root)

    def _read_tar(self, source: Source, modifiers: Modifiers) -> Layer:
        from ostreefs_store.tar.tarimport import (  # noqa: PLC0415 -- tarfile, for archives alone
            TarSource,
            read_tar,
        )

        assert source.stream is not None
        skip = self._options.skip
        name = "standard input" if source.value == "-" else source.value
        archive = TarSource(source.stream, name, source.whiteouts, skip)
        contents = read_tar(self._repository, archive, modifiers, self._batch, self._progress)
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
