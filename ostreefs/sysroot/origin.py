# SPDX-License-Identifier: LGPL-2.1-or-later
"""Origins: what is known of a deployment beside its tree.

A key file ``NAME.origin`` beside the deployment, as ostree has it, and with its key
``[origin] refspec=``: who knows one knows the other, tools for GLib's key files read both, and a
shell script of a boot process finds a line with ``sed``. TOML would need a parser there::

    [origin]
    refspec=gnomeos/stable          what an upgrade follows: a ref, or a commit id for none

    [deployment]
    os=gnomeos
    version=3.2                     of the commit's metadata
    release=7e9788a2…               the commit that was asked for
    commit=51f2…                    what is deployed: the release with the local configuration
    timestamp=1764000000            when it was deployed
    kargs=root=LABEL=root ro quiet  the kernel's arguments, without ours
    boot=1f0e6ac2d49f5b11           folder of its kernel below /boot/ostreefs; none without kernel
    pinned=true                     it stays until somebody takes it away

What else a file says is kept when it is written again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.errors import OriginError
from ostreefs.sysroot.kargs import format_kargs, parse_kargs
from ostreefs.sysroot.keyfile import Groups, format_keyfile, parse_keyfile
from ostreefs.sysroot.names import check_os_name
from ostreefs_store import durable
from ostreefs_store.errors import InvalidNameError
from ostreefs_store.model import Digest
from ostreefs_store.names import looks_like_commit_id

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".origin"
_MAX = 1 << 20
_BOOT = re.compile(r"[0-9a-f]{16}", re.ASCII)
_OWN = {
    "origin": ("refspec",),
    "deployment": (
        *("os", "version", "release", "commit", "timestamp", "kargs", "boot", "pinned"),
    ),
}


class Origin(NamedTuple):
    """See the module."""

    refspec: str
    os: str
    version: str
    release: Digest
    commit: Digest
    timestamp: int
    kargs: tuple[str, ...] = ()
    boot: str = ""
    pinned: bool = False
    others: tuple[tuple[str, str, str], ...] = ()
    """(group, key, value) that mean nothing to us."""

    @property
    def ref(self) -> str | None:
        """The ref that an upgrade follows."""
        return None if looks_like_commit_id(self.refspec) else self.refspec


def parse_origin(text: str) -> Origin:
    """What an origin says. Raises `ValueError` with a line for a person."""
    groups = parse_keyfile(text)
    own = groups.get("deployment", {})
    try:
        origin = Origin(
            refspec=groups["origin"]["refspec"],
            os=own["os"],
            version=own.get("version", ""),
            release=_parse_commit(own["release"]),
            commit=_parse_commit(own["commit"]),
            timestamp=int(own.get("timestamp", "0")),
            kargs=parse_kargs(own.get("kargs", "")),
            boot=own.get("boot", ""),
            pinned=own.get("pinned", "false") == "true",
            others=tuple(_others(groups)),
        )
        check_os_name(origin.os)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None
    except InvalidNameError as error:
        raise ValueError(str(error)) from None
    if origin.boot and not _BOOT.fullmatch(origin.boot):
        raise ValueError(f"'{origin.boot}' is no folder of a kernel")
    return origin


def format_origin(origin: Origin) -> str:
    """The text that `parse_origin` reads."""
    groups: Groups = {
        "origin": {"refspec": origin.refspec},
        "deployment": {
            "os": origin.os,
            "version": origin.version,
            "release": origin.release.hex(),
            "commit": origin.commit.hex(),
            "timestamp": str(origin.timestamp),
            "kargs": format_kargs(origin.kargs),
            "boot": origin.boot,
            "pinned": "true" if origin.pinned else "",
        },
    }
    own = groups["deployment"]
    groups["deployment"] = {key: value for key, value in own.items() if value}
    for group, key, value in origin.others:
        groups.setdefault(group, {})[key] = value
    return format_keyfile(groups)


def read_origin(path: Path) -> Origin:
    """Read an origin. Raises `OriginError`; `FileNotFoundError` when there is none."""
    try:
        with path.open("rb") as file:
            return parse_origin(file.read(_MAX).decode("utf-8"))
    except ValueError as error:  # text that is none is one, too
        raise OriginError(path, str(error)) from None


def write_origin(path: Path, origin: Origin) -> None:
    """Write an origin, wholly or not at all, and durably."""
    durable.write_file(path, format_origin(origin).encode())


def _parse_commit(text: str) -> Digest:
    if not looks_like_commit_id(text):
        raise ValueError(f"'{text}' is no commit id")
    return Digest(bytes.fromhex(text))


def _others(groups: Groups) -> list[tuple[str, str, str]]:
    return [
        (group, key, value)
        for group, keys in groups.items()
        for key, value in keys.items()
        if key not in _OWN.get(group, ())
    ]
