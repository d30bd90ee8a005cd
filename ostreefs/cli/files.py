# SPDX-License-Identifier: LGPL-2.1-or-later
"""`ls` and `cat`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ostreefs.cli.items import KINDS, describe
from ostreefs.cli.output import print_json, print_line
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.model import (
    Digest,
    RegularFile,
    Symlink,
    Tree,
    Xattrs,
)
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.traverse import Node, find_node, iter_children, iter_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.index import Snapshot
    from ostreefs_store.repository import Repository

_CHUNK = 1 << 20


def add_ls_arguments(parser: Parser) -> None:
    """Options of `ls`, with ostree's spellings."""
    add = parser.add_argument
    add("-R", "--recursive", action="store_true", help="list directories recursively")
    add("-d", "--dironly", action="store_true", help="list directories themselves, not contents")
    add("-C", "--checksum", action="store_true", help="print the digest of each object")
    add("-X", "--xattrs", action="store_true", help="print extended attributes")
    add("--nul-filenames-only", action="store_true", help="print only names, each ended by NUL")
    add("revision", metavar="REV", help="the commit")
    add("paths", metavar="PATH", nargs="*", default=[], help="what to list (default: /)")


def run_ls(arguments: Arguments) -> int:
    """List paths of a commit."""
    documents: list[dict[str, object]] = []
    with arguments.open_repository() as repository, repository.index.snapshot() as snapshot:
        root = read_commit(snapshot, resolve(snapshot, arguments.revision)).root
        for node in _listed(snapshot, root, arguments):
            if arguments.json:
                documents.append({"path": node.path, **describe(node.digest, node.item)})
            elif arguments.nul_filenames_only:
                sys.stdout.buffer.write(node.path + b"\0")
            else:
                print_line(_format(node, checksum=arguments.checksum, xattrs=arguments.xattrs))
    if arguments.json:
        print_json(documents)
    return 0


def _listed(snapshot: Snapshot, root: Digest, arguments: Arguments) -> Iterator[Node]:
    for path in arguments.paths or ["/"]:
        node = find_node(snapshot, root, os.fsencode(path))
        if arguments.recursive and not arguments.dironly:
            yield from iter_nodes(snapshot, node)
            continue
        yield node
        if isinstance(node.item, Tree) and not arguments.dironly:
            yield from iter_children(snapshot, node)


def _format(node: Node, *, checksum: bool, xattrs: bool) -> bytes:
    item = node.item
    size = item.size if isinstance(item, RegularFile) else 0
    line = f"{KINDS[type(item)][0]}{item.mode:05o} {item.uid} {item.gid} {size:6d} "
    if checksum:
        line += f"{node.digest.hex()} "
    if xattrs:
        line += f"{{{_format_xattrs(item.xattrs)}}} "
    arrow = b" -> " + item.target if isinstance(item, Symlink) else b""
    return line.encode() + node.path + arrow


def _format_xattrs(xattrs: Xattrs) -> str:
    return ", ".join(
        f"{name.decode(errors='backslashreplace')}=0x{value.hex()}" for name, value in xattrs
    )


def add_cat_arguments(parser: Parser) -> None:
    """Options of `cat`."""
    parser.add_argument("revision", metavar="REV", help="the commit")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a regular file")


def run_cat(arguments: Arguments) -> int:
    """Print regular files of a commit, one after another."""
    with arguments.open_repository() as repository, repository.in_use():
        with repository.index.snapshot() as snapshot:
            root = read_commit(snapshot, resolve(snapshot, arguments.revision)).root
            nodes = [find_node(snapshot, root, os.fsencode(path)) for path in arguments.paths]
        for node in nodes:
            _print_file(repository, node)
    return 0


def _print_file(repository: Repository, node: Node) -> None:
    if not isinstance(node.item, RegularFile):
        raise PathNotFoundError(node.path, f"is not a regular file ({KINDS[type(node.item)][1]})")
    if node.item.size == 0:
        return
    with open(repository.open_content(node.digest, node.item), "rb") as file:
        while data := file.read(_CHUNK):
            sys.stdout.buffer.write(data)
