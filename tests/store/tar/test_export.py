# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees as tar archives, as other programs see them."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from ostreefs_store.errors import CorruptionError, PathNotFoundError
from ostreefs_store.model import EMPTY_CONTENT, RegularFile
from ostreefs_store.repository import Repository
from ostreefs_store.tar.export import ExportOptions, ExportResult, export_tree, replaced_file
from ostreefs_store.tar.tarheader import format_header, format_record
from ostreefs_store.tar.tarstream import compressed, compression_of, find_compression, open_stream
from tests.support.archives import commit_archive
from tests.support.trees import (
    acl,
    ingest,
    list_tree,
    make_privileged_tree,
    make_small_tree,
    root_of,
    write,
)

GNU_TAR = ("tar", "--xattrs", "--xattrs-include=*", "--acls")
BSDTAR = ("bsdtar", "--xattrs", "--acls")


def export(
    repository: Repository,
    options: ExportOptions = ExportOptions(),  # noqa: B008 -- an immutable value
) -> bytes:
    out = io.BytesIO()
    result = export_tree(repository, root_of(repository), out, options)
    assert result.size == len(out.getvalue())
    return out.getvalue()


def extract(data: bytes, place: Path, tool: tuple[str, ...] = GNU_TAR) -> Path:
    """What a program makes of an archive, without a word."""
    place.mkdir()
    command = [*tool, "--numeric-owner", "-xpf", "-", "-C", str(place)]
    done = subprocess.run(command, input=data, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return place


def names_in(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        return tar.getnames()


def make_odd_names(root: Path) -> None:
    """Names and targets on either side of what a header has room for."""
    root.mkdir()
    for name in (b"\xff" * 99, b"\xff" * 101, b"a" * 100, b"a" * 101, "é".encode() * 60):
        write(root / os.fsdecode(name), name)
        (root / os.fsdecode(name + b".d")).mkdir()
        os.symlink(name * 3, os.fsencode(root) + b"/" + name + b".link")


# ---- other programs ----


@pytest.mark.root
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("tool", [GNU_TAR, BSDTAR])
def test_extracted(
    repository: Repository, tmp_path: Path, tool: tuple[str, ...], sparse: bool
) -> None:
    source = make_privileged_tree(tmp_path / "source")
    make_odd_names(source / "odd")
    ingest(repository, source)
    data = export(repository, ExportOptions(sparse=sparse))
    assert (len(data) < 4 << 20) == sparse
    out = extract(data, tmp_path / "out", tool)
    assert list_tree(out) == list_tree(source)
    if tool == GNU_TAR:
        assert {(out / name).lstat().st_mtime for name in (".", "bin", "etc", "etc/fifo")} == {0}
    ingest(repository, out, "again")
    assert root_of(repository, "again") == root_of(repository)
    assert commit_archive(repository, data, "directly") == root_of(repository)


@pytest.mark.root
def test_names_of_attributes(repository: Repository, tmp_path: Path) -> None:
    """bsdtar 3.6 cannot read back what it writes of such names itself; GNU tar can."""
    source = make_small_tree(tmp_path / "source")
    for name in ("user.a=b", "user.50%", "user.%3D", "user.\udcff", "user.new\nline"):
        os.setxattr(source / "etc/empty", name, b"\xff\0\n=%")
    ingest(repository, source)
    assert list_tree(extract(export(repository), tmp_path / "out")) == list_tree(source)
    assert commit_archive(repository, export(repository), "again") == root_of(repository)


@pytest.mark.root
def test_acls_are_text_where_that_says_the_same(repository: Repository, tmp_path: Path) -> None:
    no_id = 0xFFFFFFFF
    file = write(tmp_path / "source/file")
    unsorted = acl(
        (1, 6, no_id), (2, 4, 9), (2, 4, 7), (4, 4, no_id), (16, 6, no_id), (32, 4, no_id)
    )
    os.setxattr(file, "system.posix_acl_access", unsorted)
    kept = os.getxattr(file, "system.posix_acl_access")
    ingest(repository, tmp_path / "source")
    data = export(repository)
    assert (b"SCHILY.xattr.system.posix_acl_access" in data) == (kept == unsorted)
    assert commit_archive(repository, data, "again") == root_of(repository)


def test_equal_trees_have_equal_archives(any_repository: Repository, tmp_path: Path) -> None:
    ingest(any_repository, make_small_tree(tmp_path / "one"))
    first = export(any_repository)
    ingest(any_repository, make_small_tree(tmp_path / "two"))
    assert export(any_repository) == first
    assert len(first) % 10240 == 0
    names = names_in(first)
    assert names == [".", *sorted(names[1:], key=lambda name: name.split("/"))]


def test_twins_are_read_through_their_holders(repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    (source / "usr/share/same").chmod(0o600)
    ingest(repository, source)
    with repository.index.snapshot() as snapshot:
        assert snapshot.count("twins") == 1
    assert list_tree(extract(export(repository), tmp_path / "out")) == list_tree(source)


# ---- options ----


@pytest.fixture
def small(repository: Repository, tmp_path: Path) -> Path:
    source = make_small_tree(tmp_path / "source")
    os.setxattr(source / "etc/empty", "user.a", b"b")
    ingest(repository, source)
    return source


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ExportOptions(subpath=b"usr/bin"), [".", "tool"]),
        (ExportOptions(subpath=b"/usr/bin/"), [".", "tool"]),
        (ExportOptions(subpath=b"usr/bin/tool"), ["tool"]),
        (ExportOptions(subpath=b"usr/bin", prefix=b"opt/"), ["opt", "opt/tool"]),
        (ExportOptions(subpath=b"usr/bin", prefix=b"opt"), ["opt", "opttool"]),
        (ExportOptions(subpath=b"etc/empty.d"), ["."]),
    ],
)
def test_parts(repository: Repository, options: ExportOptions, expected: list[str]) -> None:
    assert names_in(export(repository, options)) == expected


@pytest.mark.usefixtures("small")
def test_without_xattrs(repository: Repository) -> None:
    assert b"SCHILY" in export(repository)
    assert b"SCHILY" not in export(repository, ExportOptions(xattrs=False))


@pytest.mark.usefixtures("small")
def test_no_such_path(repository: Repository) -> None:
    with pytest.raises(PathNotFoundError):
        export(repository, ExportOptions(subpath=b"usr/nothing"))


@pytest.mark.usefixtures("small")
def test_result_and_progress(repository: Repository) -> None:
    seen: list[tuple[int, int]] = []
    out = io.BytesIO()
    result = export_tree(
        repository, root_of(repository), out, ExportOptions(), lambda *done: seen.append(done)
    )
    assert result == ExportResult(len(names_in(out.getvalue())), len(out.getvalue()))
    assert [members for members, _ in seen] == list(range(1, result.members + 1))


# ---- damage ----


@pytest.mark.parametrize("damage", ["content", "size", "missing"])
@pytest.mark.parametrize("size", [100, 3 << 20])
def test_a_damaged_object_is_not_carried_off(
    repository: Repository, tmp_path: Path, damage: str, size: int
) -> None:
    write(tmp_path / "source/a")
    write(tmp_path / "source/file", os.urandom(size))
    ingest(repository, tmp_path / "source")
    [path] = [p for p in (repository.path / "objects").rglob("*") if p.is_file()]
    path.chmod(0o644)
    if damage == "content":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "size":
        os.truncate(path, size - 1)
    else:
        path.unlink()
    out = io.BytesIO()
    with pytest.raises(CorruptionError):
        export_tree(repository, root_of(repository), out, ExportOptions())
    assert not out.getvalue().endswith(bytes(1024))


# ---- files and compression ----


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.tar.zst", "x.tbz2"])
@pytest.mark.usefixtures("small")
def test_compressed(repository: Repository, tmp_path: Path, name: str) -> None:
    data = export(repository)
    packed: list[bytes] = []
    for _ in range(2):
        out = io.BytesIO()
        with compressed(out, compression_of(name)) as stream:
            stream.write(data)
        packed.append(out.getvalue())
    assert packed[0] == packed[1]
    assert find_compression(packed[0]) == compression_of(name)
    with open_stream(io.BytesIO(packed[0])) as source:
        assert source.read(len(data)) == data
    (tmp_path / name).write_bytes(packed[0])
    listed = subprocess.run(["tar", "-tf", tmp_path / name], check=True, capture_output=True)
    assert len(listed.stdout.splitlines()) == len(names_in(data))


def test_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with replaced_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"

    def fail() -> None:
        with replaced_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"new"
    (tmp_path / "link").symlink_to("out")
    with replaced_file(tmp_path / "link") as file:
        file.write(b"through a link")
    assert path.read_bytes() == b"through a link"
    assert {p.name for p in tmp_path.iterdir()} == {"out", "link"}
    with replaced_file(Path("/dev/null")) as file:
        file.write(b"gone")
    assert Path("/dev/null").is_char_device()


# ---- headers ----


@pytest.mark.parametrize("length", [*range(85, 110), *range(985, 1010)])
def test_the_length_of_a_record_counts_itself(length: int) -> None:
    record = format_record(b"k", b"v" * length)
    assert int(record.split(b" ")[0]) == len(record)


def test_large_numbers() -> None:
    file = RegularFile(0o644, 2**32 - 2, 2097152, (), EMPTY_CONTENT, 8**11)
    data = format_header(b"f", file)
    info = tarfile.TarInfo.frombuf(data[-512:], "utf-8", "strict")
    assert (info.uid, info.gid, info.size) == (0, 0, 0)
    for record in (b"uid=4294967294\n", b"gid=2097152\n", b"size=8589934592\n"):
        assert record in data
    small = RegularFile(0o644, 2097151, 2097151, (), EMPTY_CONTENT, 8**11 - 1)
    assert len(format_header(b"f", small)) == 512
