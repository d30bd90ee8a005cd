# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deleting a source that a commit has consumed.

Comes last, when the commit is durable, and deletes only what is still the file that was taken in:
sockets, and what came or was replaced since, stay. A crash in between leaves a part of the source.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.beneath import open_beneath
from ostreefs_store.parallel import map_unordered

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOB_FILES = 512


class TakenFile(NamedTuple):
    """A file as it was taken in; one that became an object has lost its mtime since."""

    name: str
    inode: int
    size: int
    mtime: int


class TakenDirectory(NamedTuple):
    """A directory of the source, relative to it, and its files."""

    path: bytes
    files: list[TakenFile]


class Left(NamedTuple):
    """Something that was not deleted, relative to the source, and why."""

    path: bytes
    reason: str


_Job = list[TakenDirectory]


def delete_source(source_fd: int, source: str, directories: list[TakenDirectory]) -> list[Left]:
    """Delete what was taken in, then the directories that are empty; what had to be left.

    `directories` has parents first, the source itself as the first; `source_fd` is the source as
    it was opened for the commit, `source` its path. Raises nothing for a single file.
    """

    def delete(job: _Job) -> list[Left]:
        return [left for directory in job for left in _delete_files(source_fd, directory)]

    left = [entry for answer in map_unordered(delete, _jobs(directories)) for entry in answer]
    for directory in reversed(directories[1:]):
        above, name = os.path.split(directory.path)
        try:
            with open_beneath(source_fd, above) as fd:
                os.rmdir(name, dir_fd=fd)
        except OSError as error:
            left.append(Left(directory.path, error.strerror or str(error)))
    try:
        own = os.path.realpath(source)
        if os.path.samestat(os.stat(own), os.fstat(source_fd)):
            os.rmdir(own)
    except OSError as error:
        left.append(Left(b"", error.strerror or str(error)))
    return left


def _delete_files(source_fd: int, directory: TakenDirectory) -> Iterator[Left]:
    try:
        with open_beneath(source_fd, directory.path) as fd:
            for file in directory.files:
                reason = _delete_file(fd, file)
                if reason is not None:
                    yield Left(os.path.join(directory.path, os.fsencode(file.name)), reason)
    except OSError as error:
        yield Left(directory.path, error.strerror or str(error))


def _delete_file(dir_fd: int, file: TakenFile) -> str | None:
    try:
        found = os.stat(file.name, dir_fd=dir_fd, follow_symlinks=False)
        same = (found.st_ino, found.st_size) == (file.inode, file.size)
        if not same or found.st_mtime_ns not in {0, file.mtime}:
            return "it has changed since it was committed"
        os.unlink(file.name, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None


def _jobs(directories: list[TakenDirectory]) -> Iterator[_Job]:
    job: _Job = []
    count = 0
    for path, files in directories:
        for start in range(0, len(files), _JOB_FILES):
            piece = files[start : start + _JOB_FILES]
            job.append(TakenDirectory(path, piece))
            count += len(piece)
            if count >= _JOB_FILES:
                yield job
                job, count = [], 0
    if job:
        yield job
