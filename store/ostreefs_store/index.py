# SPDX-License-Identifier: LGPL-2.1-or-later
"""The index: one LMDB environment that knows every object and every ref.

::

    index/data.mdb
      files       file digest   -> canonical bytes of the file object
      trees       tree digest   -> canonical bytes of the tree object
      commits     commit id     -> canonical bytes of the commit object
      refs        ref (UTF-8)   -> commit id
      inodes      inode number (8 bytes, big-endian) -> file digest of the object file
      statcache   device and inode of a directory -> see `statcache`
      collisions  file digest   -> empty; objects whose first 62 bits another one shares

An object exists when the index says so; files under ``objects/`` that it does not know are left
from a crash and are never trusted. A write transaction is durable when it ends (LMDB syncs its
pages before the one that makes them current), and is wholly in effect or not at all.

LMDB (http://www.lmdb.tech/doc/) wants one environment a process, not used across a fork, and no
long read transactions in a process that lives long. `Index` is therefore opened late, and
`Snapshot` is meant to be short.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import lmdb

from ostreefs_store import durable
from ostreefs_store.errors import (
    IndexCorruptError,
    IndexFullError,
    ReadOnlyRepositoryError,
    StoreError,
)
from ostreefs_store.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

MAP_SIZE = 1 << 38
"""256 GiB of address space, not of disk: enough for a billion objects without a remap."""

_MAX_READERS = 1024
_FULL = 1 << 20
"""A filesystem with fewer bytes to spare is full."""
_REQUIRED = {"files", "trees", "commits", "refs"}
"""The others were added, or may be missing, in a repository that an older program made."""

_DATABASES = ("files", "trees", "commits", "refs", "inodes", "statcache", "collisions")

FILE_NUMBER_BITS = 62


def file_number(digest: bytes) -> int:
    """The first 62 bits of a file digest: what a mount shows as its inode number."""
    return int.from_bytes(digest[:8], "big") >> 2


class Index:
    """An open environment. Not to be used in a forked child."""

    def __init__(self, path: Path, environment: Any, databases: dict[str, Any]) -> None:
        self.path = path
        self._environment = environment
        self._databases = databases

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
        if writable and not create and not os.access(path / "data.mdb", os.W_OK):
            if not (path / "data.mdb").exists():
                raise IndexCorruptError(str(path), "data.mdb is missing")
            raise ReadOnlyRepositoryError(str(path.parent), "its index is read-only for you")
        with _translated(path):
            environment = lmdb.open(
                str(path),
                map_size=MAP_SIZE,
                max_dbs=16,
                max_readers=_MAX_READERS,
                readonly=not writable,
                create=create,
                # Readers that may not write the lock file (another user, read-only media) go
                # without; their transactions are short.
                lock=writable or os.access(path / "lock.mdb", os.W_OK),
            )
            try:
                _check_length(path, environment)
                if writable:
                    environment.reader_check()
                databases = {
                    name: _open_database(environment, name, create=create, writable=writable)
                    for name in _DATABASES
                }
            except BaseException:
                environment.close()
                raise
        return cls(path, environment, databases)

    def close(self) -> None:
        """Close the environment; every snapshot must have ended."""
        self._environment.close()

    def snapshot(self) -> Snapshot:
        """A consistent view for a `with` block; keep it short in a long-lived process."""
        with _translated(self.path):
            return Snapshot(self, self._environment.begin())

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A write transaction: durable when the block ends, undone when it raises.

        Waits for another writer. Dying before ``index:committed`` leaves the old state.
        """
        with _translated(self.path):
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
            with _translated(self._index.path):
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
        """The canonical bytes of a tree object."""
        found: bytes | None = self._get(digest, db=self._trees)
        return found

    def has_tree(self, digest: bytes) -> bool:
        """Whether a tree object exists, without reading it."""
        with self._transaction.cursor(self._trees) as cursor:
            found: bool = cursor.set_key(digest)
            return found

    def find_commit(self, digest: bytes) -> bytes | None:
        """The canonical bytes of a commit object."""
        return self._find("commits", digest)

    def find_ref(self, ref: str) -> Digest | None:
        """The commit that a ref names; None, too, for what no ref could be called."""
        found = self._find("refs", _ref_key(ref)) if ref else None
        return None if found is None else Digest(found)

    def find_by_inode(self, inode: int) -> Digest | None:
        """The file digest whose object file had this inode number when it was stored."""
        found = self._find("inodes", inode.to_bytes(8, "big"))
        return None if found is None else Digest(found)

    def find_directory_record(self, key: bytes) -> bytes | None:
        """What the stat cache knows of a directory."""
        return self._find("statcache", key)

    def find_by_number(self, number: int) -> tuple[Digest, bytes] | None:
        """The first file object (digest, canonical bytes) with this `file_number`."""
        with self._transaction.cursor(self._files) as cursor:
            if not cursor.set_range((number << 2).to_bytes(8, "big")):
                return None
            digest, encoded = cursor.item()
        return (Digest(digest), encoded) if file_number(digest) == number else None

    def has_collision(self, digest: bytes) -> bool:
        """Whether another file object shares this one's `file_number`."""
        return self._find("collisions", digest) is not None

    def collision_count(self) -> int:
        """How many file objects share their `file_number` with another."""
        return self.count("collisions")

    def commits_from(self, prefix: bytes) -> Iterator[tuple[Digest, bytes]]:
        """Commits (id, canonical bytes) in the order of their ids, from `prefix` on."""
        return self._from("commits", prefix)

    def iter_objects(self, kind: str) -> Iterator[tuple[Digest, bytes]]:
        """Every object of ``files``, ``trees`` or ``commits``, in the order of their digests."""
        return self._from(kind, b"")

    def iter_refs(self, prefix: str = "") -> Iterator[tuple[str, Digest]]:
        """Refs in order, those alone that are `prefix` or lie under it."""
        for key, value in self._from("refs", _ref_key(prefix)):
            ref = str(key, "utf-8")
            if prefix and ref != prefix and not ref.startswith(prefix + "/"):
                if not ref.startswith(prefix):
                    return
                continue
            yield ref, Digest(value)

    def count(self, database: str) -> int:
        """How many entries a database has."""
        handle = self._index.database(database)
        entries: int = 0 if handle is None else self._transaction.stat(handle)["entries"]
        return entries

    def _find(self, database: str, key: bytes) -> bytes | None:
        handle = self._index.database(database)
        found: bytes | None = None if handle is None else self._get(key, db=handle)
        return found

    def _from(self, database: str, prefix: bytes) -> Iterator[tuple[Any, bytes]]:
        with self._transaction.cursor(self._index.database(database)) as cursor:
            found = cursor.set_range(prefix) if prefix else cursor.first()
            if found:
                yield from cursor.iternext()


class Transaction(Snapshot):
    """A write transaction; see `Index.transaction`."""

    def put_files(self, files: Iterable[tuple[bytes, bytes]]) -> None:
        """Add file objects (digest, canonical bytes). Collisions of numbers are recorded."""
        items = sorted(files)
        if self.count("files"):
            items = [item for item in items if not self._is_known_file(item[0])]
        for (one, _), (other, _) in pairwise(items):
            if one[:7] == other[:7] and file_number(one) == file_number(other):
                self._record_collision(one, other)
        with self._transaction.cursor(self._files) as cursor:
            cursor.putmulti(items)

    def _is_known_file(self, digest: bytes) -> bool:
        """Whether a file object is here; records a collision with another one that is."""
        number = file_number(digest)
        with self._transaction.cursor(self._files) as cursor:
            found = cursor.set_range((number << 2).to_bytes(8, "big"))
            while found and file_number(cursor.key()) == number:
                if cursor.key() == digest:
                    return True
                self._record_collision(cursor.key(), digest)
                found = cursor.next()
        return False

    def put_trees(self, trees: Iterable[tuple[bytes, bytes]]) -> None:
        """Add tree objects (digest, canonical bytes)."""
        self._put_all("trees", trees)

    def put_commit(self, digest: Digest, encoded: bytes) -> None:
        """Add a commit object."""
        self._transaction.put(digest, encoded, db=self._index.database("commits"))

    def put_inodes(self, inodes: Iterable[tuple[int, Digest]]) -> None:
        """Remember which inode holds which object."""
        self._put_all("inodes", ((inode.to_bytes(8, "big"), digest) for inode, digest in inodes))

    def put_directory_records(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember directories in the stat cache."""
        self._put_all("statcache", records)

    def set_ref(self, ref: str, commit: Digest) -> None:
        """Make a ref name a commit. `refs` checks the name first."""
        self._transaction.put(ref.encode(), commit, db=self._index.database("refs"))

    def delete_ref(self, ref: str) -> bool:
        """Forget a ref; whether it was there."""
        deleted: bool = self._transaction.delete(ref.encode(), db=self._index.database("refs"))
        return deleted

    def commit(self) -> None:
        """Make everything durable and visible."""
        self._transaction.commit()

    def abort(self) -> None:
        """Undo everything."""
        self._transaction.abort()

    def _record_collision(self, one: bytes, other: bytes) -> None:
        database = self._index.database("collisions")
        for digest in (one, other):
            self._transaction.put(digest, b"", db=database)

    def _put_all(self, database: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        with self._transaction.cursor(self._index.database(database)) as cursor:
            cursor.putmulti(sorted(items))


def _ref_key(ref: str) -> bytes:
    """A ref as a key; anything that a person may type is one, if only one that is not there."""
    return ref.encode("utf-8", "surrogateescape")


def _check_length(path: Path, environment: Any) -> None:
    """Raise `IndexCorruptError` for a truncated file: LMDB would die of SIGBUS in the midst of it.

    LMDB may leave pages at the end unwritten that nothing refers to, so a short file is read
    wholly before it is condemned, in a child that may die of it.
    """
    wanted = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    found = os.stat(path / "data.mdb").st_size
    if found < wanted and not _is_readable(path, environment):
        raise IndexCorruptError(str(path), f"data.mdb has {found} bytes instead of {wanted}")


def _is_readable(path: Path, inherited: Any) -> bool:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            inherited.close()
            environment = lmdb.open(
                str(path), map_size=MAP_SIZE, max_dbs=16, readonly=True, create=False, lock=False
            )
            databases = [environment.open_db(name.encode(), create=False) for name in _DATABASES]
            with environment.begin() as transaction:
                for database in databases:
                    with transaction.cursor(database) as cursor:
                        for _ in cursor.iternext():
                            pass
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _open_database(environment: Any, name: str, *, create: bool, writable: bool) -> Any:
    """A named database; None when a repository that is only read has not got it yet."""
    is_required = name in _REQUIRED
    try:
        return environment.open_db(name.encode(), create=create or (writable and not is_required))
    except lmdb.NotFoundError:
        if is_required:
            raise
        return None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn LMDB's errors into ours, with the path."""
    try:
        yield
    except lmdb.MapFullError:
        raise IndexFullError(str(path), MAP_SIZE) from None
    except lmdb.DiskError:
        raise _os_error(errno.ENOSPC, path) from None
    except lmdb.ReadersFullError:
        raise StoreError(
            f"too many processes read the index {path} at once", hint="try again later"
        ) from None
    except lmdb.ReadonlyError as error:
        raise ReadOnlyRepositoryError(str(path.parent), str(error)) from None
    except lmdb.Error as error:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                raise _os_error(number, path) from None
        if os.strerror(errno.EIO) in str(error):  # also what LMDB makes of a write cut short
            number = errno.ENOSPC if _is_full(path) else errno.EIO
            raise _os_error(number, path) from None
        raise IndexCorruptError(str(path), str(error)) from None


def _is_full(path: Path) -> bool:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize < _FULL


def _os_error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
