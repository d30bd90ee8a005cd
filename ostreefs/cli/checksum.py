# SPDX-License-Identifier: LGPL-2.1-or-later
"""`checksum`."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import parse_id
from ostreefs.cli.output import print_json, print_line
from ostreefs_store.checking.derive import derive_directory, derive_file
from ostreefs_store.codec import encode_file, file_digest
from ostreefs_store.content import hash_file
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.modifiers import Modifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import Digest

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def add_checksum_arguments(parser: Parser) -> None:
    """Options of `checksum`, with the spellings of ostree and of `commit`."""
    add = parser.add_argument
    add(
        "--content",
        action="store_true",
        help="print the digest of a file's bytes alone, as b3sum does",
    )
    add(
        "--ignore-xattrs",
        action="store_true",
        help="leave extended attributes out, as commit --no-xattrs does",
    )
    add("--owner-uid", type=parse_id, metavar="UID", help="as if everything had this owner")
    add("--owner-gid", type=parse_id, metavar="GID", help="as if everything had this group")
    add("paths", metavar="PATH", nargs="+", help="a file or directory")


def run_checksum(arguments: Arguments) -> int:
    """Print digests: alone for one path, with the paths for several."""
    documents: list[dict[str, object]] = []
    for path, kind, digest in _digests(arguments):
        if arguments.json:
            documents.append({"path": path, "kind": kind, "digest": digest.hex()})
        elif len(arguments.paths) == 1:
            print(digest.hex())
        else:
            print_line(f"{digest.hex()}  ".encode() + os.fsencode(path))
    if arguments.json:
        print_json(documents)
    return 0


def _digests(arguments: Arguments) -> Iterator[tuple[str, str, Digest]]:
    modifiers = Modifiers(arguments.owner_uid, arguments.owner_gid, not arguments.ignore_xattrs)
    for path in arguments.paths:
        if arguments.content:
            yield path, "content", _hash_content(path)
        elif stat.S_ISDIR(os.lstat(path).st_mode):
            yield path, "tree", derive_directory(path, modifiers).root
        else:
            yield path, "file", _hash_file_object(path, modifiers)


def _hash_content(path: str) -> Digest:
    """The content digest of what b3sum would read, too: symbolic links are followed."""
    fd = os.open(path, _FILE)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise PathNotFoundError(os.fsencode(path), "is not a regular file")
        return hash_file(fd, found.st_size)
    finally:
        os.close(fd)


def _hash_file_object(path: str, modifiers: Modifiers) -> Digest:
    above, name = os.path.split(path)
    dir_fd = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return file_digest(encode_file(derive_file(dir_fd, name, modifiers)))
    except ValueError:
        raise PathNotFoundError(os.fsencode(path), "sockets are in no commit") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(dir_fd)
