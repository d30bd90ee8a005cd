# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening an LMDB environment, and what can go wrong with one. Knows nothing of its contents.

LMDB (http://www.lmdb.tech/doc/) wants one environment a process, not used across a fork, and no
long read transactions in a process that lives long.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import lmdb

from ostreefs_store.errors import (
    IndexCorruptError,
    IndexFullError,
    ReadOnlyRepositoryError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAP_SIZE = 1 << 38
"""256 GiB of address space, not of disk: enough for a billion objects without a remap."""

_MAX_DATABASES = 32
_MAX_READERS = 1024
_FULL = 1 << 20
"""A filesystem with fewer bytes to spare is full."""


class Database(NamedTuple):
    """A named database. A repository that an older program made may lack one not `required`.

    `several`: a key may have several values, all of the same size (LMDB's DUPFIXED).
    """

    name: str
    required: bool = False
    several: bool = False


def open_environment(
    path: Path, databases: Sequence[Database], *, writable: bool, create: bool
) -> tuple[Any, dict[str, Any]]:
    """Open an environment and its databases; None for one that cannot be made and is not there.

    Raises `IndexCorruptError` when it is missing or damaged, `ReadOnlyRepositoryError` when
    writing was asked for and is not allowed.
    """
    if writable and not create and not os.access(path / "data.mdb", os.W_OK):
        if not (path / "data.mdb").exists():
            raise IndexCorruptError(str(path), "data.mdb is missing")
        raise ReadOnlyRepositoryError(str(path.parent), "its index is read-only for you")
    with translated(path):
        environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE,
            max_dbs=_MAX_DATABASES,
            max_readers=_MAX_READERS,
            readonly=not writable,
            create=create,
            # Readers that may not write the lock file (another user, read-only media) go
            # without; their transactions are short.
            lock=writable or os.access(path / "lock.mdb", os.W_OK),
        )
        try:
            _check_length(path, environment, databases)
            if writable:
                environment.reader_check()
            handles = {
                database.name: _open_database(
                    environment, database, create=create, writable=writable
                )
                for database in databases
            }
        except BaseException:
            environment.close()
            raise
    return environment, handles


def _open_database(environment: Any, database: Database, *, create: bool, writable: bool) -> Any:
    try:
        return environment.open_db(
            database.name.encode(),
            create=create or (writable and not database.required),
            dupsort=database.several,
            dupfixed=database.several,
        )
    except lmdb.NotFoundError:
        if database.required:
            raise
        return None


class Extent:
    """Notices that ``data.mdb`` became shorter under us: to touch what is gone would kill us.

    LMDB never shortens it, so whoever did was no writer of ours. Asking takes 0.3 us. What is cut
    off in the midst of a transaction is not noticed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    def check(self) -> None:
        """Raise `IndexCorruptError` while the file is shorter than it was once."""
        size = os.lseek(self._fd, 0, os.SEEK_END)
        if size != self._size:
            if size < self._size:
                raise IndexCorruptError(
                    str(self._path), f"data.mdb was cut off at {size} of {self._size} bytes"
                )
            self._size = size

    def close(self) -> None:
        """Look no more; harmless when that was said before."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _check_length(path: Path, environment: Any, databases: Sequence[Database]) -> None:
    """Raise `IndexCorruptError` for a truncated file: LMDB would die of SIGBUS in the midst of it.

    LMDB may leave pages at the end unwritten that nothing refers to, so a short file is read
    wholly before it is condemned, in a child that may die of it.
    """
    wanted = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    found = os.stat(path / "data.mdb").st_size
    if found < wanted and not _is_readable(path, environment, databases):
        raise IndexCorruptError(str(path), f"data.mdb has {found} bytes instead of {wanted}")


def _is_readable(path: Path, inherited: Any, databases: Sequence[Database]) -> bool:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            inherited.close()
            environment = lmdb.open(
                str(path),
                map_size=MAP_SIZE,
                max_dbs=_MAX_DATABASES,
                readonly=True,
                create=False,
                lock=False,
            )
            handles = [
                _open_database(environment, database, create=False, writable=False)
                for database in databases
            ]
            with environment.begin() as transaction:
                for handle in filter(None, handles):
                    with transaction.cursor(handle) as cursor:
                        for _ in cursor.iternext():
                            pass
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


@contextmanager
def translated(path: Path) -> Iterator[None]:
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
