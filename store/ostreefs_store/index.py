# SPDX-License-Identifier: LGPL-2.1-or-later
"""The index: one LMDB environment that knows every object and every ref.

::

    index/data.mdb
      files       file digest   -> canonical bytes of the file object
      trees       tree digest   -> canonical bytes of the tree object, see `packing`
      commits     commit id     -> canonical bytes of the commit object
      refs        ref (UTF-8)   -> commit id
      content     content digest -> file digests of the objects whose object file holds it
      twins       file digest   -> file digest of the object that holds its content
      inodes      inode number (8 bytes, big-endian) -> file digest of the object file
      statcache   device and inode of a directory -> see `statcache`
      collisions  file digest   -> empty; objects whose first 62 bits another one shares
      reflog      see `reflog`
      aliases     ref (UTF-8)   -> the ref that it stands for
      pins        name (UTF-8) -> commit id; what a prune keeps whatever the refs are
      grafts      commit id   -> the nearest ancestors behind parents that were pruned, end to end
      usage       see `usagerecords`
      bisections  see `bisections`

An object exists when the index says so; files under ``objects/`` that it does not know are left
from a crash and are never trusted. A *twin* is an object whose content was here already, under
other metadata, when it came: it has no object file, and is read through the one of its *holder*.
A holder is never a twin itself.

A write transaction is durable when it ends (LMDB syncs its pages before the one that makes them
current), and is wholly in effect or not at all. `Index` is to be opened late and not used across
a fork, and `Snapshot` is meant to be short: see `environment`.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import lmdb

from ostreefs_store import durable
from ostreefs_store.environment import Database, Extent, open_environment, translated
from ostreefs_store.model import Digest
from ostreefs_store.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

DATABASES = (
    Database("files", required=True),
    Database("trees", required=True),
    Database("commits", required=True),
    Database("refs", required=True),
    Database("content", several=True),
    *map(Database, ("twins", "inodes", "statcache", "collisions")),
    *map(Database, ("reflog", "aliases", "pins", "grafts", "usage", "dates", "bisections")),
)

ObjectFile = tuple[int, Digest, Digest]
"""An object file: its inode number, the file object it belongs to, the digest of its content."""

FILE_NUMBER_BITS = 62
_START = 7
"""Whole bytes of digests that have the same number in common."""


def file_number(digest: bytes) -> int:
    """The first 62 bits of a file digest: what a mount shows as its inode number."""
    return int.from_bytes(digest[:8], "big") >> 2


class Index:
    """An open environment. Not to be used in a forked child."""

    def __init__(self, path: Path, environment: Any, databases: dict[str, Any]) -> None:
        self.path = path
        self._environment = environment
        self._extent = Extent(path)
        self._databases = databases
        self.reflog_limit: Callable[[], int] = lambda: 1000

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty index in an existing directory; harmless when one is there."""
        cls._open(path, writable=True, create=True).close()

    @classmethod
    def open(cls, path: Path, *, writable: bool) -> Index:
        """Open an index for reading, or for reading and writing.

        Raises `IndexCorruptError` when it is missing or damaged, `ReadOnlyRepositoryError` when
        writing was asked for and is not allowed.
        """
        return cls._open(path, writable=writable, create=False)

    @classmethod
    def _open(cls, path: Path, *, writable: bool, create: bool) -> Index:
        environment, databases = open_environment(
            path, DATABASES, writable=writable, create=create
        )
        return cls(path, environment, databases)

    def reopen(self) -> Index:
        """For a forked child: an index of its own, to read. The one it inherited is closed."""
        self.close()
        return Index.open(self.path, writable=False)

    def close(self) -> None:
        """Close the environment; every snapshot must have ended."""
        self._extent.close()
        self._environment.close()

    def snapshot(self) -> Snapshot:
        """A consistent view for a `with` block; keep it short in a long-lived process.

        Raises `IndexCorruptError` when the index was truncated since it was opened.
        """
        self._extent.check()
        with translated(self.path):
            return Snapshot(self, self._environment.begin())

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A write transaction: durable when the block ends, undone when it raises.

        Waits for another writer. Dying before ``index:committed`` leaves the old state.
        """
        self._extent.check()
        with translated(self.path):
            # Workers that were ended leave their places in the table of readers, which would keep
            # pages from being used again, and run out in a process that commits often.
            self._environment.reader_check()
            transaction = Transaction(self, self._environment.begin(write=True))
            try:
                yield transaction
                durable.trace("index:before-commit")
            except BaseException:
                transaction.abort()
                raise
            transaction.commit()
            durable.trace("index:committed")

    def database(self, name: str) -> Any:
        """The handle of a named database."""
        return self._databases[name]


class Snapshot:
    """A read transaction. Values are canonical bytes; `codec` decodes them."""

    def __init__(self, index: Index, transaction: Any) -> None:
        self._index = index
        self._transaction = transaction
        self._get = transaction.get
        self._files = index.database("files")
        self._trees = index.database("trees")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transaction.abort()
        if isinstance(error, lmdb.Error):
            with translated(self._index.path):
                raise error

    def find_file(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a file object."""
        found: bytes | None = self._get(digest, db=self._files)
        return found

    def find_files(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the file objects that exist, by digest."""
        with self._transaction.cursor(self._files) as cursor:
            return dict(cursor.getmulti(digests))

    def find_tree(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a tree object. Raises `FormatError` for what is damaged."""
        found: bytes | None = self._get(digest, db=self._trees)
        return None if found is None else unpack(found)

    def has_tree(self, digest: bytes) -> bool:
        """Whether a tree object exists, without reading it."""
        with self._transaction.cursor(self._trees) as cursor:
            found: bool = cursor.set_key(digest)
            return found

    def find_commit(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a commit object."""
        return self.find("commits", digest)

    def find_ref(self, ref: str) -> Digest | None:
        """The commit that a ref or an alias names; None, too, for what no ref could be called."""
        if not ref:
            return None
        found = self.find("refs", _ref_key(ref))
        if found is None and (target := self.find_alias(ref)) is not None:
            found = self.find("refs", _ref_key(target))
        return None if found is None else Digest(found)

    def find_alias(self, ref: str) -> str | None:
        """The ref that an alias stands for; None for everything that is no alias."""
        found = self.find("aliases", _ref_key(ref)) if ref else None
        return None if found is None else str(found, "utf-8")

    def iter_aliases(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Aliases in order, with the refs that they stand for; see `iter_refs`."""
        for alias, target in self._refs_under("aliases", prefix):
            yield alias, str(target, "utf-8")

    def find_holder(self, digest: Digest) -> Digest:
        """The object whose object file holds the content of this one: itself unless a twin."""
        found = self.find("twins", digest)
        return digest if found is None else Digest(found)

    def find_holders(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        """The holders of those of the objects that are twins, by digest."""
        handle = self._index.database("twins")
        if handle is None or not self._transaction.stat(handle)["entries"]:
            return {}
        with self._transaction.cursor(handle) as cursor:
            return dict(cursor.getmulti(digests))

    def holders_of(self, content: bytes) -> list[Digest]:
        """The objects whose own object files hold this content."""
        handle = self._index.database("content")
        if handle is None:
            return []
        with self._transaction.cursor(handle) as cursor:
            return [Digest(d) for d in cursor.iternext_dup()] if cursor.set_key(content) else []

    def find_by_inode(self, inode: int) -> Digest | None:
        """The file digest whose object file had this inode number when it was stored."""
        found = self.find("inodes", inode.to_bytes(8, "big"))
        return None if found is None else Digest(found)

    def find_directory_record(self, key: bytes) -> bytes | None:
        """What the stat cache knows of a directory."""
        return self.find("statcache", key)

    def find_by_number(self, number: int) -> tuple[Digest, bytes] | None:
        """The first file object (digest, canonical bytes) with this `file_number`."""
        with self._transaction.cursor(self._files) as cursor:
            if not cursor.set_range((number << 2).to_bytes(8, "big")):
                return None
            digest, encoded = cursor.item()
        return (Digest(digest), encoded) if file_number(digest) == number else None

    def has_collision(self, digest: bytes) -> bool:
        """Whether another file object shares this one's `file_number`."""
        return self.find("collisions", digest) is not None

    def collision_count(self) -> int:
        """How many file objects share their `file_number` with another."""
        return self.count("collisions")

    def commits_from(self, prefix: bytes) -> Iterator[tuple[Digest, bytes]]:
        """Commits (id, canonical bytes) in the order of their ids, from `prefix` on."""
        return self.items_from("commits", prefix)

    def iter_objects(self, kind: str) -> Iterator[tuple[Digest, bytes]]:
        """Every object of ``files``, ``trees`` or ``commits``, in the order of their digests.

        A tree that is damaged in its stored form comes as it is stored: nobody can decode it.
        """
        items = self.items_from(kind)
        if kind == "trees":
            return ((digest, unpack(stored, strict=False)) for digest, stored in items)
        return items

    def iter_refs(self, prefix: str = "") -> Iterator[tuple[str, Digest]]:
        """Refs and aliases in order, those alone that are `prefix` or lie under it."""
        refs = ((ref, Digest(commit)) for ref, commit in self._refs_under("refs", prefix))
        if not self.count("aliases"):
            return refs
        found = ((alias, self.find_ref(alias)) for alias, _ in self.iter_aliases(prefix))
        aliases = [(alias, commit) for alias, commit in found if commit is not None]
        return iter(sorted([*refs, *aliases]))

    def _refs_under(self, database: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        for key, value in self.items_from(database, _ref_key(prefix)):
            ref = str(key, "utf-8")
            if prefix and ref != prefix and not ref.startswith(prefix + "/"):
                if not ref.startswith(prefix):
                    return
                continue
            yield ref, value

    @property
    def reflog_limit(self) -> int:
        """How many moves of each ref are kept, as the configuration says."""
        return self._index.reflog_limit()

    def count(self, database: str) -> int:
        """How many entries a database has."""
        handle = self._index.database(database)
        entries: int = 0 if handle is None else self._transaction.stat(handle)["entries"]
        return entries

    def find(self, database: str, key: bytes) -> bytes | None:
        """The value of a key, the first one where there are several."""
        handle = self._index.database(database)
        found: bytes | None = None if handle is None else self._get(key, db=handle)
        return found

    def items_from(self, database: str, prefix: bytes = b"") -> Iterator[tuple[Any, bytes]]:
        """Keys and values in the order of the keys, from `prefix` on."""
        handle = self._index.database(database)
        if handle is None:
            return
        with self._transaction.cursor(handle) as cursor:
            found = cursor.set_range(prefix) if prefix else cursor.first()
            if found:
                yield from cursor.iternext()

    def keys(self, database: str) -> list[bytes]:
        """All keys in order."""
        handle = self._index.database(database)
        if handle is None:
            return []
        with self._transaction.cursor(handle) as cursor:
            return [*cursor.iternext(values=False)]


class Transaction(Snapshot):
    """A write transaction; see `Index.transaction`."""

    def put_files(self, files: Iterable[tuple[Digest, bytes]]) -> list[Digest]:
        """Add file objects (digest, canonical bytes); the digests of those that are new, in order.

        Collisions of numbers are recorded.
        """
        items = sorted(files)
        starts = [digest[:_START] for digest, _ in items]
        if len(set(starts)) < len(starts):
            for (one, _), (other, _) in pairwise(items):
                if file_number(one) == file_number(other):
                    self._record_collision(one, other)
        if self.count("files") and (known := self._known_files(items, starts)):
            items = [item for item in items if item[0] not in known]
        with self._transaction.cursor(self._files) as cursor:
            cursor.putmulti(items)
        return [digest for digest, _ in items]

    def _known_files(self, items: list[tuple[Digest, bytes]], starts: list[bytes]) -> set[Digest]:
        """Those of some file objects that are here; records collisions with others that are.

        Most have no neighbour here that begins with the same bytes: that takes one look.
        """
        known = set()
        with self._transaction.cursor(self._files) as cursor:
            seek, key = cursor.set_range, cursor.key
            for start, (digest, _) in zip(starts, items, strict=True):
                is_alone = not seek(start) or not key().startswith(start)
                if not is_alone and self._is_known_file(cursor, digest):
                    known.add(digest)
        return known

    def _is_known_file(self, cursor: Any, digest: bytes) -> bool:
        """Whether a file object is here; records a collision with another one that is."""
        number = file_number(digest)
        found = cursor.set_range((number << 2).to_bytes(8, "big"))
        while found and file_number(key := cursor.key()) == number:
            if key == digest:
                return True
            self._record_collision(key, digest)
            found = cursor.next()
        return False

    def put_trees(self, trees: Iterable[tuple[bytes, bytes]]) -> None:
        """Add tree objects (digest, canonical bytes)."""
        self.put_all("trees", ((digest, pack(encoded)) for digest, encoded in trees))

    def put_commit(self, digest: Digest, encoded: bytes) -> None:
        """Add a commit object."""
        self.put("commits", digest, encoded)

    def put_object_files(self, stored: Sequence[ObjectFile]) -> None:
        """Note objects with a durable object file of their own, also those that were twins."""
        self.put_all("inodes", ((inode.to_bytes(8, "big"), digest) for inode, digest, _ in stored))
        self.put_all("content", ((content, digest) for _, digest, content in stored))
        if self.count("twins"):
            for _, digest, _ in stored:
                self.delete("twins", digest)

    def put_twins(self, twins: Iterable[tuple[Digest, Digest]]) -> None:
        """Note objects whose content another one holds, as (object, holder); quickly if sorted."""
        with self._transaction.cursor(self._index.database("twins")) as cursor:
            cursor.putmulti(twins)

    def put_directory_records(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember directories in the stat cache."""
        self.put_all("statcache", records)

    def set_ref(self, ref: str, commit: Digest) -> None:
        """Make a ref name a commit. `refs` checks the name first."""
        self.put("refs", ref.encode(), commit)

    def delete_ref(self, ref: str) -> bool:
        """Forget a ref; whether it was there."""
        return self.delete("refs", ref.encode())

    def put(self, database: str, key: bytes, value: bytes) -> None:
        """Set the value of a key, or add one where there may be several."""
        self._transaction.put(key, value, db=self._index.database(database))

    def put_all(self, database: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many; in any order, which is put right here."""
        with self._transaction.cursor(self._index.database(database)) as cursor:
            cursor.putmulti(sorted(items))

    def delete(self, database: str, key: bytes, value: bytes = b"") -> bool:
        """Forget a key, or one of its values; whether it was there."""
        deleted: bool = self._transaction.delete(key, value, db=self._index.database(database))
        return deleted

    def clear(self, database: str) -> None:
        """Forget all keys of a database."""
        self._transaction.drop(self._index.database(database), delete=False)

    def delete_all(self, database: str, keys: Iterable[bytes]) -> None:
        """Forget many keys with all their values; those that are not there are no error."""
        with self._transaction.cursor(self._index.database(database)) as cursor:
            for key in sorted(keys):
                if cursor.set_key(key):
                    cursor.delete(dupdata=True)

    def commit(self) -> None:
        """Make everything durable and visible."""
        self._transaction.commit()

    def abort(self) -> None:
        """Undo everything."""
        self._transaction.abort()

    def _record_collision(self, one: bytes, other: bytes) -> None:
        for digest in (one, other):
            self.put("collisions", digest, b"")


def _ref_key(ref: str) -> bytes:
    """A ref as a key; anything that a person may type is one, if only one that is not there."""
    return ref.encode("utf-8", "surrogateescape")
