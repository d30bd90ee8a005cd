# SPDX-License-Identifier: LGPL-2.1-or-later
"""The options of a mount: which are ours, which libfuse's, which mean something to fstab alone."""

from __future__ import annotations

import grp
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.fuse.mounts import MountError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_OF_FSTAB = re.compile(
    r"(defaults|(no)?auto|nofail|_netdev|(no)?(user|users|owner|group)|(user|comment|helper)=.*"
    r"|[xX]-.*)",
    re.DOTALL,
)
"""What mount(8) and systemd read in fstab, and hand on or not; see fstab(5), systemd.mount(5)."""

_WITHOUT_EFFECT = re.compile(
    r"rw|ro|a?sync|dirsync|(no)?(strict|rel|dir)?atime|(no)?lazytime|(no)?(iversion|mand)"
    r"|silent|loud"
)
"""What mount(8) has for any filesystem, and what makes no difference to one without writes, or
without times."""

_PAIRS = {"suid": "nosuid", "dev": "nodev", "exec": "noexec"}
_OPPOSITES = _PAIRS | {no: yes for yes, no in _PAIRS.items()}

_ALIASES = {"allow_suid": "suid", "allow_dev": "dev"}
"""mount(8) hands on neither suid nor dev, which it takes for the default: these get through."""

OPTIONS_HINT = (
    "allow_other, allow_root, suid, dev, noexec, uid=, gid=, verify= and those of"
    " mount.fuse3(8) are known"
)


class MountOptions(NamedTuple):
    """What a list of options asks for."""

    libfuse: tuple[str, ...] = ()
    """Options of libfuse, as they are; no two are opposites."""
    uid: int | None = None
    """The owner that everything is shown with, where it is not its own."""
    gid: int | None = None
    stats: Path | None = None
    """The file for statistics, absolute."""
    follow: bool = False
    """Whether to show what a ref names as soon as it moves."""
    verify: bool = False
    """Check an object against its digest when it is opened first."""
    apart: bool = False
    """Give equal files inodes of their own, as is due below a writable layer; no option has it."""


def parse_options(texts: Iterable[str]) -> MountOptions:
    """The options of several ``-o``; of two opposites the last one counts.

    A comma that is part of a value has a backslash before it. Raises `MountError` for what cannot
    be meant so; libfuse knows the rest of its options, and refuses others.
    """
    options = MountOptions()
    libfuse: dict[str, None] = {}
    for option in (option for text in texts for option in split_options(text)):
        name, equals, value = option.partition("=")
        if name in _OURS and equals:
            options = _OURS[name](options, _unescape(value))
        elif name in _OURS:
            raise MountError(f"mount option '{name}' needs a value", hint=f"'-o {name}=…'")
        elif option == "follow":
            options = options._replace(follow=True)
        elif option == "remount":
            raise MountError(
                "a mount of ostreefs cannot be remounted", hint="unmount it, and mount it anew"
            )
        elif not _OF_FSTAB.fullmatch(option) and not _WITHOUT_EFFECT.fullmatch(option):
            if not option.isascii():
                raise MountError(f"unknown mount option '{option}'", hint=OPTIONS_HINT)
            option = _ALIASES.get(option, option)  # noqa: PLW2901 -- the same under its usual name
            libfuse.pop(_OPPOSITES.get(option, option), None)
            libfuse[option] = None
    return options._replace(libfuse=tuple(libfuse))


def split_options(text: str) -> Iterator[str]:
    """Options between commas, but not those that a backslash stands before; escapes stay."""
    for option in re.findall(r"(?:\\.|[^,\\]|\\$)+", text, re.DOTALL):
        yield str(option)


def _unescape(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)


def _with_uid(options: MountOptions, value: str) -> MountOptions:
    return options._replace(uid=_parse_id("user", value, lambda name: pwd.getpwnam(name).pw_uid))


def _with_gid(options: MountOptions, value: str) -> MountOptions:
    return options._replace(gid=_parse_id("group", value, lambda name: grp.getgrnam(name).gr_gid))


def _with_stats(options: MountOptions, value: str) -> MountOptions:
    return options._replace(stats=Path(value).absolute())


def _with_verify(options: MountOptions, value: str) -> MountOptions:
    if value not in {"open", "none"}:
        raise MountError(
            f"unknown mount option 'verify={value}'", hint="verify=open or verify=none"
        )
    return options._replace(verify=value == "open")


_OURS: dict[str, Callable[[MountOptions, str], MountOptions]] = {
    "uid": _with_uid,
    "gid": _with_gid,
    "stats": _with_stats,
    "verify": _with_verify,
}


def _parse_id(what: str, value: str, find: Callable[[str], int]) -> int:
    if value.isascii() and value.isdigit():
        if int(value) < 2**32 - 1:
            return int(value)
    else:
        try:
            return find(value)
        except KeyError:
            pass
    raise MountError(f"there is no {what} '{value}'", hint="give a name, or a number below 2^32-1")
