# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making the tree that an order asks for, step after step, over the store.

Everything that is stored on the way is known to no index until the caller writes the commit; but
before commands run inside, what there is so far becomes a commit that no ref names, for them to be
mounted, and stays until the next prune.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, cast

from ostreefs.compose import dpkg
from ostreefs.compose.accounts import Accounts
from ostreefs.compose.architecture import check_architecture
from ostreefs.compose.conflicts import Ledger
from ostreefs.compose.deb import read_deb
from ostreefs.compose.errors import ConflictError, PackageError, StepError
from ostreefs.compose.owners import keep_owners
from ostreefs.compose.rpm import TarOfRpm, read_rpm
from ostreefs.compose.scratch import scratch_directory
from ostreefs.compose.steps import Directory, Order, Overlay, PackageFile, Run
from ostreefs.compose.tree import MadeTree
from ostreefs_store.batch import Batch
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.committing.compose import Composition, Source
from ostreefs_store.content import hash_file
from ostreefs_store.errors import PathNotFoundError, printable
from ostreefs_store.layer import Layer, WholeTree, nest
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import read_commit, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ostreefs.compose.conflicts import Conflict
    from ostreefs.compose.deb import Deb
    from ostreefs.compose.steps import Step
    from ostreefs_store.committing.ingest import Progress
    from ostreefs_store.layer import Item
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository
    from ostreefs_store.traverse import Place


class PackageNote(NamedTuple):
    """A package that became part of a tree, and what was not done for it.

    `is_registered`: the package database of the tree lists it.
    """

    kind: str
    name: str
    version: str
    architecture: str
    scripts: tuple[str, ...]
    is_registered: bool

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"{self.name} {self.version} ({self.architecture})"


class Outcome(NamedTuple):
    """A tree, and how it came about.

    `recorded` is the order with ids and digests in the place of names, so that it means the same
    for ever. `notes` are for a person.
    """

    root: Digest
    base: Digest
    base_root: Digest
    recorded: Order
    packages: tuple[PackageNote, ...]
    conflicts: tuple[Conflict, ...]
    replaced: dict[bytes, str]
    notes: tuple[str, ...]
    read_files: int
    read_bytes: int


class Runner(Protocol):
    """What runs commands inside a commit, one after the other over the same overlay."""

    def __call__(self, commit: Digest, commands: list[str], upper: Path) -> None:
        """Run them; `upper` has afterwards what they changed. Raises `CommandFailedError`."""


class Composer:
    """Applies the steps of an order to its base.

    Without a `runner` commands are left out, as for a rehearsal. `batch` has at the end what
    the index does not know yet.
    """

    def __init__(
        self,
        repository: Repository,
        order: Order,
        runner: Runner | None,
        progress: Progress | None = None,
    ) -> None:
        self.batch = Batch()
        self._repository = repository
        self._order = order
        self._runner = runner
        self._progress = progress
        self._ledger = Ledger(order.on_conflict)
        self._owned = Modifiers(order.owner_uid, order.owner_gid)
        self._tree = Composition(repository, self.batch, progress=progress)
        self._packages: list[PackageNote] = []
        self._notes: list[str] = []
        self._read_files = self._read_bytes = 0

    def apply(self) -> Outcome:
        """Apply all steps.

        Raises `ConflictError` before a command is run; the caller judges those of the outcome.
        Also what the steps raise: `StepError`, `PackageError`, `ArchitectureError`,
        `ArchiveError`, `CommandFailedError`, and what reading a directory raises.
        """
        order = self._order
        with self._repository.index.snapshot() as snapshot:
            base = resolve(snapshot, order.base)
            base_root = read_commit(snapshot, base).root
        self._tree.begin(base.hex())
        recorded: list[Step] = []
        for step, following in zip(order.steps, (*order.steps[1:], None), strict=True):
            recorded.append(self._apply(step))
            if isinstance(step, Run) and not isinstance(following, Run):
                self._run(_last_commands(recorded))
        self._finish_tree()
        self._note_scripts()
        return Outcome(
            self._root,
            base,
            base_root,
            order._replace(base=base.hex(), steps=tuple(recorded)),
            tuple(self._packages),
            tuple(self._ledger.conflicts),
            self._ledger.replaced,
            tuple(self._notes),
            self._read_files,
            self._read_bytes,
        )

    @property
    def _root(self) -> Digest:
        assert self._tree.root is not None
        return self._tree.root

    @contextmanager
    def _made(self) -> Iterator[MadeTree]:
        """The tree as it is now."""
        with self._repository.index.snapshot() as snapshot:
            yield MadeTree(self._repository, snapshot, self.batch, self._root)

    def _apply(self, step: Step) -> Step:
        """Apply a step, and give it back with what it turned out to be."""
        self._ledger.begin(step.label)
        match step:
            case Overlay():
                return self._overlay(step)
            case Directory():
                return self._directory(step)
            case PackageFile():
                return self._package(step)
            case _:
                return step

    # ---- commits and directories

    def _overlay(self, step: Overlay) -> Step:
        with self._repository.index.snapshot() as snapshot:
            commit = resolve(snapshot, step.revision)
            root = read_commit(snapshot, commit).root
            source = MadeTree(self._repository, snapshot, self.batch, root)
            place = _find(source, step, step.subpath)
        if place.entry is None:
            raise StepError(
                step.label,
                f"the commit has no {step.subpath}",
                hint=f"'ostreefs ls {step.revision} /' shows what it has",
            )
        is_tree, digest = place.entry
        name = place.names[-1] if place.names else b""
        self._lay_at(step, WholeTree(digest) if is_tree else digest, step.dest, name)
        return step._replace(revision=commit.hex())

    def _directory(self, step: Directory) -> Step:
        layer = self._tree.read(Source("dir", step.path), self._owned)
        assert isinstance(layer, WholeTree)
        if step.tree is not None and layer.digest.hex() != step.tree:
            raise StepError(
                step.label,
                f"it is not what it was: its tree is {layer.digest.hex()}, not {step.tree}",
                hint="take 'tree' out of the recipe to have it as it is now",
            )
        self._lay_at(step, layer, step.dest, b"")
        return step._replace(path=os.path.abspath(step.path), tree=layer.digest.hex())

    def _lay_at(self, step: Overlay | Directory, item: Item, dest: str, name: bytes) -> None:
        """Lay a tree over what is at a path, or put a file there or into the directory there."""
        with self._made() as made:
            place = _find(made, step, dest)
        names = place.names
        if not isinstance(item, WholeTree) and (
            dest.endswith("/") or (place.entry is not None and place.entry[0])
        ):
            names += (name,)
        self._lay(nest(item, names))

    def _lay(self, layer: Layer | WholeTree) -> None:
        self._tree.lay(layer, as_installed=True, watcher=self._ledger)

    # ---- packages

    def _package(self, step: PackageFile) -> Step:
        with open(step.path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hash_file(file.fileno(), size).hex()
            if step.digest is not None and digest != step.digest:
                raise PackageError(
                    step.path,
                    f"it is not the file of the recipe: its digest is {digest}, not {step.digest}",
                    hint="take 'digest' out of the recipe to use it all the same",
                )
            if step.kind == "deb":
                self._deb(file, step.path)
            else:
                self._rpm(file, step.path)
        return step._replace(path=os.path.abspath(step.path), digest=digest)

    def _deb(self, file: IO[bytes], path: str) -> None:
        deb = read_deb(file, path)
        control = deb.control
        with self._made() as made:
            check_architecture(made, path, control.architecture, "deb")
            is_registered = dpkg.has_database(made)
        layer = self._read_archive(deb.data, path)
        self._lay(layer)
        if is_registered:
            self._register(deb, layer)
        about = (control.name, control.version, control.architecture)
        self._note(PackageNote("deb", *about, deb.scripts, is_registered))

    def _register(self, deb: Deb, layer: Layer | WholeTree) -> None:
        with self._made() as made:
            gone = (dpkg.find_obsolete(made, deb, layer), dpkg.find_old_records(made, deb))
            records = dpkg.make_records(made, deb, layer)
        for deletions in gone:
            if deletions is not None:
                self._tree.lay(deletions)
        archive = self._read_archive(io.BytesIO(records), "the records of dpkg")
        self._tree.lay(archive, as_installed=True)

    def _rpm(self, file: IO[bytes], path: str) -> None:
        rpm = read_rpm(file, path)
        with self._made() as made:
            check_architecture(made, path, rpm.architecture, "rpm")
            accounts = Accounts(made)
        stream = TarOfRpm(rpm, accounts.find_uid, accounts.find_gid)
        self._lay(self._read_archive(cast("IO[bytes]", stream), path))
        self._notes += [
            f"{path}: the base has no {name}: its files are root's"
            for name in sorted(accounts.unknown)
        ]
        about = (rpm.name, rpm.version, rpm.architecture)
        self._note(PackageNote("rpm", *about, rpm.scripts, is_registered=False))

    def _read_archive(self, stream: IO[bytes], path: str) -> Layer | WholeTree:
        return self._tree.read(Source("tar", path, stream))

    def _note(self, package: PackageNote) -> None:
        """Note a package; by the end of all steps a command may have run its scripts."""
        self._packages.append(package)
        if package.kind == "rpm":
            self._notes.append(f"{package.label}: the rpm database does not list it")

    def _note_scripts(self) -> None:
        with self._made() as made:
            for package in self._packages:
                told = f"{package.label}: its scripts ({', '.join(package.scripts)}) were not run"
                if not package.scripts:
                    continue
                if not package.is_registered:
                    self._notes.append(told)
                elif not dpkg.is_configured(made, package.name):
                    self._notes.append(f"{told}: --run 'dpkg --configure -a' runs them")

    # ---- commands

    def _run(self, commands: list[str]) -> None:
        """Run commands inside what there is so far, and lay over it what they changed."""
        if self._runner is None:
            self._notes += [f"'{command}' was not run" for command in commands]
            return
        if self._order.on_conflict == "fail" and self._ledger.conflicts:
            raise ConflictError(self._ledger.conflicts)
        self._finish_tree()
        message = Message("(before --run)", "", 0, {})
        target = Target(None, "none")
        commit, _ = write_commit(self._repository, self.batch, self._root, message, target)
        self.batch = Batch()
        self._tree = Composition(self._repository, self.batch, progress=self._progress)
        self._tree.begin(commit.hex())
        with scratch_directory() as place:
            upper = place / "upper"
            upper.mkdir()
            self._runner(commit, commands, upper)
            layer = self._read_changes(upper)
        self._tree.lay(layer, replace=True)

    def _read_changes(self, upper: Path) -> Layer:
        """Store what commands have changed, with the owners that are to be recorded."""
        is_root = os.geteuid() == 0
        modifiers = Modifiers() if is_root else Modifiers(0, 0)
        layer = self._tree.read(Source("overlay", str(upper)), modifiers)
        assert isinstance(layer, Layer)
        if not is_root:
            with self._repository.index.snapshot() as snapshot:
                keep_owners(snapshot, self.batch, self._root, layer)
        return layer

    def _finish_tree(self) -> None:
        made = self._tree.finish()
        self._read_files += made.read_files
        self._read_bytes += made.read_bytes
        self._notes += [
            f"{path}: {printable(skipped)} is a socket and was left out"
            for path, ingested in made.directories
            for skipped in ingested.skipped
        ]


def _last_commands(steps: list[Step]) -> list[str]:
    """The commands of the runs that a list of steps ends with, in order."""
    commands: list[str] = []
    for step in reversed(steps):
        if not isinstance(step, Run):
            break
        commands.insert(0, step.command)
    return commands


def _find(tree: MadeTree, step: Overlay | Directory, path: str) -> Place:
    try:
        return tree.find(os.fsencode(path))
    except PathNotFoundError as error:
        raise StepError(
            step.label, str(error), hint="name a directory, or a new name in one"
        ) from None
