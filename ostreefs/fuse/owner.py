# SPDX-License-Identifier: LGPL-2.1-or-later
"""A namespace in which everything belongs to one user or group, whoever owns it in the commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse.tree import Namespace

if TYPE_CHECKING:
    from ostreefs.fuse.listing import Listed, Resolve
    from ostreefs.fuse.nodes import Attributes, Found, Node
    from ostreefs_store.leases import Leases
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository


class Owner(NamedTuple):
    """Who owns everything; None for who owns it in the commit."""

    uid: int | None
    gid: int | None

    def of(self, attributes: Attributes) -> Attributes:
        """The attributes, with this owner."""
        return attributes._replace(
            uid=attributes.uid if self.uid is None else self.uid,
            gid=attributes.gid if self.gid is None else self.gid,
        )


class OwnedNamespace(Namespace):
    """Shows what `Namespace` does, with another owner.

    Everything that hands out attributes is overridden here. What is shown is no longer the object
    that was committed, so nothing says that it is.
    """

    def __init__(
        self,
        repository: Repository,
        commit: Digest | None,
        leases: Leases | None = None,
        *,
        owner: Owner,
        apart: bool = False,
    ) -> None:
        super().__init__(repository, commit, leases, apart=apart)
        self._shown_owner = owner

    def lookup(self, parent: int, name: bytes) -> Found | None:
        """See `Namespace.lookup`."""
        found = super().lookup(parent, name)
        return None if found is None else self._own(found)

    def attributes(self, number: int) -> Attributes:
        """See `Namespace.attributes`."""
        return self._shown_owner.of(super().attributes(number))

    def resolver(self, node: Node) -> Resolve:
        """See `Namespace.resolver`."""
        resolve = super().resolver(node)

        def resolve_owned(window: list[Listed]) -> list[Found | None]:
            return [None if found is None else self._own(found) for found in resolve(window)]

        return resolve_owned

    def identity(self, number: int) -> dict[bytes, bytes]:
        """See `Namespace.identity`; without the object, whose digest covers the owner."""
        found = super().identity(number)
        found.pop(b"user.ostreefs.object", None)
        return found

    def _own(self, found: Found) -> Found:
        return found._replace(attributes=self._shown_owner.of(found.attributes))
