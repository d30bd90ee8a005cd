# SPDX-License-Identifier: LGPL-2.1-or-later
"""rpm packages: a header, and what they install as a tar archive.

A package (rpm's ``docs/manual/format_v4.md``) is a lead of 96 bytes that says nothing any more, a
header of signatures, filled up to 8 bytes, the header of the package, and a cpio archive that is
mostly compressed. Owners stand by name in the header alone; so do modes and link targets, which
count more than those of the archive. A file with several names has its content at the last one.

The archive is made into a tar archive on the way, which the store takes in as any other.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from ostreefs.compose.capabilities import NAME, parse_capabilities
from ostreefs.compose.deb import Section
from ostreefs.compose.errors import PackageError
from ostreefs_store.comparing.rpmheader import Value, parse_tags
from ostreefs_store.errors import ArchiveError
from ostreefs_store.tar.tarmember import XATTR_RECORD
from ostreefs_store.tar.tarstream import TarStream, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LEAD = b"\xed\xab\xee\xdb"
_LEAD_SIZE = 96
_HEADER = b"\x8e\xad\xe8\x01"
_HEADER_MAX = 256 << 20

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_SOURCE = 1106
_MODES, _RDEVS, _TARGETS, _USERS, _GROUPS = 1030, 1033, 1036, 1039, 1040
_DEVICES, _INODES = 1095, 1096
_FOLDER_OF, _BASES, _FOLDERS = 1116, 1117, 1118
_SIZES, _LONG_SIZES, _CAPABILITIES = 1028, 5008, 5010
_COMPRESSION = 1125
_SCRIPTS = {1023: "%pre", 1024: "%post", 1025: "%preun", 1026: "%postun"}
_SCRIPTS |= {1151: "%pretrans", 1152: "%posttrans", 1065: "%triggers", 5066: "file triggers"}
_OTHER = {_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE, _MODES, _RDEVS, _TARGETS, _USERS}
_OTHER |= {_GROUPS, _DEVICES, _INODES, _FOLDER_OF, _BASES, _FOLDERS, _SIZES, _LONG_SIZES}
_TAGS = {_COMPRESSION, _CAPABILITIES, *_SCRIPTS, *_OTHER}

_MAGIC, _MAGIC_STRIPPED = b"070701", b"07070X"
_TRAILER = b"TRAILER!!!"
_NAME_MAX = 1 << 16
_CHUNK = 256 << 10


class RpmFile(NamedTuple):
    """What the header says of a file; `link_of` is the same for all names of one inode."""

    path: bytes
    mode: int
    user: str
    group: str
    device: int
    target: bytes
    size: int
    link_of: tuple[int, int]
    capabilities: str = ""


class Rpm(NamedTuple):
    """A package. `version` has the epoch, if there is one, and the release."""

    name: str
    version: str
    architecture: str
    files: tuple[RpmFile, ...]
    scripts: tuple[str, ...]
    payload: IO[bytes]


def read_rpm(file: IO[bytes], path: str) -> Rpm:
    """Read the headers of a package from an unbuffered file that stays open.

    Raises `PackageError`.
    """
    if os.pread(file.fileno(), len(_LEAD), 0) != _LEAD:
        raise PackageError(path, "it is no rpm package", hint=_other_kind(file))
    _, end = _read_header(file, _LEAD_SIZE, path)
    header, start = _read_header(file, end + -end % 8, path)
    try:
        return _parse(parse_tags(header, _TAGS), _payload(file, start), path)
    except (ValueError, LookupError) as error:
        raise PackageError(path, f"its header is damaged ({error})") from None


def _other_kind(file: IO[bytes]) -> str:
    if os.pread(file.fileno(), 7, 0) == b"!<arch>":
        return "it may be a Debian package: use --deb"
    return "--rpm takes files as 'dnf download' or rpmbuild make them"


def _read_header(file: IO[bytes], position: int, path: str) -> tuple[bytes, int]:
    """A header, and where it ends."""
    intro = os.pread(file.fileno(), 16, position)
    if len(intro) < 16:
        raise PackageError(path, "it was cut off in the middle of its header")
    magic, count, size = struct.unpack(">4s4xII", intro)
    length = 16 * count + size
    if magic != _HEADER or length > _HEADER_MAX:
        raise PackageError(path, "its header is damaged")
    data = os.pread(file.fileno(), 8 + length, position + 8)
    if len(data) < 8 + length:
        raise PackageError(path, "it was cut off in the middle of its header")
    return data, position + 16 + length


def _payload(file: IO[bytes], start: int) -> IO[bytes]:
    size = os.fstat(file.fileno()).st_size
    return cast("IO[bytes]", Section(file, start, size - start))


def _parse(tags: dict[int, Value], payload: IO[bytes], path: str) -> Rpm:
    compression = _texts(tags, _COMPRESSION)[:1]
    if compression not in {(), ("gzip",), ("xz",), ("zstd",), ("bzip2",)}:
        raise PackageError(
            path,
            f"it is compressed by {compression[0]}, which is not supported",
            hint="unpack it with rpm2cpio, and lay the directory over the base with --dir",
        )
    if _SOURCE in tags or (not _numbers(tags, _MODES) and _numbers(tags, _SIZES)):
        raise PackageError(path, "it is a source package", hint="build it, or take a binary one")
    epoch = _numbers(tags, _EPOCH)[:1]
    version = f"{_texts(tags, _VERSION)[0]}-{_texts(tags, _RELEASE)[0]}"
    return Rpm(
        _texts(tags, _NAME)[0],
        f"{epoch[0]}:{version}" if epoch and epoch[0] else version,
        _texts(tags, _ARCH)[0],
        tuple(_iter_files(tags)),
        tuple(name for tag, name in _SCRIPTS.items() if tag in tags),
        payload,
    )


def _iter_files(tags: dict[int, Value]) -> Iterator[RpmFile]:
    folders, folder_of = _strings(tags, _FOLDERS), _numbers(tags, _FOLDER_OF)
    users, groups, targets = _texts(tags, _USERS), _texts(tags, _GROUPS), _strings(tags, _TARGETS)
    modes, rdevs = _numbers(tags, _MODES), _numbers(tags, _RDEVS)
    sizes = _numbers(tags, _LONG_SIZES) or _numbers(tags, _SIZES)
    inodes, devices = _numbers(tags, _INODES), _numbers(tags, _DEVICES)
    names = _strings(tags, _BASES)
    capabilities = _texts(tags, _CAPABILITIES) or ("",) * len(names)
    for i, base in enumerate(names):
        path = (folders[folder_of[i]] + base).lstrip(b"/")
        link_of = devices[i], inodes[i]
        facts = (modes[i], users[i], groups[i], rdevs[i], targets[i], sizes[i], link_of)
        yield RpmFile(path, *facts, capabilities[i])


def _numbers(tags: dict[int, Value], tag: int) -> tuple[int, ...]:
    return tuple(value for value in tags.get(tag, ()) if isinstance(value, int))


def _strings(tags: dict[int, Value], tag: int) -> tuple[bytes, ...]:
    return tuple(value for value in tags.get(tag, ()) if isinstance(value, bytes))


def _texts(tags: dict[int, Value], tag: int) -> tuple[str, ...]:
    return tuple(text.decode("utf-8", "surrogateescape") for text in _strings(tags, tag))


# ---- the payload, as a tar archive


class TarOfRpm(io.RawIOBase):
    """The payload of a package as a tar archive, to be read once from front to back.

    `find_uid` and `find_gid` tell the numbers of users and groups. `read` raises `ArchiveError`.
    """

    def __init__(
        self, rpm: Rpm, find_uid: Callable[[str], int], find_gid: Callable[[str], int]
    ) -> None:
        self._converter = _Converter(rpm, find_uid, find_gid)
        self._pieces = self._converter.pieces()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At least one byte and at most `size` of them; none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        count = len(self._rest) if size < 0 else size
        data, self._rest = bytes(self._rest[:count]), self._rest[count:]
        return data


class _Converter:
    """Makes members of a tar archive from those of a payload."""

    def __init__(
        self, rpm: Rpm, find_uid: Callable[[str], int], find_gid: Callable[[str], int]
    ) -> None:
        self._rpm = rpm
        self._by_path = {file.path: file for file in rpm.files}
        self._last_of = {file.link_of: file for file in rpm.files}
        self._find_uid = find_uid
        self._find_gid = find_gid
        self._waiting: dict[tuple[int, int], list[RpmFile]] = {}
        """Names of files that had no content yet: it may come with another name."""
        self._content_of: dict[tuple[int, int], RpmFile] = {}

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the tar archive."""
        with open_stream(self._rpm.payload) as stream:
            while (found := self._next_file(stream)) is not None:
                yield from self._member(stream, *found)
            stream.drain()
        for names in self._waiting.values():
            yield self._header(names[0])
            yield from (self._link(name, names[0]) for name in names[1:])
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _member(self, stream: TarStream, file: RpmFile, size: int) -> Iterator[bytes]:
        is_regular = stat.S_ISREG(file.mode)
        if is_regular and not size and file.link_of not in self._content_of:
            self._waiting.setdefault(file.link_of, []).append(file)
            return
        if is_regular and not size:
            yield self._link(file, self._content_of[file.link_of])
            return
        yield self._header(file, size if is_regular else 0)
        position = 0
        while position < size:
            piece = self._read(stream, min(_CHUNK, size - position))
            position += len(piece)
            if is_regular:
                yield piece
        self._read(stream, -size % 4)
        if is_regular:
            yield bytes(-size % tarfile.BLOCKSIZE)
            self._content_of[file.link_of] = file
            for name in self._waiting.pop(file.link_of, []):
                yield self._link(name, file)

    def _next_file(self, stream: TarStream) -> tuple[RpmFile, int] | None:
        """The next member of the cpio archive, and the size of its content; None at the end."""
        magic = self._read(stream, 6)
        if magic == _MAGIC_STRIPPED:
            index = self._number(self._read(stream, 8))
            self._read(stream, 2)  # up to a multiple of 4
            if index >= len(self._rpm.files):
                raise ArchiveError(f"its payload has a file {index} that the header does not know")
            file = self._rpm.files[index]
            return file, self._stripped_size(file)
        if magic != _MAGIC:
            raise ArchiveError("its payload is damaged: it is no cpio archive of rpm's")
        fields = self._read(stream, 104)
        size, name_size = self._number(fields[48:56]), self._number(fields[88:96])
        if not 0 < name_size <= _NAME_MAX:
            raise ArchiveError(f"its payload is damaged: a name of {name_size} bytes")
        name = self._read(stream, name_size)[:-1]
        self._read(stream, -(110 + name_size) % 4)
        if name == _TRAILER:
            return None
        found = self._by_path.get(name.removeprefix(b".").removeprefix(b"/"))
        if found is None:
            raise ArchiveError("the header of the package does not know it", member=name)
        return found, size

    def _stripped_size(self, file: RpmFile) -> int:
        """Of the names of one file the last one in the header has the content."""
        if stat.S_ISLNK(file.mode):
            return len(file.target)
        is_last = self._last_of[file.link_of] is file
        return file.size if stat.S_ISREG(file.mode) and is_last else 0

    @staticmethod
    def _read(stream: TarStream, size: int) -> bytes:
        pieces = []
        while size:
            piece = stream.read_some(size)
            if not piece:
                raise ArchiveError("its payload ends too early: it was cut off")
            pieces.append(bytes(piece))
            size -= len(piece)
        return b"".join(pieces)

    @staticmethod
    def _number(digits: bytes) -> int:
        try:
            return int(digits, 16)
        except ValueError:
            raise ArchiveError(f"its payload is damaged: {digits!r} is no number") from None

    def _header(self, file: RpmFile, size: int = 0) -> bytes:
        info = self._info(file)
        info.size = size
        kind = stat.S_IFMT(file.mode)
        if kind not in _TYPES:
            raise ArchiveError(f"its type {kind:o} is not known", member=file.path)
        info.type = _TYPES[kind]
        if info.type == tarfile.SYMTYPE:
            info.linkname = os.fsdecode(file.target)
        if info.type in {tarfile.CHRTYPE, tarfile.BLKTYPE}:
            info.devmajor, info.devminor = os.major(file.device), os.minor(file.device)
        return _encode(info)

    def _link(self, file: RpmFile, content: RpmFile) -> bytes:
        info = self._info(file)
        info.type = tarfile.LNKTYPE
        info.linkname = os.fsdecode(content.path)
        return _encode(info)

    def _info(self, file: RpmFile) -> tarfile.TarInfo:
        info = tarfile.TarInfo(os.fsdecode(file.path))
        info.mode = stat.S_IMODE(file.mode)
        info.uid, info.gid = self._find_uid(file.user), self._find_gid(file.group)
        if file.capabilities and stat.S_ISREG(file.mode):
            try:
                value = parse_capabilities(file.capabilities)
            except ValueError as error:
                raise ArchiveError(str(error), member=file.path) from None
            info.pax_headers = {XATTR_RECORD + NAME: value.decode("utf-8", "surrogateescape")}
        return info


_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _encode(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
