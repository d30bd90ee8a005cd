# SPDX-License-Identifier: LGPL-2.1-or-later
"""The payload of an rpm as a tar archive: both forms of cpio, hard links, what is malformed."""

import io
import stat
import tarfile
from pathlib import Path
from typing import IO, cast

import pytest

from ostreefs.compose.deb import read_deb
from ostreefs.compose.errors import PackageError
from ostreefs.compose.rpm import Rpm, RpmFile, TarOfRpm, read_rpm
from ostreefs_store.errors import ArchiveError, StoreError
from tests.support.packages import make_deb, make_rpm

Member = tuple[int, bytes, bytes]
"""The number of a file in the header, its name, its content."""

REGULAR, LINK, FOLDER, DEVICE = stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR


def rpm_file(path: bytes, kind: int = REGULAR, inode: int = 0, size: int = 0) -> RpmFile:
    target = b"tool" if kind == LINK else b""
    inode = inode or sum(path)
    device = 0x0103 if kind == DEVICE else 0
    return RpmFile(path, kind | 0o4755, "user", "group", device, target, size, (1, inode))


FILES = (
    rpm_file(b"usr", FOLDER),
    rpm_file(b"usr/a", REGULAR, 7, 5),
    rpm_file(b"usr/b", REGULAR, 7, 5),
    rpm_file(b"usr/dev", DEVICE),
    rpm_file(b"usr/empty1", REGULAR, 8),
    rpm_file(b"usr/empty2", REGULAR, 8),
    rpm_file(b"usr/link", LINK, 0, 4),
    rpm_file(b"usr/\xff", REGULAR, 0, 3),
)
MEMBERS: list[Member] = [
    (0, b"./usr", b""),
    (1, b"./usr/a", b""),
    (2, b"./usr/b", b"hello"),
    (3, b"./usr/dev", b""),
    (4, b"./usr/empty1", b""),
    (5, b"./usr/empty2", b""),
    (6, b"./usr/link", b"tool"),
    (7, b"./usr/\xff", b"abc"),
]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def newc(name: bytes, content: bytes) -> bytes:
    fields = [0] * 13
    fields[6], fields[11] = len(content), len(name) + 1
    head = b"070701" + b"".join(b"%08x" % field for field in fields)
    return padded(head + name + b"\0") + padded(content)


def stripped(index: int, content: bytes) -> bytes:
    return padded(b"07070X%08x" % index) + padded(content)


def cpio(members: list[Member], *, is_stripped: bool = False) -> bytes:
    parts = [stripped(i, c) if is_stripped else newc(name, c) for i, name, c in members]
    return b"".join([*parts, newc(b"TRAILER!!!", b"")])


def tar_of(payload: bytes, files: tuple[RpmFile, ...] = FILES) -> io.BytesIO:
    rpm = Rpm("x", "1", "noarch", files, (), cast("IO[bytes]", io.BytesIO(payload)))
    stream = TarOfRpm(rpm, {"user": 7}.__getitem__, {"group": 8}.__getitem__)
    data = b""
    while piece := stream.read(100):
        data += piece
    return io.BytesIO(data)


@pytest.mark.parametrize("is_stripped", [False, True])
def test_members(*, is_stripped: bool) -> None:
    found = {}
    payload = cpio(MEMBERS, is_stripped=is_stripped)
    with tarfile.open(fileobj=tar_of(payload), errors="surrogateescape") as tar:
        for info in tar:
            assert (info.mode, info.uid, info.gid) == (0o4755, 7, 8)
            read = tar.extractfile(info) if info.isreg() else None
            found[info.name.encode("utf-8", "surrogateescape")] = (
                info.type,
                info.linkname if read is None else read.read(),
            )
        device = tar.getmember("usr/dev")
    assert found == {
        b"usr": (tarfile.DIRTYPE, ""),
        b"usr/a": (tarfile.LNKTYPE, "usr/b"),
        b"usr/b": (tarfile.REGTYPE, b"hello"),
        b"usr/dev": (tarfile.CHRTYPE, ""),
        b"usr/empty1": (tarfile.REGTYPE, b""),
        b"usr/empty2": (tarfile.LNKTYPE, "usr/empty1"),
        b"usr/link": (tarfile.SYMTYPE, "tool"),
        b"usr/\xff": (tarfile.REGTYPE, b"abc"),
    }
    assert (device.devmajor, device.devminor) == (1, 3)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "too early"),
        (cpio(MEMBERS)[:-130], "too early"),
        (b"070707" + bytes(200), "no cpio archive"),
        (b"070701" + b"x" * 104, "is no number"),
        (newc(b"./../../etc/passwd", b"x"), "does not know it"),
        (stripped(99, b""), "does not know"),
    ],
)
def test_malformed_payloads(payload: bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        tar_of(payload)


def test_cut_off_anywhere(tmp_path: Path) -> None:
    """Headers that are cut off, or have a byte wrong, raise what is expected, or are read."""
    deb = make_deb(tmp_path, {"usr/x": "x"}, compression="gzip")
    rpm = make_rpm(tmp_path, {"usr/x": "x"})
    for path, read in ((deb, read_deb), (rpm, read_rpm)):
        whole = path.read_bytes()
        damaged = [whole[:length] for length in range(0, len(whole), 37)]
        damaged += [
            whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :]
            for at in range(0, len(whole), 41)
        ]
        refused = 0
        for data in damaged:
            path.write_bytes(data)
            with open(path, "rb", buffering=0) as file:
                try:
                    read(file, str(path))
                except StoreError as error:
                    assert str(path) in str(error)  # noqa: PT017 -- many are fine
                    refused += 1
        assert refused > len(damaged) // 4
    path.write_bytes(b"")
    with open(path, "rb", buffering=0) as file, pytest.raises(PackageError, match="no rpm"):
        read_rpm(file, str(path))
