# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages of a distribution, and how two sets of them differ. Pure."""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import TYPE_CHECKING, Literal, NamedTuple

from ostreefs_store.comparing.versions import compare_deb, compare_rpm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PackageKind = Literal["dpkg", "rpm"]
PackageChangeKind = Literal["upgraded", "downgraded", "changed", "added", "removed"]


class Package(NamedTuple):
    """An installed package; `version` with epoch and release."""

    name: str
    arch: str
    version: str


class PackageChange(NamedTuple):
    """A package that was added (no `old`), removed (no `new`), or has another version.

    "changed" are versions that differ, and of which neither is newer. Where the architecture
    changed, too, `arch` is the new one.
    """

    kind: PackageChangeKind
    name: str
    arch: str
    old: str | None
    new: str | None


_COMPARE: dict[PackageKind, Callable[[str, str], int]] = {"dpkg": compare_deb, "rpm": compare_rpm}


def diff_packages(
    kind: PackageKind, old: Iterable[Package], new: Iterable[Package]
) -> list[PackageChange]:
    """What changed, by name. Of a name installed in several versions each one counts."""
    before, after = _by_name(old), _by_name(new)
    return [
        change
        for name in sorted(before.keys() | after.keys())
        for change in _diff_name(kind, before.get(name, set()), after.get(name, set()))
    ]


def _by_name(packages: Iterable[Package]) -> dict[str, set[Package]]:
    found: dict[str, set[Package]] = {}
    for package in packages:
        found.setdefault(package.name, set()).add(package)
    return found


def _diff_name(kind: PackageKind, old: set[Package], new: set[Package]) -> Iterator[PackageChange]:
    """Changes of one name: by architecture, or across it when there is one on either side."""
    gone, come = old - new, new - old
    if len(old) == len(new) == 1:
        for before, after in zip(gone, come, strict=True):
            yield _compare(kind, before, after)
        return
    for arch in sorted({package.arch for package in gone | come}):
        yield from _diff_arch(kind, *(_of_arch(each, arch) for each in (old, new, gone, come)))


def _of_arch(packages: set[Package], arch: str) -> set[Package]:
    return {package for package in packages if package.arch == arch}


def _diff_arch(
    kind: PackageKind,
    old: set[Package],
    new: set[Package],
    gone: set[Package],
    come: set[Package],
) -> Iterator[PackageChange]:
    if len(old) == len(new) == 1:
        for before, after in zip(gone, come, strict=True):
            yield _compare(kind, before, after)
        return
    key = cmp_to_key(_COMPARE[kind])
    for package in sorted(gone, key=lambda package: key(package.version)):
        yield PackageChange("removed", package.name, package.arch, package.version, None)
    for package in sorted(come, key=lambda package: key(package.version)):
        yield PackageChange("added", package.name, package.arch, None, package.version)


def _compare(kind: PackageKind, old: Package, new: Package) -> PackageChange:
    order = _COMPARE[kind](old.version, new.version)
    word: PackageChangeKind = "upgraded" if order < 0 else "downgraded" if order else "changed"
    return PackageChange(word, new.name, new.arch, old.version, new.version)


# ---- dpkg ----

_FIELD = re.compile(
    r"^(Package|Status|Version|Architecture):[ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_ABSENT = {"not-installed", "config-files"}


def parse_dpkg_status(text: bytes) -> Iterator[Package]:
    """The packages of ``/var/lib/dpkg/status``, or of a file of ``status.d``, that are there.

    One that was removed but for its configuration is not. The format is that of
    deb-control(5): paragraphs of fields.
    """
    decoded = text.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    for paragraph in re.split(r"\n[ \t]*\n", decoded):
        fields = {name.lower(): value for name, value in _FIELD.findall(paragraph)}
        state = fields.get("status", "installed").split()
        if "package" in fields and (not state or state[-1] not in _ABSENT):
            yield Package(
                fields["package"], fields.get("architecture", ""), fields.get("version", "")
            )
