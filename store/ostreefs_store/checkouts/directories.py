# SPDX-License-Identifier: LGPL-2.1-or-later
"""The directories of a checkout: made before their files, finished after them.

A directory is made with the mode that it ends with where that lets its owner fill it, so that most
of them need nothing afterwards but their times.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ostreefs_store.beneath import DIRECTORY_FLAGS, open_beneath, remove_beneath
from ostreefs_store.errors import CheckoutConflictError
from ostreefs_store.metadata import Credentials, rewrite_metadata
from ostreefs_store.model import Tree

if TYPE_CHECKING:
    from collections.abc import Collection


class DirectoryMaker:
    """Makes directories beneath a root. The caller has set an empty umask."""

    def __init__(
        self, root_fd: int, *, user: bool, merge: bool, replace: bool, new_root: bool
    ) -> None:
        """`user`: keep no owner and no xattrs. `merge`: directories may be there already.

        `replace`: what is there and is no directory gives way to one.
        `new_root`: the root was made for this checkout and gets the metadata of its tree, too.
        """
        self._root_fd = root_fd
        self._user = user
        self._merge = merge
        self._replace = replace
        self._new_root = new_root
        self._credentials = Credentials.own()
        self._made: list[tuple[bytes, list[tuple[bytes, Tree]]]] = []
        if new_root:  # what it inherited from its folder it would pass on to everything in it
            rewrite_metadata(root_fd, Tree(0o700, *self._credentials, (), ()))

    def make(
        self, above: bytes, children: list[tuple[bytes, Tree]], anew: Collection[bytes] = ()
    ) -> None:
        """Make the directories (name, tree) in the directory `above`, where they are not there.

        Those in `anew` are deleted first if they are. Raises `CheckoutConflictError` when one may
        not be there, or is something else.
        """
        made: list[tuple[bytes, Tree]] = []
        with open_beneath(self._root_fd, above) as fd:
            for name, tree in children:
                if name in anew:
                    remove_beneath(fd, name)
                try:
                    os.mkdir(name, self._first_mode(tree), dir_fd=fd)
                except FileExistsError:
                    if self._is_merged(fd, above, name):
                        continue
                    os.mkdir(name, self._first_mode(tree), dir_fd=fd)
                made.append((name, tree))
        self._made.append((above, made))

    def _is_merged(self, fd: int, above: bytes, name: bytes) -> bool:
        """Whether what is there is a directory to be filled; what may give way is deleted."""
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if self._merge and stat.S_ISDIR(found.st_mode):
            return True
        if not self._replace:
            full = os.path.join(above, name)
            raise CheckoutConflictError(full, "something else is in its place")
        os.unlink(name, dir_fd=fd)
        return False

    def delete(self, above: bytes, names: Collection[bytes]) -> None:
        """Delete what is in the directory `above` at these names, if anything is."""
        if names:
            with open_beneath(self._root_fd, above) as fd:
                for name in names:
                    remove_beneath(fd, name)

    def finish(self, top: Tree) -> None:
        """Give what was made its owner, mode, xattrs and times, from the leaves up."""
        for above, children in reversed(self._made):
            with open_beneath(self._root_fd, above) as fd:
                for name, tree in children:
                    self._finish(fd, name, tree)
        if self._new_root:
            rewrite_metadata(self._root_fd, self._wanted(top))
            os.utime(self._root_fd, (0, 0))

    def _finish(self, parent_fd: int, name: bytes, tree: Tree) -> None:
        wanted = self._wanted(tree)
        is_plain = (wanted.uid, wanted.gid) == self._credentials and not wanted.xattrs
        if self._new_root and is_plain and self._first_mode(tree) == wanted.mode:
            os.utime(name, (0, 0), dir_fd=parent_fd, follow_symlinks=False)
            return
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=parent_fd)
        try:
            rewrite_metadata(fd, wanted)
            os.utime(fd, (0, 0))
        finally:
            os.close(fd)

    def _wanted(self, tree: Tree) -> Tree:
        """What the directory is to be in the end."""
        if not self._user:
            return tree
        return Tree(tree.mode & 0o777, *self._credentials, (), tree.entries)

    def _first_mode(self, tree: Tree) -> int:
        """The mode to make it with: the final one if that is safe, and lets us fill it."""
        wanted = self._wanted(tree)
        owned = (wanted.uid, wanted.gid) == self._credentials
        fillable = wanted.mode & 0o700 == 0o700 and wanted.mode == wanted.mode & 0o777
        return wanted.mode if owned and fillable else 0o700
