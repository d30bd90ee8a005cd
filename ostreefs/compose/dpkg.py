# SPDX-License-Identifier: LGPL-2.1-or-later
"""dpkg's database in a tree: what it should say of a package that is laid over the tree.

As after ``dpkg --unpack``: the package is in ``status``, its files in ``info``. One with scripts
or triggers is "unpacked", since nobody has run them: ``dpkg --configure -a`` does. One without is
"installed". What an older version had and the new one has not is deleted, as dpkg does.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

from ostreefs.compose.control import is_unpacked, register
from ostreefs_store.errors import PathNotFoundError
from ostreefs_store.layer import WHITEOUT, Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostreefs.compose.deb import Deb
    from ostreefs.compose.tree import MadeTree
    from ostreefs_store.layer import Item, WholeTree
    from ostreefs_store.traverse import Place

_FOLDER = b"var/lib/dpkg"
_STATUS = b"var/lib/dpkg/status"
_INFO = "var/lib/dpkg/info"


def has_database(tree: MadeTree) -> bool:
    """Whether a tree has the list that packages are registered in."""
    return tree.find_file(_STATUS) is not None


def is_configured(tree: MadeTree, name: str) -> bool:
    """Whether dpkg has no business with a package any more."""
    return not is_unpacked(tree.read(_STATUS) or b"", name)


def make_records(tree: MadeTree, deb: Deb, layer: Layer | WholeTree) -> bytes:
    """A tar archive of what dpkg's database says of a package whose files are in the tree."""
    found = tree.find_file(_STATUS)
    assert found is not None
    item = found[1]
    state = "unpacked" if deb.scripts else "installed"
    status = register(tree.read(_STATUS) or b"", deb.control, state, _conffiles(tree, deb))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, _STATUS.decode(), status, item.mode, item.uid, item.gid)
        prefix = f"{_INFO}/{_info_name(tree, deb)}"
        _add(archive, f"{prefix}.list", b"".join(b"/%b\n" % p for p in list_paths(layer)))
        for name, (mode, data) in sorted(deb.info.items()):
            _add(archive, f"{prefix}.{name}", data, mode & 0o755)
    return out.getvalue()


def list_paths(layer: Layer | WholeTree) -> Iterator[bytes]:
    """The paths of a layer as dpkg lists them, but for the slash before; the top is ``.``."""
    yield b"."
    pending: list[tuple[bytes, Item]] = [(b"", layer)]
    while pending:
        path, item = pending.pop()
        if path:
            yield path
        if isinstance(item, Layer):
            below = sorted(item.entries.items(), reverse=True)
            pending += [(path + b"/" + name if path else name, each) for name, each in below]


def find_obsolete(tree: MadeTree, deb: Deb, layer: Layer | WholeTree) -> Layer | None:
    """A layer that deletes what only an older version of a package has, if there is any.

    `tree` has the new files already. Configuration files stay, as do directories.
    """
    listed = tree.read(f"{_INFO}/{_info_name(tree, deb)}.list".encode())
    if not listed:
        return None
    new = [*list_paths(layer), *_old_conffiles(tree, deb)]
    kept = {place.names for path in new if (place := _find(tree, path))}
    gone = {}
    for line in listed.split(b"\n"):
        place = _find(tree, line)
        if place and place.entry and not place.entry[0] and place.names not in kept:
            gone[line] = place.names
    shared = gone.keys() & _files_of_others(tree, deb) if gone else set()
    return _without([names for line, names in gone.items() if line not in shared])


def find_old_records(tree: MadeTree, deb: Deb) -> Layer | None:
    """A layer that deletes what ``info`` has of a package and a new version has not."""
    prefix = f"{_info_name(tree, deb)}.".encode()
    new = {b"list", *(name.encode() for name in deb.info)}
    names = [name for name in tree.names_in(_INFO.encode()) if name.startswith(prefix)]
    kinds = {name.removeprefix(prefix) for name in names} - new
    place = tree.find(_INFO.encode()).names
    return _without([(*place, prefix + kind) for kind in kinds if b"." not in kind])


def _without(paths: list[tuple[bytes, ...]]) -> Layer | None:
    """A layer that deletes these, if there are any."""
    top = Layer()
    for names in paths:
        layer = top
        for name in names[:-1]:
            below = layer.entries.setdefault(name, Layer())
            assert isinstance(below, Layer)
            layer = below
        layer.entries[names[-1]] = WHITEOUT
    return top if paths else None


def _info_name(tree: MadeTree, deb: Deb) -> str:
    """What files about a package are called; a database of the old form has no architectures."""
    is_old = tree.read(f"{_INFO}/format".encode()) is None
    return deb.control.name if is_old else deb.control.info_name


def _find(tree: MadeTree, path: bytes) -> Place | None:
    try:
        return tree.find(path) if path.strip(b"/.") else None
    except PathNotFoundError:
        return None


def _old_conffiles(tree: MadeTree, deb: Deb) -> list[bytes]:
    data = tree.read(f"{_INFO}/{_info_name(tree, deb)}.conffiles".encode()) or b""
    return [line for line in data.split(b"\n") if line.startswith(b"/")]


def _files_of_others(tree: MadeTree, deb: Deb) -> set[bytes]:
    own = f"{_info_name(tree, deb)}.list".encode()
    found: set[bytes] = set()
    for name in tree.names_in(_INFO.encode()):
        if name.endswith(b".list") and name != own:
            data = tree.read(_INFO.encode() + b"/" + name) or b""
            found.update(data.split(b"\n"))
    return found


def _conffiles(tree: MadeTree, deb: Deb) -> dict[str, str]:
    """The configuration files of a package, with the MD5 of what it brings."""
    text = deb.info.get("conffiles", (0, b""))[1].decode("utf-8", "surrogateescape")
    found = {}
    for path in text.splitlines():
        data = tree.read(path.encode("utf-8", "surrogateescape")) if path.startswith("/") else None
        if data is not None:
            found[path] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return found


def _add(
    archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = len(data), mode, uid, gid
    archive.addfile(info, io.BytesIO(data))
