# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a tar archive becomes, and what is refused of it."""

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ostreefs_store.batch import Batch
from ostreefs_store.codec import content_digest, decode_file, file_digest
from ostreefs_store.errors import ArchiveError
from ostreefs_store.layer import WHITEOUT, Item, Layer
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    TreeHead,
)
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.objects import object_name
from ostreefs_store.repository import Repository
from ostreefs_store.tar.tarimport import TarSource, read_tar
from tests.support.archives import (
    archive,
    bsdtar,
    commit_archive,
    directory,
    file,
    gnu_tar,
    member,
    read_archive,
)
from tests.support.trees import (
    ACCESS_ACL,
    check_out,
    ingest,
    list_tree,
    make_privileged_tree,
    make_small_tree,
    problems_of,
    root_of,
)

END = bytes(1024)


class Read:
    """An archive that was read, and what is found in it."""

    def __init__(
        self,
        repository: Repository,
        data: bytes,
        modifiers: Modifiers = Modifiers(),  # noqa: B008 -- an immutable value
        *,
        whiteouts: bool = False,
    ) -> None:
        self.repository = repository
        self.batch = Batch()
        self.contents = read_archive(repository, data, self.batch, modifiers, whiteouts=whiteouts)

    def item(self, path: str) -> Item:
        found: Item = self.contents.layer
        for name in path.encode("utf-8", "surrogateescape").split(b"/") if path else []:
            assert isinstance(found, Layer)
            found = found.entries[name]
        return found

    def file(self, path: str) -> File:
        digest = self.item(path)
        assert isinstance(digest, bytes)
        with self.repository.index.snapshot() as snapshot:
            encoded = self.batch.files.get(Digest(digest)) or snapshot.find_file(digest)
        assert encoded is not None
        assert file_digest(encoded) == digest
        return decode_file(encoded)

    def head(self, path: str) -> TreeHead | None:
        found = self.item(path)
        assert isinstance(found, Layer)
        return found.head

    def paths(self) -> set[str]:
        found: set[str] = set()
        pending = [("", self.contents.layer)]
        while pending:
            above, layer = pending.pop()
            for name, item in layer.entries.items():
                path = above + name.decode("utf-8", "surrogateescape")
                found.add(path)
                if isinstance(item, Layer):
                    pending.append((path + "/", item))
        return found


# ---- whole trees, as other programs write them ----


@pytest.mark.root
@pytest.mark.parametrize(
    "make",
    [
        gnu_tar,
        lambda source: gnu_tar(source, "--sparse"),
        lambda source: gnu_tar(source, "--sparse", "--sparse-version=0.1"),
        lambda source: gnu_tar(source, "--sparse", "--sparse-version=0.0"),
        lambda source: gnu_tar(source, "--sort=name", "--hard-dereference"),
        bsdtar,
    ],
)
def test_the_tree_is_that_of_the_directory(
    repository: Repository, tmp_path: Path, make: Callable[[Path], bytes]
) -> None:
    source = make_privileged_tree(tmp_path / "source")
    os.link(source / "large", source / "usr/second-name")
    ingest(repository, source, "directory")
    assert commit_archive(repository, make(source), "archive") == root_of(repository, "directory")
    assert problems_of(repository) == []


@pytest.mark.parametrize("option", ["--format=gnu", "--format=ustar", "--format=v7"])
def test_older_formats(any_repository: Repository, tmp_path: Path, option: str) -> None:
    source = make_small_tree(tmp_path / "source")
    if option == "--format=v7":  # knows no fifos
        (source / "etc/fifo").unlink()
    ingest(any_repository, source, "directory")
    root = commit_archive(any_repository, gnu_tar(source, option), "archive")
    assert root == root_of(any_repository, "directory")


@pytest.mark.root
def test_checkout_of_an_archive_alone(repository: Repository, tmp_path: Path) -> None:
    """Nothing was committed before that its objects could be twins of."""
    source = make_privileged_tree(tmp_path / "source")
    commit_archive(repository, gnu_tar(source, "--sparse"))
    assert problems_of(repository) == []
    check_out(repository, tmp_path / "out")
    assert list_tree(tmp_path / "out") == list_tree(source)
    found = (tmp_path / "out/sparse").stat()
    assert found.st_blocks * 512 < found.st_size


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_compressed(repository: Repository, compress: Callable[[bytes], bytes]) -> None:
    data = archive(file("a", b"x" * 3_000_000), file("b", b""))
    read = Read(repository, compress(data))
    assert read.file("a") == RegularFile(
        0o644, 0, 0, (), content_digest(b"x" * 3_000_000), 3_000_000
    )
    assert (read.contents.read_files, read.contents.read_bytes) == (2, 3_000_000)


# ---- one by one ----


def test_kinds(repository: Repository) -> None:
    read = Read(
        repository,
        archive(
            directory("./", 0o2750, uid=3, gid=4),
            file("file", b"x", mode=0o4755, uid=2**32 - 2, gid=1 << 21),
            member("link", tarfile.SYMTYPE, linkname="../\udcff"),
            member("fifo", tarfile.FIFOTYPE, mode=0o620),
            member("null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3),
            member("disk", tarfile.BLKTYPE, mode=0o660, devmajor=259, devminor=1048575),
            member("hard", tarfile.LNKTYPE, linkname="./file"),
        ),
    )
    assert read.head("") == TreeHead(0o2750, 3, 4, ())
    assert read.file("file") == RegularFile(
        0o4755, 2**32 - 2, 1 << 21, (), content_digest(b"x"), 1
    )
    assert read.file("link") == Symlink(0, 0, (), b"../\xff")
    assert read.file("fifo") == Fifo(0o620, 0, 0, ())
    assert read.file("null") == CharDevice(0o666, 0, 0, (), 1, 3)
    assert read.file("disk") == BlockDevice(0o660, 0, 0, (), 259, 1048575)
    assert read.item("hard") == read.item("file")


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize(
    "name",
    ["n" * 255, "é" * 127, "\udcff\udcfe", "new\nline", "d" * 150 + "/x", " ", "-rf", "..."],
)
def test_names(repository: Repository, name: str, format_: int) -> None:
    read = Read(repository, archive(file(name), format_=format_))
    assert isinstance(read.file(name), RegularFile)
    assert len(read.paths()) == 1 + name.count("/")


@pytest.mark.parametrize("name", ["./a/b", "a//b", "a/./b", "././a/b/"])
def test_names_that_are_the_same(repository: Repository, name: str) -> None:
    read = Read(repository, archive(file(name)))
    assert read.paths() == {"a", "a/b"}
    assert (read.head("a"), read.head("")) == (None, None)


def test_the_last_one_wins(repository: Repository) -> None:
    read = Read(
        repository,
        archive(
            directory("d", 0o700),
            file("d/below"),
            file("f", b"old"),
            member("older", tarfile.LNKTYPE, linkname="f"),
            file("f", b"new"),
            member("newer", tarfile.LNKTYPE, linkname="f"),
            file("becomes-a-link"),
            member("becomes-a-link", tarfile.SYMTYPE, linkname="f"),
            directory("d", 0o750),
        ),
    )
    assert read.head("d") == TreeHead(0o750, 0, 0, ())
    assert "d/below" in read.paths()
    contents = [read.file(name) for name in ("f", "older", "newer")]
    digests = [item.content for item in contents if isinstance(item, RegularFile)]
    assert digests == [content_digest(b) for b in (b"new", b"old", b"new")]
    assert isinstance(read.file("becomes-a-link"), Symlink)


def test_a_directory_after_what_is_in_it(repository: Repository) -> None:
    read = Read(repository, archive(file("d/below"), directory("d", 0o700)))
    assert read.head("d") == TreeHead(0o700, 0, 0, ())
    assert read.paths() == {"d", "d/below"}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sizes(repository: Repository, size: int) -> None:
    content = os.urandom(size)
    root = commit_archive(repository, archive(file("a", content), file("b", b"after")))
    assert root == root_of(repository)
    assert problems_of(repository) == []
    read = Read(repository, archive(file("a", content), file("b", b"after")))
    found = read.file("a")
    assert isinstance(found, RegularFile)
    assert (found.size, found.content) == (size, content_digest(content))
    assert read.batch.object_files == []  # all of it is here


def test_modifiers(repository: Repository) -> None:
    headers = {"SCHILY.xattr.user.a": "b"}
    data = archive(
        directory("d", uid=5, pax_headers=headers), file("d/f", uid=5, pax_headers=headers)
    )
    read = Read(repository, data, Modifiers(7, 8, xattrs=False))
    assert read.head("d") == TreeHead(0o755, 7, 8, ())
    found = read.file("d/f")
    assert (found.uid, found.gid, found.xattrs) == (7, 8, ())


def test_many_files(repository: Repository, tmp_path: Path) -> None:
    """Enough for workers, some too large for a message to them, some equal."""
    contents = {f"{n % 5}/{n}": os.urandom(4) * (n * 97 % 60_000) for n in range(300)}
    contents |= {f"same/{n}": b"the same" for n in range(100)}
    data = archive(*(file(name, content) for name, content in contents.items()))
    commit_archive(repository, data)
    assert problems_of(repository) == []
    check_out(repository, tmp_path / "out")
    found = {name: (tmp_path / "out" / name).read_bytes() for name in contents}
    assert found == contents
    assert Read(repository, data).batch.object_files == []


def test_skip(repository: Repository) -> None:
    data = archive(file("a/b"), directory("a/c"), file("a/c/d"), file("e"), file("ab"))
    source = TarSource(io.BytesIO(data), "test.tar", skip=frozenset({b"a/c", b"e", b"b"}))
    batch = Batch()
    contents = read_tar(repository, source, Modifiers(), batch)
    below = contents.layer.entries[b"a"]
    assert isinstance(below, Layer)
    assert (set(contents.layer.entries), set(below.entries)) == ({b"a", b"ab"}, {b"b"})
    assert contents.read_files == 2


def test_an_archive_of_nothing(repository: Repository) -> None:
    assert Read(repository, END).paths() == set()


def test_what_follows_the_end_is_no_part_of_it(repository: Repository) -> None:
    data = archive(file("a")) + archive(file("b")) + b"and more" * 100_000
    stream = io.BytesIO(data)
    assert read_archive(repository, stream).layer.entries.keys() == {b"a"}
    assert stream.read() == b""


def test_volume_labels_and_gnu_directories(repository: Repository) -> None:
    data = archive(
        member("label", b"V"), (member("d", b"D", mode=0o711), b"Yfile\0\0"), file("d/file")
    )
    read = Read(repository, data)
    assert read.paths() == {"d", "d/file"}
    assert read.head("d") == TreeHead(0o711, 0, 0, ())


# ---- attributes ----


def xattrs_of(repository: Repository, headers: dict[str, str], mode: int = 0o644) -> File:
    return Read(repository, archive(file("f", mode=mode, pax_headers=headers))).file("f")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"SCHILY.xattr.user.a": "\0\udcff\n="}, ((b"user.a", b"\0\xff\n="),)),
        ({"SCHILY.xattr.user.empty": ""}, ((b"user.empty", b""),)),
        ({"SCHILY.xattr.user.a%3Db%25c": "x"}, ((b"user.a=b%c", b"x"),)),
        ({"LIBARCHIVE.xattr.user.%C3%A9": "/wA"}, (("user.é".encode(), b"\xff\0"),)),
        ({"LIBARCHIVE.xattr.user.a": "/wA=", "SCHILY.xattr.user.a": "b"}, ((b"user.a", b"b"),)),
        ({"RHT.security.selinux": "a:b:c:s0"}, ((b"security.selinux", b"a:b:c:s0\0"),)),
        (
            {"SCHILY.xattr.security.selinux": "d\0", "RHT.security.selinux": "a"},
            ((b"security.selinux", b"d\0"),),
        ),
        (
            {"SCHILY.xattr.user.z": "1", "SCHILY.xattr.trusted.a": "2"},
            ((b"trusted.a", b"2"), (b"user.z", b"1")),
        ),
        ({"SCHILY.xattr.com.apple.quarantine": "x", "SCHILY.xattr.system.other": "y"}, ()),
        ({"SCHILY.xattr.user.ostreefs.object": "made up by a mount"}, ()),
        ({"comment": "nothing"}, ()),
    ],
)  # fmt: skip
def test_xattrs(
    repository: Repository, headers: dict[str, str], expected: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert xattrs_of(repository, headers).xattrs == expected


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (tarfile.SYMTYPE, {b"trusted.a"}),
        (tarfile.FIFOTYPE, {b"trusted.a", b"system.posix_acl_access"}),
        (tarfile.CHRTYPE, {b"trusted.a", b"system.posix_acl_access"}),
        (tarfile.REGTYPE, {b"trusted.a", b"user.a", b"system.posix_acl_access"}),
    ],
)
def test_attributes_that_linux_would_not_have(
    repository: Repository, kind: bytes, kept: set[bytes]
) -> None:
    headers = {
        "SCHILY.xattr.user.a": "1",
        "SCHILY.xattr.trusted.a": "2",
        "SCHILY.acl.access": "user::rw-,user:1234:r--,group::r--,mask::rw-,other::r--",
    }
    info = member("f", kind, linkname="target", pax_headers=headers)
    assert {name for name, _ in Read(repository, archive(info)).file("f").xattrs} == kept


def test_acls_decide_over_the_mode(repository: Repository) -> None:
    """The group's bits are the mask: so the kernel has it and GNU tar writes it, bsdtar not."""
    text = "user::rw-,user:1234:r--,group::r--,mask::rw-,other::r--"
    found = xattrs_of(repository, {"SCHILY.acl.access": text}, 0o4600)
    assert (found.mode, found.xattrs) == (0o4664, ((b"system.posix_acl_access", ACCESS_ACL),))
    raw = ACCESS_ACL.decode("utf-8", "surrogateescape")
    assert xattrs_of(repository, {"SCHILY.xattr.system.posix_acl_access": raw}, 0o4600) == found
    plain = xattrs_of(repository, {"SCHILY.acl.access": "user::rwx,group::r-x,other::---"})
    assert (plain.mode, plain.xattrs) == (0o750, ())
    assert (
        xattrs_of(repository, {"SCHILY.acl.default": "\n", "SCHILY.acl.access": ""}).xattrs == ()
    )


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"SCHILY.acl.access": "user::rwx"}, "ACL is malformed: it lacks"),
        (
            {"SCHILY.acl.access": "user::rwx,user:joe:r--,group::---,mask::r--,other::---"},
            "number",
        ),
        ({"SCHILY.xattr.system.posix_acl_access": "rubbish"}, "ACL is malformed"),
        ({"SCHILY.acl.default": "user::rwx,group::---,other::---"}, "not a directory"),
        ({"LIBARCHIVE.xattr.user.a": "§§§"}, "base64"),
        ({"SCHILY.xattr.user." + "n" * 300: ""}, "xattr name"),
        ({"SCHILY.xattr.user.a": "v" * 65537}, "longer than 65536"),
        ({"SCHILY.xattr.user.%00": ""}, "xattr name"),
    ],
)
def test_attributes_that_no_file_has(
    repository: Repository, headers: dict[str, str], reason: str
) -> None:
    with pytest.raises(ArchiveError, match=f"test.tar: member f: .*{reason}"):
        xattrs_of(repository, headers)


# ---- whiteouts ----


def test_whiteouts(repository: Repository) -> None:
    data = archive(
        file(".wh.gone", b""),
        file("a/.wh.b", b""),
        file("a/b/here", b""),
        file("c/x", b""),
        file("c/.wh..wh..opq", b""),
        file("d/kept", b""),
        file("d/.wh.kept", b""),
        file("e/sub/x", b""),
        file("e/.wh.sub", b""),
        file(".wh..wh.plnk", b""),
        member(".wh.linked", tarfile.LNKTYPE, linkname=".wh..wh.aufs"),
        file(".wh.again", b""),
        file("again", b""),
    )
    read = Read(repository, data, whiteouts=True)
    assert read.item("gone") is WHITEOUT
    assert read.item("linked") is WHITEOUT
    for path, opaque in (("a", False), ("a/b", True), ("c", True), ("d", False), ("e/sub", True)):
        layer = read.item(path)
        assert isinstance(layer, Layer)
        assert layer.opaque == opaque, path
    assert {"a/b/here", "c/x", "d/kept", "e/sub/x", "again"} <= read.paths()
    assert not any(".wh." in path for path in read.paths())
    assert isinstance(read.file("d/kept"), RegularFile)
    plain = Read(repository, archive(file(".wh.gone", b"")))
    assert plain.paths() == {".wh.gone"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh.."])
def test_whiteouts_of_nothing(repository: Repository, name: str) -> None:
    with pytest.raises(ArchiveError, match="whiteout of nothing"):
        Read(repository, archive(file(name, b"")), whiteouts=True)


# ---- what is refused ----


def link(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.LNKTYPE, linkname=target)


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return member(name, tarfile.SYMTYPE, linkname=target)


@pytest.mark.parametrize(
    ("members", "culprit", "reason"),
    [
        ([file("../etc/passwd")], "../etc/passwd", "'..'"),
        ([file("a/../../b")], "a/../../b", "'..'"),
        ([file("a/..")], "a/..", "'..'"),
        ([directory("..")], "..", "'..'"),
        ([file("/etc/passwd")], "/etc/passwd", "absolute"),
        ([directory("//d")], "//d", "absolute"),
        ([file("")], "(no name)", "no name"),
        ([file("./")], ".", "not a directory"),
        ([symlink(".", "/")], ".", "not a directory"),
        ([file("n" * 256)], "n" * 256, "longer than 255"),
        ([file("d/" + "n" * 256 + "/f")], "d/", "longer than 255"),
        ([link("a", "nothing")], "a", "link to nothing, which has not come before"),
        ([link("a", "b"), file("b")], "a", "link to b, which has not come before"),
        ([directory("d"), link("a", "d")], "a", "which is a directory"),
        ([link("a", ".")], "a", "the top of the tree, which is a directory"),
        ([link("a", "../b")], "a", "'..'"),
        ([link("a", "/b")], "a", "absolute"),
        ([file("f"), link("a", "f/x")], "a", "link to f/x"),
        ([symlink("up", "/etc"), file("up/passwd")], "up/passwd", "has up as something else"),
        ([symlink("up", "/etc"), directory("up/d")], "up/d", "has up as something else"),
        ([symlink("up", "/"), directory("up")], "up", "has up as something else"),
        ([symlink("a", "/"), link("b", "a"), file("b/c")], "b/c", "has b as something else"),
        ([file("a"), file("a/b")], "a/b", "something else than a directory"),
        ([file("a/b"), file("a")], "a", "a directory of that name"),
        ([directory("a"), symlink("a", "/etc")], "a", "a directory of that name"),
        ([file("f"), directory("a"), link("a", "f")], "a", "a directory of that name"),
        ([symlink("a", "")], "a", "symlink target"),
        ([symlink("a", "t" * 4096)], "a", "symlink target"),
        ([member("a", b"M")], "a", "type 'M' is not known"),
        ([file("a", pax_headers={"uid": "root"})], "a", "its uid is 'root'"),
        ([file("a", pax_headers={"gid": "-1"})], "a", "its gid is '-1'"),
        ([file("a", uid=2**32 - 1)], "a", "owner 4294967295:0 is out of range"),
        ([member("a", tarfile.CHRTYPE, devmajor=4096)], "a", "device number"),
        ([file("a\0b", pax_headers={"path": "a\0b"})], "a\\x00b", "NUL"),
    ],
)  # fmt: skip
def test_refused(
    repository: Repository,
    members: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]],
    culprit: str,
    reason: str,
) -> None:
    with pytest.raises(ArchiveError) as caught:
        Read(repository, archive(file("before"), *members))
    message = str(caught.value)
    assert message.startswith(f"test.tar: member {culprit}"), message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_cut_off_anywhere(repository: Repository, format_: int) -> None:
    data = archive(
        directory("d"), file("d/" + "n" * 150, b"x" * 2000), file("last", b"y"), format_=format_
    )
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    for length in [*range(0, end, 100), end]:
        with pytest.raises(ArchiveError, match=r"cut off|empty|not a tar|malformed"):
            Read(repository, data[:length])
    Read(repository, data[: end + 512])  # one block of zeros is an end


def test_garbage(repository: Repository) -> None:
    data = archive(file("a", b"x" * 1024), file("b"))
    for junk in (os.urandom(4096), b"PK\3\4" + bytes(1000), b"#!/bin/sh\n" * 100):
        with pytest.raises(ArchiveError, match="is not a tar archive"):
            Read(repository, junk)
        with pytest.raises(ArchiveError, match=r"the header before byte .* is malformed"):
            Read(repository, data[: 512 * 3] + junk.ljust(4096, b"x") + END)


def pax(records: bytes, following: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header that may be malformed, before another member."""
    header = member("pax", kind, size=len(records)).tobuf(tarfile.USTAR_FORMAT)
    return header + records.ljust(-(-len(records) // 512) * 512, b"\0") + following


PLAIN = member("f").tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    "data",
    [
        pax(b"0 x=y\n", PLAIN),
        pax(b"99999 path=y\n", PLAIN),
        pax(b"no length\n", PLAIN),
        pax(b"-5 a=b\n", PLAIN),
        pax(b"9" * 5000 + b" a=b\n", PLAIN),
        pax(b"30 GNU.sparse.map=1,2,x,y,zzz\n", PLAIN),
        pax(b"23 GNU.sparse.major=1\n" + b"22 GNU.sparse.minor=0\n", PLAIN),
        pax(b"", b"") * 2000,
        member("f", size=-5).tobuf(tarfile.GNU_FORMAT),
        member("f", tarfile.GNUTYPE_LONGNAME, size=-600).tobuf(tarfile.GNU_FORMAT),
        member("f", tarfile.GNUTYPE_LONGNAME, size=1 << 40).tobuf(tarfile.GNU_FORMAT),
        member("f", tarfile.XHDTYPE, size=1 << 62).tobuf(tarfile.GNU_FORMAT),
        PLAIN[:100] + b"zzzzzzz\0" + PLAIN[108:],
    ],
)
def test_headers_that_nobody_writes(repository: Repository, data: bytes) -> None:
    with pytest.raises(ArchiveError):
        Read(repository, data + END)
    with pytest.raises(ArchiveError):
        Read(repository, archive(file("a"))[: 512 * 2] + data + END)


@pytest.mark.parametrize("flipped", range(0, 512, 7))
def test_a_header_with_a_flipped_byte(repository: Repository, flipped: int) -> None:
    data = bytearray(archive(file("one", b"x" * 600), file("two")))
    data[1536 + flipped] ^= 0x21
    with pytest.raises(ArchiveError, match="malformed"):
        Read(repository, bytes(data))


# ---- sparse files ----


def record(key: str, value: object) -> bytes:
    """One record of an extended header; its length counts itself."""
    rest = f" {key}={value}\n"
    length = next(n for n in range(10_000) if len(str(n)) + len(rest) == n)
    return f"{length}{rest}".encode()


def sparse(
    extents: list[tuple[int, int]], size: int, data: bytes, *, stored: bytes = b""
) -> bytes:
    """A sparse member of GNU tar's format 1.0; `stored` is a size record of its own."""
    numbers = [len(extents), *(number for extent in extents for number in extent)]
    map_ = "".join(f"{number}\n" for number in numbers).encode()
    body = map_.ljust(-(-len(map_) // 512) * 512, b"\0") + data
    records = {"major": 1, "minor": 0, "name": "big", "realsize": size}
    text = b"".join(record(f"GNU.sparse.{key}", value) for key, value in records.items())
    header = member("GNUSparseFile.0/big", size=len(body)).tobuf(tarfile.USTAR_FORMAT)
    return pax(text + stored, header + body.ljust(-(-len(body) // 512) * 512, b"\0"))


@pytest.mark.parametrize("stored", [b"", record("size", 1024), record("path", "else/where")])
def test_sparse_by_hand(repository: Repository, stored: bytes) -> None:
    data = sparse([(4096, 512), (8192, 0)], 8192, b"d" * 512, stored=stored) + archive(
        file("after")
    )
    read = Read(repository, data)
    found = read.file("big")
    assert isinstance(found, RegularFile)
    content = bytes(4096) + b"d" * 512 + bytes(8192 - 4608)
    assert (found.size, found.content) == (8192, content_digest(content))
    assert read.paths() == {"big", "after"}


@pytest.mark.parametrize(
    ("extents", "size"),
    [
        ([(0, 512), (100, 512)], 4096),
        ([(4096, 512), (0, 512)], 8192),
        ([(0, 1 << 40)], 512),
        ([(-5, 512)], 512),
        ([(0, -512)], 512),
        ([(1 << 62, 1 << 62)], (1 << 63) - 1),
        ([(0, 512)], 1 << 63),
    ],
)
def test_maps_of_no_file(
    repository: Repository, extents: list[tuple[int, int]], size: int
) -> None:
    with pytest.raises(ArchiveError, match=r"map of holes|out of range"):
        Read(repository, sparse(extents, size, b"d" * 1024) + END)


def test_a_file_too_large_for_the_filesystem(repository: Repository) -> None:
    with pytest.raises(OSError, match=r"large|argument"):
        Read(repository, sparse([(0, 512)], (1 << 63) - 1, b"d" * 512) + END)
    assert list((repository.path / "tmp").iterdir()) == []


# ---- objects whose name is taken ----


@pytest.mark.parametrize("size", [100, 2 << 20])
@pytest.mark.parametrize("left", ["whole", "cut", "linked"])
def test_what_a_crash_left(repository: Repository, tmp_path: Path, size: int, left: str) -> None:
    content = os.urandom(size)
    data = archive(file("f", content))
    read = Read(repository, data)  # as if it died before the commit
    digest = read.item("f")
    assert isinstance(digest, bytes)
    path = repository.path / "objects" / object_name(digest)
    inode = path.stat().st_ino
    if left == "cut":
        os.truncate(path, size // 2)
    if left == "linked":
        os.link(path, tmp_path / "second name")
    commit_archive(repository, data)
    assert (path.stat().st_ino == inode) == (left == "whole")
    assert path.read_bytes() == content
    assert problems_of(repository) == []


@pytest.mark.parametrize("size", [100, 2 << 20])
def test_content_that_is_here_makes_a_twin(
    repository: Repository, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    commit_archive(repository, archive(file("f", content)))
    read = Read(repository, archive(file("f", content, mode=0o755)))
    assert (read.batch.object_files, len(read.batch.twins)) == ([], 1)
    commit_archive(repository, archive(file("f", content, mode=0o755)))
    assert problems_of(repository) == []
    check_out(repository, tmp_path / "out")
    assert (tmp_path / "out/f").read_bytes() == content
    assert (tmp_path / "out/f").stat().st_mode & 0o777 == 0o755


def test_damaged_objects_are_healed(repository: Repository) -> None:
    data = archive(file("f", b"x" * 100))
    commit_archive(repository, data)
    [path] = [p for p in (repository.path / "objects").rglob("*") if p.is_file()]
    path.unlink()
    commit_archive(repository, data)
    assert path.read_bytes() == b"x" * 100
    assert problems_of(repository) == []


def test_nothing_is_left_of_an_archive_that_fails(repository: Repository) -> None:
    data = archive(file("large", os.urandom(3 << 20)), file("../evil"))
    with pytest.raises(ArchiveError, match="evil"):
        read_archive(repository, data)
    with pytest.raises(ArchiveError, match="cut off"):
        read_archive(repository, data[: 2 << 20])
    assert list((repository.path / "tmp").iterdir()) == []
    with repository.index.snapshot() as snapshot:
        assert (snapshot.count("files"), snapshot.count("refs")) == (0, 0)


def test_binary_numbers(repository: Repository) -> None:
    """GNU tar writes large numbers in base 256."""
    info = member("f", uid=3_000_000_000, gid=2**31)
    read = Read(repository, info.tobuf(tarfile.GNU_FORMAT) + END)
    assert (read.file("f").uid, read.file("f").gid) == (3_000_000_000, 2**31)


def test_old_gnu_sparse(repository: Repository, tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as out:
        for block in range(60):  # more pieces than a header has room for
            out.seek(block * 131072)
            out.write(struct.pack("<I", block) * 1024)
    data = gnu_tar(tmp_path, "--format=gnu", "--sparse", members=("f",))
    assert len(data) < 1 << 20
    found = Read(repository, data).file("f")
    assert isinstance(found, RegularFile)
    assert found.content == content_digest((tmp_path / "f").read_bytes())
