# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who a command runs as: looked up inside the tree first, then on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from ostreefs.sandbox.rooted import View

_PASSWD = "/etc/passwd"  # noqa: S105 -- not a password
_GROUP = "/etc/group"
_ID_MAX = 2**32 - 2


class Identity(NamedTuple):
    """A user as passwd(5) has one."""

    name: str
    uid: int
    gid: int
    home: str = "/"
    shell: str = ""
    is_of_tree: bool = False
    """Whether the tree itself knows this user."""


def find_identity(view: View, user: str | None) -> Identity:
    """Who is meant by ``NAME``, ``UID`` or ``UID:GID``; ourselves by None.

    Raises `SandboxError` for a name that neither the tree nor this machine knows.
    """
    if user is None:
        known = _find(view, os.geteuid())
        known = known or Identity(str(os.geteuid()), os.geteuid(), os.getegid())
        return known._replace(gid=os.getegid())
    first, colon, second = user.partition(":")
    if not _is_number(first) or (colon and not _is_number(second)):
        if not colon and not _is_number(first) and first:
            found = _find(view, first)
            if found is not None:
                return found
        raise SandboxError(
            f"there is no user '{user}' in the tree, nor on this machine",
            hint="give a name of the tree's /etc/passwd, UID or UID:GID",
        )
    uid = int(first)
    found = _find(view, uid) or Identity(first, uid, uid)
    return found._replace(gid=int(second)) if colon else found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= _ID_MAX


def _find(view: View, key: str | int) -> Identity | None:
    """The user of a name or a number."""
    for one in parse_passwd(view.read(_PASSWD) or b""):
        if key in {one.name, one.uid}:
            return one._replace(is_of_tree=True)
    import pwd  # noqa: PLC0415 -- for users of this machine alone

    try:
        entry = pwd.getpwuid(key) if isinstance(key, int) else pwd.getpwnam(key)
    except KeyError:
        return None
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


def parse_passwd(data: bytes) -> list[Identity]:
    """The users of a passwd(5) file; lines that are malformed are passed over."""
    found = []
    for line in data.decode(errors="surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and _is_number(fields[2]) and _is_number(fields[3]):
            name, _, uid, gid, _, home, shell = fields
            found.append(Identity(name, int(uid), int(gid), home, shell))
    return found


def complete_accounts(view: View, identity: Identity) -> dict[str, bytes]:
    """What /etc/passwd and /etc/group are to hold so that a user has a name inside.

    Path -> content; nothing where the tree knows him, or has no such files.
    """
    made: dict[str, bytes] = {}
    if identity.is_of_tree:
        return made
    passwd, group = view.read(_PASSWD), view.read(_GROUP)
    if passwd is not None:
        shell = identity.shell or "/bin/sh"
        line = f"{identity.name}:x:{identity.uid}:{identity.gid}::{identity.home}:{shell}"
        made[view.resolve(_PASSWD)] = _with_line(passwd, line)
    if group is not None and not any(
        line.split(b":")[2:3] == [b"%d" % identity.gid] for line in group.splitlines()
    ):
        made[view.resolve(_GROUP)] = _with_line(group, f"{identity.name}:x:{identity.gid}:")
    return made


def _with_line(data: bytes, line: str) -> bytes:
    """The line comes first: of two users with one number, that is the name of both."""
    return line.encode(errors="surrogateescape") + b"\n" + data
