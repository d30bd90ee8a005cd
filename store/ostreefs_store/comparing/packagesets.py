# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which packages two trees differ in, by the databases of dpkg and rpm that they carry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ostreefs_store.comparing.packages import (
    Package,
    PackageChange,
    PackageKind,
    diff_packages,
    parse_dpkg_status,
)
from ostreefs_store.comparing.rpmdb import read_rpmdb
from ostreefs_store.comparing.sides import Side, read_content
from ostreefs_store.errors import PackageDatabaseError
from ostreefs_store.model import Digest, RegularFile
from ostreefs_store.traverse import find_entry, read_file_object, read_tree_entries

if TYPE_CHECKING:
    from collections.abc import Iterator


_DPKG = (b"/var/lib/dpkg/status", b"/var/lib/dpkg/status.d")
_RPM_FOLDERS = (b"/usr/lib/sysimage/rpm", b"/usr/share/rpm", b"/var/lib/rpm")
_SQLITE = b"rpmdb.sqlite"
_UNREADABLE = {b"Packages.db": "ndb", b"Packages": "Berkeley DB"}
_PLACES: dict[PackageKind, tuple[bytes, ...]] = {
    "dpkg": _DPKG,
    "rpm": tuple(f + b"/" + name for f in _RPM_FOLDERS for name in (_SQLITE, *_UNREADABLE)),
}
_STATUS_MAX = 256 << 20
"""A larger dpkg status is none."""


class PackageDiff(NamedTuple):
    """How the packages of two commits differ; `problem` says why that cannot be told."""

    kind: PackageKind
    changes: list[PackageChange]
    problem: str | None = None


class Place(NamedTuple):
    """Where a tree has a database, or a part of one; an equal digest is an equal part."""

    path: bytes
    is_tree: bool
    digest: Digest


PackageCache = dict[tuple[Place, ...], list[Package]]
"""What was read lately, for those who compare one commit after another."""

_CACHED = 4


def diff_package_sets(
    old: Side, new: Side, *, cache: PackageCache | None = None
) -> list[PackageDiff]:
    """What changed, for each kind of database that both sides have. Equal ones are not read."""
    found: list[PackageDiff] = []
    cache = {} if cache is None else cache
    for kind in _PLACES:
        before, after = (_find_places(side, kind) for side in (old, new))
        if before == after and before:
            found.append(PackageDiff(kind, []))
        elif before and after:
            found.append(_diff(kind, (old, before), (new, after), cache))
    return found


def _find_places(side: Side, kind: PackageKind) -> list[Place]:
    """All that dpkg has; of rpm, which had several places in its time, the first alone."""
    entries = ((path, find_entry(side.objects, side.root, path)) for path in _PLACES[kind])
    found = [Place(path, *entry) for path, entry in entries if entry is not None]
    return found if kind == "dpkg" else found[:1]


def _diff(
    kind: PackageKind,
    old: tuple[Side, list[Place]],
    new: tuple[Side, list[Place]],
    cache: PackageCache,
) -> PackageDiff:
    try:
        sets = [_read_set(kind, side, places, cache) for side, places in (old, new)]
    except PackageDatabaseError as error:
        return PackageDiff(kind, [], str(error))
    return PackageDiff(kind, diff_packages(kind, *sets))


def _read_set(
    kind: PackageKind, side: Side, places: list[Place], cache: PackageCache
) -> list[Package]:
    key = tuple(places)
    if key not in cache:
        read = _read_dpkg if kind == "dpkg" else _read_rpm
        packages = [package for place in places for package in read(side, place)]
        while len(cache) >= _CACHED:
            del cache[next(iter(cache))]
        cache[key] = packages
    return cache[key]


def _read_dpkg(side: Side, place: Place) -> Iterator[Package]:
    """``status`` is a file with a paragraph for each package, ``status.d`` has a file for each."""
    if not place.is_tree:
        yield from parse_dpkg_status(_read(side, place.path, place.digest))
        return
    for name, is_tree, digest in read_tree_entries(side.objects, place.digest)[1]:
        if not is_tree and not name.endswith((b".md5sums", b".list")):
            yield from parse_dpkg_status(_read(side, place.path + b"/" + name, digest))


def _read(side: Side, path: bytes, digest: Digest) -> bytes:
    """The content of a regular file; nothing for what is none."""
    item = read_file_object(side.objects, digest)
    if not isinstance(item, RegularFile) or item.size > _STATUS_MAX:
        return b""
    return read_content(side, path, digest, item)


def _read_rpm(side: Side, place: Place) -> Iterator[Package]:
    form = _UNREADABLE.get(place.path.rpartition(b"/")[2])
    if form is not None:
        raise PackageDatabaseError("rpm", f"its form is {form}, and only SQLite can be read")
    item = None if place.is_tree else read_file_object(side.objects, place.digest)
    if not isinstance(item, RegularFile) or not item.size:
        raise PackageDatabaseError("rpm", "it is no file with content")
    fd = side.open(place.path, place.digest, item)
    try:
        yield from read_rpmdb(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
