# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages, their databases, and how sets of them differ."""

import sqlite3
import struct
from pathlib import Path

import pytest

from ostreefs_store.comparing.packages import Package, diff_packages, parse_dpkg_status
from ostreefs_store.comparing.packagesets import PackageDiff, diff_package_sets
from ostreefs_store.comparing.rpmdb import parse_header, read_rpmdb
from ostreefs_store.comparing.sides import CommitSide, DirectorySide
from ostreefs_store.errors import PackageDatabaseError
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.repository import Repository
from tests.support.trees import ingest, write


def packages(*words: str) -> list[Package]:
    """Packages as ``name=version`` or ``name:arch=version``."""
    found = []
    for word in words:
        name, _, version = word.partition("=")
        name, _, arch = name.partition(":")
        found.append(Package(name, arch or "amd64", version))
    return found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a=1", "a=1", []),
        ("a=1", "a=2", ["upgraded a:amd64 1 2"]),
        ("a=2", "a=1~rc1", ["downgraded a:amd64 2 1~rc1"]),
        ("a=1.0", "a=1.00", ["changed a:amd64 1.0 1.00"]),
        ("a=1", "b=1", ["removed a:amd64 1 None", "added b:amd64 None 1"]),
        ("", "b=1 a=2", ["added a:amd64 None 2", "added b:amd64 None 1"]),
        ("a:all=1", "a=2", ["upgraded a:amd64 1 2"]),
        ("a:all=1", "a=1", ["changed a:amd64 1 1"]),
        ("a=1 a:i386=1", "a=2 a:i386=1", ["upgraded a:amd64 1 2"]),
        ("a=1 a:i386=1", "a=2", ["upgraded a:amd64 1 2", "removed a:i386 1 None"]),
        ("a=1", "a=1 a:i386=1", ["added a:i386 None 1"]),
        ("k=1 k=2", "k=2 k=3", ["removed k:amd64 1 None", "added k:amd64 None 3"]),
        ("k=1", "k=1 k=10 k=9", ["added k:amd64 None 9", "added k:amd64 None 10"]),
        ("k=1 k=2", "k=2", ["removed k:amd64 1 None"]),
    ],
)
def test_diff(old: str, new: str, expected: list[str]) -> None:
    changes = diff_packages("dpkg", packages(*old.split()), packages(*new.split()))
    assert [f"{c.kind} {c.name}:{c.arch} {c.old} {c.new}" for c in changes] == expected


def test_each_kind_has_its_order() -> None:
    old, new = packages("a=1.0^1"), packages("a=1.0.1")
    assert diff_packages("rpm", old, new)[0].kind == "upgraded"
    assert diff_packages("dpkg", old, new)[0].kind == "downgraded"


# ---- dpkg ----

STATUS = b"""\
Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: GNU Bourne Again SHell
 Package: this is no field
 .
 Version: nor this

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: held
Status: hold ok installed
Version:  2:1.0-1\x20
ARCHITECTURE: all

Package: half
Status: install ok half-configured
Architecture: i386
Version: 3
"""
EXPECTED = [
    Package("bash", "amd64", "5.2.15-2+b7"),
    Package("held", "all", "2:1.0-1"),
    Package("half", "i386", "3"),
]


@pytest.mark.parametrize(
    "text", [STATUS, STATUS.replace(b"\n", b"\r\n"), b"\n\n" + STATUS + b"\n \n\n"]
)
def test_dpkg_status(text: bytes) -> None:
    assert list(parse_dpkg_status(text)) == EXPECTED


def test_strange_dpkg_status() -> None:
    assert list(parse_dpkg_status(b"")) == []
    assert list(parse_dpkg_status(b"\xff\0\n\nVersion: 1\n")) == []
    assert list(parse_dpkg_status(b"Package: x\n")) == [Package("x", "", "")]
    assert list(parse_dpkg_status(b"Package: x\nStatus:\n")) == [Package("x", "", "")]


# ---- rpm ----


def header(name: str, version: str, release: str, arch: str = "x86_64", epoch: int = 0) -> bytes:
    """A header as rpm stores it, with a tag more than is needed."""
    data = b""
    index = b""
    fields: list[tuple[int, int, bytes]] = [
        (100, 8, b"C\0"),
        *((tag, 6, text.encode() + b"\0") for tag, text in ((1000, name), (1001, version))),
        (1002, 6, release.encode() + b"\0"),
        (1022, 6, arch.encode() + b"\0"),
    ]
    if epoch:
        fields.append((1003, 4, struct.pack(">I", epoch)))
    for tag, kind, value in fields:
        data += bytes(-len(data) % 4) if kind == 4 else b""
        index += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(fields), len(data)) + index + data


def write_rpmdb(path: Path, *headers: bytes, wal: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(h,) for h in headers])
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("wal", [True, False])
def test_rpmdb(tmp_path: Path, wal: bool) -> None:
    path = write_rpmdb(
        tmp_path / "rpmdb.sqlite",
        header("bash", "5.2.26", "3.fc40"),
        header("gpg-pubkey", "a15b79cc", "63d04c2c", "(none)"),
        header("vim", "9.1", "1.fc40", "aarch64", epoch=2),
        wal=wal,
    )
    path.chmod(0o444)
    assert list(read_rpmdb(str(path))) == [
        Package("bash", "x86_64", "5.2.26-3.fc40"),
        Package("vim", "aarch64", "2:9.1-1.fc40"),
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["rpmdb.sqlite"]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 40,
        header("a", "1", "1")[:-1],
        header("a", "1", "1")[:30],
        header("a", "1", "1").replace(struct.pack(">II", 1000, 6), struct.pack(">II", 1000, 7)),
    ],
)
def test_malformed_headers(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(PackageDatabaseError, match="malformed"):
        parse_header(blob)
    path = write_rpmdb(tmp_path / "rpmdb.sqlite", blob)
    with pytest.raises(PackageDatabaseError):
        list(read_rpmdb(str(path)))


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(200)])
def test_no_rpmdb(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "rpmdb.sqlite", content)
    with pytest.raises(PackageDatabaseError):
        list(read_rpmdb(str(path)))


def test_an_rpmdb_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE Packages (blob TEXT)")
    connection.execute("INSERT INTO Packages VALUES ('text'), (NULL), (7)")
    connection.commit()
    connection.close()
    with pytest.raises(PackageDatabaseError):
        list(read_rpmdb(str(path)))


# ---- in commits ----


def between(repository: Repository) -> list[PackageDiff]:
    with repository.index.snapshot() as snapshot:
        sides = [CommitSide(repository, snapshot, revision) for revision in ("old", "new")]
        return diff_package_sets(*sides)


def told(found: PackageDiff) -> list[str]:
    assert found.problem is None
    return [f"{change.kind} {change.name}" for change in found.changes]


def test_dpkg_in_commits(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    status = write(source / "var/lib/dpkg/status", STATUS)
    write(source / "var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12\n")
    write(source / "var/lib/dpkg/status.d/base.md5sums", b"Package: no\n")
    ingest(repository, source, "old")
    ingest(repository, source, "new")
    [same] = between(repository)
    assert same == PackageDiff("dpkg", [])
    write(status, STATUS.replace(b"-2+b7", b"-3") + b"\nPackage: new\nVersion: 1\n")
    write(source / "var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 11\n")
    ingest(repository, source, "new")
    [found] = between(repository)
    assert told(found) == ["downgraded base-files", "upgraded bash", "added new"]


def test_a_distroless_commit(repository: Repository, tmp_path: Path) -> None:
    """Without a status, and from one with a status."""
    source = tmp_path / "source"
    status = write(source / "var/lib/dpkg/status", b"Package: a\nVersion: 1\n")
    ingest(repository, source, "old")
    status.unlink()
    write(source / "var/lib/dpkg/status.d/a", b"Package: a\nVersion: 2\n")
    ingest(repository, source, "new")
    [found] = between(repository)
    assert told(found) == ["upgraded a"]


@pytest.mark.parametrize("folder", ["usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"])
def test_rpm_in_commits(repository: Repository, tmp_path: Path, folder: str) -> None:
    source = tmp_path / "source"
    path = source / folder / "rpmdb.sqlite"
    write_rpmdb(path, header("bash", "5", "1"), header("kernel", "6.1", "1"))
    ingest(repository, source, "old")
    write_rpmdb(path, header("bash", "5", "1", epoch=1), header("kernel", "6.1~rc1", "1"))
    ingest(repository, source, "new")
    [found] = between(repository)
    assert told(found) == ["upgraded bash", "downgraded kernel"]


def test_what_an_older_rpm_left(repository: Repository, tmp_path: Path) -> None:
    """Is not looked at where there is a database in the present place."""
    source = tmp_path / "source"
    path = write_rpmdb(source / "usr/lib/sysimage/rpm/rpmdb.sqlite", header("a", "1", "1"))
    write(source / "var/lib/rpm/Packages", b"left")
    ingest(repository, source, "old")
    write_rpmdb(path, header("a", "2", "1"))
    ingest(repository, source, "new")
    [found] = between(repository)
    assert told(found) == ["upgraded a"]


@pytest.mark.parametrize(("name", "form"), [("Packages.db", "ndb"), ("Packages", "Berkeley DB")])
def test_old_forms_of_rpm(repository: Repository, tmp_path: Path, name: str, form: str) -> None:
    source = tmp_path / "source"
    path = write(source / "var/lib/rpm" / name, b"one")
    ingest(repository, source, "old")
    ingest(repository, source, "new")
    assert between(repository) == [PackageDiff("rpm", [])], "equal needs no reading"
    write(path, b"other")
    ingest(repository, source, "new")
    [found] = between(repository)
    assert form in str(found.problem)


def test_damaged_databases(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "var/lib/dpkg").mkdir(parents=True)
    (source / "var/lib/dpkg/status").symlink_to("/dev/zero")
    write(source / "var/lib/rpm/rpmdb.sqlite", b"no database")
    ingest(repository, source, "old")
    write(source / "var/lib/rpm/rpmdb.sqlite")
    (source / "var/lib/dpkg/status").unlink()
    write(source / "var/lib/dpkg/status", STATUS)
    ingest(repository, source, "new")
    dpkg, rpm = between(repository)
    assert told(dpkg) == ["added bash", "added half", "added held"]
    assert "rpm database cannot be read" in str(rpm.problem)


def test_where_one_commit_has_none(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "file")
    ingest(repository, source, "old")
    write(source / "var/lib/dpkg/status", STATUS)
    ingest(repository, source, "new")
    assert between(repository) == []


def test_a_directory_beside_a_commit(repository: Repository, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "var/lib/dpkg/status", STATUS)
    write(source / "var/lib/dpkg/status.d/a", b"Package: a\nVersion: 1\n")
    path = write_rpmdb(source / "usr/share/rpm/rpmdb.sqlite", header("x", "1", "1"))
    ingest(repository, source, "old")
    write(source / "var/lib/dpkg/status", b"")
    write(source / "var/lib/dpkg/status.d/a", b"Package: a\nVersion: 2\n")
    write_rpmdb(path, header("x", "2", "1"))
    with repository.index.snapshot() as snapshot:
        commit = CommitSide(repository, snapshot, "old")
        dpkg, rpm = diff_package_sets(commit, DirectorySide(str(source), Modifiers()))
    assert told(dpkg) == ["upgraded a", "removed bash", "removed half", "removed held"]
    assert told(rpm) == ["upgraded x"]
