# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a namespace is made of: the directories and links that the kernel knows, and attributes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ostreefs_store.model import Digest


class Attributes(NamedTuple):
    """What stat(2) shows of a number. `fixed` ones never change."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    major: int
    minor: int
    fixed: bool


class StaleError(Exception):
    """A number that nothing has any more."""


class Node:
    """A directory, or a link that is no object, which the kernel knows under a number.

    `key` is the number under which it is the parent of others; a root that has taken the place of
    another one has a key of its own. `was_opened` says that the kernel may keep its list.
    """

    __slots__ = ("__weakref__", "key", "lookups", "name", "number", "parent", "was_opened")

    def __init__(self, parent: Node | None, name: bytes, number: int) -> None:
        self.parent = parent
        self.name = name
        self.number = self.key = number
        self.lookups = 0
        self.was_opened = False


class TreeNode(Node):
    """A directory of a commit; `commit` for a commit's root alone.

    A root is `retired` when the mount shows another commit by now.
    """

    __slots__ = ("commit", "digest", "retired")

    def __init__(
        self,
        parent: Node | None,
        name: bytes,
        number: int,
        digest: Digest,
        commit: Digest | None = None,
    ) -> None:
        super().__init__(parent, name, number)
        self.digest = digest
        self.commit = commit
        self.retired = False


class FileNode(Node):
    """A file of a commit with a number of its own, in a mount that shows each of them `apart`."""

    __slots__ = ("digest",)

    def __init__(self, parent: Node | None, name: bytes, number: int, digest: Digest) -> None:
        super().__init__(parent, name, number)
        self.digest = digest


class LinkNode(Node):
    """A symbolic link of the namespace itself."""

    __slots__ = ("target",)

    def __init__(self, parent: Node | None, name: bytes, number: int, target: bytes) -> None:
        super().__init__(parent, name, number)
        self.target = target


class TopNode(Node):
    """The root of a mount of all commits."""

    __slots__ = ()


class CommitsNode(Node):
    """The directory of all commits."""

    __slots__ = ()


class RefsNode(Node):
    """The directory of refs, or a folder of refs; `prefix` ends with a slash unless empty.

    In the directory of histories a ref is a directory.
    """

    __slots__ = ("is_history", "prefix")

    def __init__(
        self,
        parent: Node | None,
        name: bytes,
        number: int,
        prefix: str,
        *,
        is_history: bool = False,
    ) -> None:
        super().__init__(parent, name, number)
        self.prefix = prefix
        self.is_history = is_history


class RefHistoryNode(Node):
    """The commits that a ref leads to, by their distance."""

    __slots__ = ("ref",)

    def __init__(self, parent: Node | None, name: bytes, number: int, ref: str) -> None:
        super().__init__(parent, name, number)
        self.ref = ref


class DatesNode(Node):
    """The directory of days."""

    __slots__ = ()


class DateNode(Node):
    """The commits of a day, which is counted from 1970-01-01."""

    __slots__ = ("day",)

    def __init__(self, parent: Node | None, name: bytes, number: int, day: int) -> None:
        super().__init__(parent, name, number)
        self.day = day


class Forgotten:
    """Where the directories are that the kernel has dropped, the last ones of them.

    It asks for one again when somebody has a file handle of it: a server of NFS.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: OrderedDict[int, tuple[int, bytes]] = OrderedDict()

    def add(self, node: Node) -> None:
        """Remember the number of a node's parent, and its name there."""
        if node.parent is not None:
            self._places[node.number] = node.parent.number, node.name
            self._places.move_to_end(node.number)
            if len(self._places) > self._limit:
                self._places.popitem(last=False)

    def find(self, number: int) -> tuple[int, bytes]:
        """The number of the parent, and the name. Raises `StaleError`."""
        place = self._places.get(number)
        if place is None:
            raise StaleError(number)
        return place


class Numbers(Protocol):
    """Who gives numbers to nodes, and knows those that the kernel knows."""

    def known_child(self, parent: Node, name: bytes) -> Node | None:
        """The node of an entry that the kernel knows."""

    def new_number(self, parent: Node, name: bytes) -> int:
        """The number that an entry has whenever it is known, unless another one holds it."""


class Found(NamedTuple):
    """An entry of a directory. A `node` must be acknowledged when the kernel has been told."""

    name: bytes
    attributes: Attributes
    node: Node | None
