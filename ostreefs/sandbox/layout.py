# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stands where inside: the tree, and over it what is fresh, private or of this machine.

Where a read-only tree has no directory for something to be mounted on, the nearest directory that
it has is *opened*: an empty one takes its place, everything that the tree has there is bound into
it one by one, and beside that there is room.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sandbox.errors import SandboxError
from ostreefs.sandbox.identity import Identity, complete_accounts
from ostreefs.sandbox.rooted import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ostreefs.sandbox.options import Bind, SandboxOptions

Step = tuple[str, ...]
"""Options of bwrap(1) with their values."""

DATA = "--ro-bind-data"
_HOME = "/home"
_RESOLV_CONF = "/etc/resolv.conf"
_SYS = ("block", "bus", "class", "dev", "devices")
"""What programs ask for devices; the rest of /sys is about this machine, and large."""
_ENTRIES_MAX = 1024


class Layout(NamedTuple):
    """What is to be done, in order, and what it leaves in a writable tree."""

    steps: list[Step]
    data: dict[str, bytes]
    """What files are to hold; the step of each one is `DATA` and its path."""
    ends: list[Step]
    """What is done at last."""
    made: dict[str, bool]
    """What a writable tree gets only to be mounted on, outer ones first; if as directories."""


class Mount(NamedTuple):
    """Something that comes over the tree, at a path without links."""

    target: str
    steps: tuple[Step, ...] = ()
    source: Path | None = None
    """What of this machine is seen there; None for what is new."""
    is_directory: bool = True
    data: bytes | None = None


def plan_layout(view: View, tree: Path, options: SandboxOptions, identity: Identity) -> Layout:
    """Where everything goes; `view` is told. Raises `SandboxError` for what cannot be."""
    mounts: list[Mount] = []
    missing: dict[str, bool] = {}
    for mount in _iter_mounts(view, options, identity):
        found = view.find_status(mount.target)
        if found is not None and stat.S_ISDIR(found.st_mode) != mount.is_directory:
            kinds = ("a directory", "a file")
            one, other = kinds if mount.is_directory else kinds[::-1]
            raise SandboxError(f"cannot put {one} at {mount.target}: the tree has {other} there")
        if found is None and not view.is_covered(mount.target):
            missing[mount.target] = mount.is_directory
        view.put(mount.target, mount.source)
        mounts.append(mount)
    made = _find_made(View(tree), missing) if options.writable else {}
    ends: list[Step] = []
    if options.writable:
        steps: list[Step] = [("--bind", str(tree), "/")]
    else:
        steps, ends = _open_directories(View(tree), tree, missing)
    steps += [step for mount in mounts for step in mount.steps]
    data = {mount.target: mount.data for mount in mounts if mount.data is not None}
    return Layout(steps, data, ends, made)


# ---- what is mounted ----


def _iter_mounts(view: View, options: SandboxOptions, identity: Identity) -> Iterator[Mount]:
    """Everything in order; each is in the view before the next one is looked for."""
    place = view.resolve("/proc")
    yield Mount(place, (("--proc", place),))
    place = view.resolve("/dev")
    yield Mount(place, (("--dev", place),))
    yield from _iter_sys(view)
    place = view.resolve("/run")
    lock, own = f"{place}/lock", f"{place}/user/{identity.uid}"
    made = (*_private(place, "0755"), *_directory(lock, "1777"), *_directory(own, "0700"))
    yield Mount(place, made)
    yield from _iter_var(view, options)
    place = view.resolve("/tmp")  # noqa: S108 -- of the tree
    if not view.is_covered(place):
        yield Mount(place, _private(place, "1777"))
    if options.home and os.path.isdir(_HOME):
        place, home = view.resolve(_HOME), os.path.realpath(_HOME)
        yield Mount(place, (("--bind", home, place),), Path(home))
    yield from _iter_files(view, options, identity)
    for bind in options.binds:
        yield _bind(view, bind)


def _private(place: str, mode: str) -> tuple[Step, ...]:
    return (("--perms", mode, "--tmpfs", place),)


def _directory(place: str, mode: str) -> tuple[Step, ...]:
    return (("--perms", mode, "--dir", place),)


def _iter_sys(view: View) -> Iterator[Mount]:
    place = view.resolve("/sys")
    if view.find_status(place) is not None:
        shown = [("--ro-bind-try", f"/sys/{name}", f"{place}/{name}") for name in _SYS]
        yield Mount(place, (*_private(place, "0755"), *shown, ("--remount-ro", place)))


def _iter_var(view: View, options: SandboxOptions) -> Iterator[Mount]:
    place = view.resolve("/var")
    if options.var is not None:
        _check_source(options.var)
        yield Mount(place, (("--bind", str(options.var), place),), options.var)
    elif not options.writable:
        tree = view.find_host(place)
        steps = [*_private(place, "0755")]
        if tree is not None and tree.is_dir():
            steps += _open_entries(tree, place, is_deep=True)
        yield Mount(place, tuple(steps), tree)


def _iter_files(view: View, options: SandboxOptions, identity: Identity) -> Iterator[Mount]:
    """Single files: how names are looked up, and who the user is."""
    place, source = view.resolve(_RESOLV_CONF), os.path.realpath(_RESOLV_CONF)
    has_place = view.is_covered(place) or view.find_status(os.path.dirname(place)) is not None
    if options.network and has_place and os.path.isfile(source):
        yield Mount(place, (("--ro-bind", source, place),), Path(source), is_directory=False)
    if not options.writable:  # there, whoever adds a user replaces these files
        bound = {bind.target for bind in options.binds}
        accounts = complete_accounts(view, identity)
        for path, content in accounts.items():
            if path not in bound:
                yield Mount(path, ((DATA, path),), data=content, is_directory=False)


def _bind(view: View, bind: Bind) -> Mount:
    is_directory = _check_source(bind.source)
    place = view.resolve(bind.target)
    source = os.path.realpath(bind.source)
    word = "--bind" if bind.writable else "--ro-bind"
    if source.startswith("/dev/"):
        word = "--dev-bind"
    if place == "/":
        raise SandboxError("the root is the tree itself: bind something below it")
    return Mount(place, ((word, source, place),), Path(source), is_directory)


def _check_source(source: Path) -> bool:
    """Whether it is a directory. Raises `SandboxError` when it is not there."""
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except OSError as error:
        raise SandboxError(
            f"cannot bind {source}: {error.strerror}", hint="what is bound is on this machine"
        ) from None


# ---- room for it ----


def _find_made(tree: View, missing: dict[str, bool]) -> dict[str, bool]:
    """What has to be made in a tree for these paths to be there; whether as directories."""
    made: dict[str, bool] = {}
    for target, is_directory in missing.items():
        names = target.split("/")[1:]
        for depth in range(1, len(names) + 1):
            path = "/" + "/".join(names[:depth])
            if path not in made and tree.find_status(path) is None:
                made[path] = is_directory or depth < len(names)
    return made


def _open_directories(
    view: View, tree: Path, missing: Iterable[str]
) -> tuple[list[Step], list[Step]]:
    """The tree, read-only, with room for what it has no place for; and what is done at last."""
    opened = sorted({_nearest_directory(view, target) for target in missing})
    steps: list[Step] = []
    if "/" not in opened:
        steps.append(("--ro-bind", str(tree), "/"))
    for path in opened:
        if path != "/":
            steps.append(_private(path, "0755")[0])
        steps += _open_entries(tree / path[1:], path)
    return steps, [("--remount-ro", path) for path in opened]


def _nearest_directory(view: View, target: str) -> str:
    path = os.path.dirname(target)
    while (found := view.find_status(path)) is None:
        path = os.path.dirname(path)
    if not stat.S_ISDIR(found.st_mode):
        raise SandboxError(f"cannot make {target}: {path} of the tree is no directory")
    return path


def _open_entries(folder: Path, path: str, *, is_deep: bool = False) -> list[Step]:
    """What a directory of the tree has, at a path where an empty one is.

    With `is_deep`, directories in it are made anew as well, and are empty where the tree's are.
    """
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if len(entries) > _ENTRIES_MAX:
        raise SandboxError(
            f"the tree has no room in {path}, which is too large to make some",
            hint="--rw makes it in a layer that is thrown away",
        )
    steps: list[Step] = []
    for entry in entries:
        place = f"{path.rstrip('/')}/{entry.name}"
        if entry.is_symlink():
            steps.append(("--symlink", os.readlink(entry.path), place))
        elif is_deep and entry.is_dir():
            mode = stat.S_IMODE(entry.stat().st_mode)
            steps += _directory(place, f"{mode:04o}")
            steps += _open_below(Path(entry.path), place)
        else:
            steps.append(("--ro-bind", entry.path, place))
    return steps


def _open_below(folder: Path, path: str) -> list[Step]:
    try:
        return _open_entries(folder, path)
    except PermissionError:
        return []  # nobody could look into it anyway
