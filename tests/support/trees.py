# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees of files for tests: making them, listing them, comparing them. Not built on the store."""

import hashlib
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ostreefs_store.batch import Batch
from ostreefs_store.checking.fsck import Problem, check_repository
from ostreefs_store.checkouts.checkout import CheckoutResult, checkout
from ostreefs_store.checkouts.filemaker import CheckoutOptions
from ostreefs_store.committing.commit import Message, Target, write_commit
from ostreefs_store.committing.consume import Left, delete_source
from ostreefs_store.committing.ingest import Ingested, ingest_directory, open_source
from ostreefs_store.committing.scan import SourceOptions
from ostreefs_store.model import Digest
from ostreefs_store.modifiers import Modifiers
from ostreefs_store.refs import read_commit, resolve
from ostreefs_store.repository import Repository

MESSAGE = Message("A subject", "A body", 1_700_000_000, {})
_KEPT_XATTRS = ("user.", "security.", "trusted.", "system.posix_acl_")

# ---- listing ----


class Entry(NamedTuple):
    """All that a commit promises to keep of one path."""

    kind: int
    mode: int
    uid: int
    gid: int
    xattrs: tuple[tuple[str, bytes], ...]
    data: object
    """SHA-256 of the content and its size; a target; a device number; None."""


Listing = dict[bytes, Entry]


def list_tree(root: str | os.PathLike[str]) -> Listing:
    """List everything under `root` by relative path (b"." is the root); sockets are left out.

    Works with descriptors, so that no path is too long; never recursive, so that none is too deep.
    """
    found: Listing = {}
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    found[b"."] = _entry_of_directory(top)
    pending = [(top, b"")]
    while pending:
        fd, path = pending.pop()
        for name in os.listdir(f"/proc/self/fd/{fd}".encode()):
            full = path + name
            facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                child = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                found[full] = _entry_of_directory(child)
                pending.append((child, full + b"/"))
            elif not stat.S_ISSOCK(facts.st_mode):
                found[full] = _entry_at(fd, name, facts)
        os.close(fd)
    return found


def _entry_of_directory(fd: int) -> Entry:
    return _entry(os.fstat(fd), _xattrs(fd), None)


def _entry_at(dir_fd: int, name: bytes, facts: os.stat_result) -> Entry:
    data: object = None
    if stat.S_ISREG(facts.st_mode):
        data = (facts.st_size, _sha256(dir_fd, name, facts.st_size))
    elif stat.S_ISLNK(facts.st_mode):
        data = os.readlink(name, dir_fd=dir_fd)
    elif stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
        data = facts.st_rdev
    return _entry(facts, _xattrs(f"/proc/self/fd/{dir_fd}/{os.fsdecode(name)}"), data)


def _entry(facts: os.stat_result, xattrs: tuple[tuple[str, bytes], ...], data: object) -> Entry:
    kind, mode = stat.S_IFMT(facts.st_mode), stat.S_IMODE(facts.st_mode)
    return Entry(kind, mode, facts.st_uid, facts.st_gid, xattrs, data)


def _xattrs(target: int | str) -> tuple[tuple[str, bytes], ...]:
    follow = isinstance(target, int)
    names = os.listxattr(target, follow_symlinks=follow)
    kept = sorted(name for name in names if name.startswith(_KEPT_XATTRS))
    return tuple((name, os.getxattr(target, name, follow_symlinks=follow)) for name in kept)


def _sha256(dir_fd: int, name: bytes, size: int) -> str:
    """Hash what is data, and where it lies in the file: a hole of 4 GiB costs nothing."""
    hasher = hashlib.sha256()
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        for start, end in data_ranges(fd, size):
            for offset in range(start - start % 4096, end, 4096):
                block = os.pread(fd, 4096, offset)
                if block.strip(b"\0"):
                    hasher.update(struct.pack("<q", offset) + block)
    finally:
        os.close(fd)
    return hasher.hexdigest()


def data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield what lseek(2) says is data."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            return
        offset = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, offset


def as_user(listing: Listing) -> Listing:
    """What a checkout with -U shows of a tree: no setuid bits, no xattrs, our own owner."""
    uid, gid = os.geteuid(), os.getegid()
    return {
        path: entry._replace(mode=_user_mode(entry), uid=uid, gid=gid, xattrs=())
        for path, entry in listing.items()
    }


def _user_mode(entry: Entry) -> int:
    return entry.mode if entry.kind == stat.S_IFLNK else entry.mode & 0o777


# ---- making ----


def write(path: Path, data: bytes = b"", mode: int = 0o644) -> Path:
    """Write a file, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def make_small_tree(root: Path) -> Path:
    """Make a tree that anybody can make: a few files, directories and links."""
    root.mkdir(parents=True)
    write(root / "usr/bin/tool", b"#!/bin/sh\necho tool\n", 0o755)
    write(root / "usr/lib/libtool.so", b"\x7fELF" + bytes(range(256)) * 20)
    write(root / "usr/lib/same", b"same content")
    write(root / "usr/share/same", b"same content")
    write(root / "usr/share/private", b"secret", 0o600)
    write(root / "etc/empty")
    (root / "etc/empty.d").mkdir()
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/nowhere").symlink_to("/nonexistent/target")
    os.mkfifo(root / "etc/fifo", 0o640)
    (root / "usr/mode-0700").mkdir(0o700)
    (root / "usr/mode-0700").chmod(0o700)
    write(root / "usr/read-only/file", b"in a read-only directory", 0o444)
    (root / "usr/read-only").chmod(0o555)
    return root


AWKWARD_NAMES = (
    b"not utf-8 \xff\xfe",
    b"new\nline",
    b"tab\tand \\ backslash",
    b" leading and trailing ",
    b"-rf",
    b"...",
    b"a" * 255,
    "é".encode() * 127,
    b"quote\"'`$(x)",
    b"\x01\x7f",
)


def make_awkward_names(root: Path) -> None:
    """Make a file, a directory and a symlink of every awkward name."""
    for kind in ("files", "directories", "links"):
        (root / kind).mkdir(parents=True)
    for name in AWKWARD_NAMES:
        (root / "files" / os.fsdecode(name)).write_bytes(name)
        below = root / "directories" / os.fsdecode(name)
        below.mkdir()
        (below / os.fsdecode(name)).write_bytes(name)
        os.symlink(name, os.fsencode(root / "links") + b"/" + name)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return the value of a system.posix_acl_* attribute: (tag, permissions, id) triples."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NO_ID = 0xFFFFFFFF
ACCESS_ACL = acl((1, 6, _NO_ID), (2, 4, 1234), (4, 4, _NO_ID), (16, 6, _NO_ID), (32, 4, _NO_ID))
DEFAULT_ACL = acl((1, 7, _NO_ID), (4, 5, _NO_ID), (8, 7, 4321), (16, 7, _NO_ID), (32, 0, _NO_ID))
FILE_CAPS = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""security.capability: cap_net_bind_service, effective and permitted."""


def make_privileged_tree(root: Path) -> Path:
    """Make a tree with every kind of file and attribute that only root can make."""
    make_small_tree(root)
    make_awkward_names(root / "names")
    root.chmod(0o751)
    os.chown(root, 3, 4)
    dev = root / "dev"
    dev.mkdir()
    for name, kind, number in (
        ("null", stat.S_IFCHR, os.makedev(1, 3)),
        ("big", stat.S_IFCHR, os.makedev(511, 1 << 19)),
        ("loop", stat.S_IFBLK, os.makedev(7, 200)),
        ("zero", stat.S_IFCHR, 0),
    ):
        os.mknod(dev / name, kind | 0o600, number)
        os.chown(dev / name, 5, 6)
        os.chmod(dev / name, 0o620)
    os.mkfifo(dev / "fifo")
    os.chown(dev / "fifo", 7, 8)
    bits = root / "bits"
    bits.mkdir()
    for mode in (0o4755, 0o2755, 0o6711, 0o1644, 0o7777, 0o000, 0o4000):
        path = write(bits / f"{mode:04o}", f"mode {mode:o}".encode())
        os.chown(path, mode, 1000 + mode)
        path.chmod(mode)
        sub = bits / f"{mode:04o}.d"
        sub.mkdir()
        write(sub / "file", b"below")
        os.chown(sub, 2000, 2001)
        sub.chmod(mode)
    _make_xattrs(root / "xattrs")
    (root / "owned-link").symlink_to("target")
    os.chown(root / "owned-link", 2**32 - 2, 77, follow_symlinks=False)
    write(root / "large", os.urandom(1 << 16) * 40 + b"odd end")
    make_sparse(root / "sparse", 8 << 20, {2 << 20: b"data in the middle"})
    make_sparse(root / "all-hole", 3 << 20, {})
    return root


def _make_xattrs(root: Path) -> None:
    root.mkdir()
    file = write(root / "file", b"with attributes", 0o664)
    os.setxattr(file, "user.comment", b"a comment")
    os.setxattr(file, "user.empty", b"")
    os.setxattr(file, "user.binary", bytes(range(256)))
    os.setxattr(file, "trusted.overlay.opaque", b"y")
    os.setxattr(file, "security.test", b"label\0")
    tool = write(root / "capable", b"#!/bin/true", 0o755)
    os.chown(tool, 10, 11)
    os.setxattr(tool, "security.capability", FILE_CAPS)
    shared = write(root / "acl", b"shared by ACL", 0o664)
    os.setxattr(shared, "system.posix_acl_access", ACCESS_ACL)
    below = root / "default-acl"
    below.mkdir()
    write(below / "older-than-the-acl", b"has none itself")
    os.setxattr(below, "system.posix_acl_default", DEFAULT_ACL)
    os.setxattr(below, "system.posix_acl_access", ACCESS_ACL)
    write(below / "inherits", b"has one from above", 0o640)
    (below / "sub").mkdir()
    os.setxattr(below, "user.on-directory", b"yes")
    (root / "link").symlink_to("file")
    os.setxattr(root / "link", "trusted.on-link", b"yes", follow_symlinks=False)
    os.mkfifo(root / "fifo")
    os.setxattr(root / "fifo", "trusted.on-fifo", b"yes", follow_symlinks=False)
    empty = write(root / "empty")
    os.setxattr(empty, "user.on-empty", b"yes")


def make_sparse(path: Path, size: int, data: dict[int, bytes]) -> Path:
    """Make a file of `size` bytes that holds nothing but `data`, by offset."""
    with path.open("wb") as file:
        for offset, piece in data.items():
            file.seek(offset)
            file.write(piece)
        file.truncate(size)
    return path


def make_socket(path: Path) -> None:
    """Bind a socket and leave its name behind, however long its path is."""
    fd = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{fd}/{path.name}")
    os.close(fd)


def make_deep_directory(root: Path, name: bytes, depth: int) -> None:
    """Make a chain of directories, with a file and a link at its end, beyond any path's length."""
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        following = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = following
    file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(file, b"deep down")
    os.close(file)
    os.symlink(b"file", b"link", dir_fd=fd)
    os.close(fd)


def settle(root: Path) -> None:
    """Wait until no file under `root` is so young that the stat cache would not trust its time.

    The clock is what is waited for, not an event; there is nothing else to watch.
    """
    import time  # noqa: PLC0415 -- for the clock alone

    youngest = max(p.lstat().st_ctime_ns for p in (root, *root.rglob("*")))
    while time.time_ns() < youngest + 60_000_000:
        time.sleep(0.005)


# ---- the store's main jobs in one call ----


class Taken(NamedTuple):
    """What a directory became, and what the index does not know yet."""

    ingested: Ingested
    batch: Batch

    @property
    def root(self) -> Digest:
        return self.ingested.root

    @property
    def read_files(self) -> int:
        return self.ingested.read_files

    @property
    def read_bytes(self) -> int:
        return self.ingested.read_bytes


def take_in(
    repository: Repository,
    source: Path,
    modifiers: Modifiers = Modifiers(),  # noqa: B008 -- an immutable value
    *,
    consume: bool = False,
) -> Taken:
    """Store a directory; nothing is committed yet."""
    batch = Batch()
    return Taken(
        ingest_directory(
            repository, source, modifiers, batch, options=SourceOptions(consume=consume)
        ),
        batch,
    )


def delete(source: Path, taken: Taken) -> list[Left]:
    """Delete a consumed source; what was left."""
    with open_source(source) as fd:
        return delete_source(fd, str(source), taken.ingested.taken_in)


def ingest(
    repository: Repository,
    source: Path,
    branch: str = "main",
    modifiers: Modifiers = Modifiers(),  # noqa: B008 -- an immutable value
    *,
    consume: bool = False,
) -> tuple[Digest, Taken]:
    """Commit a directory as the command line does; the commit id, and what was taken in."""
    with repository.in_use(writing=True):
        taken = take_in(repository, source, modifiers, consume=consume)
        digest, _ = write_commit(repository, taken.batch, taken.root, MESSAGE, Target(branch))
    return digest, taken


def root_of(repository: Repository, revision: str = "main") -> Digest:
    """Return the root tree of a revision."""
    with repository.index.snapshot() as snapshot:
        return read_commit(snapshot, resolve(snapshot, revision)).root


def check_out(
    repository: Repository,
    destination: Path,
    revision: str = "main",
    options: CheckoutOptions = CheckoutOptions(),  # noqa: B008 -- an immutable value
) -> CheckoutResult:
    """Check out a revision."""
    return checkout(repository, root_of(repository, revision), destination, options)


def problems_of(repository: Repository) -> list[Problem]:
    """Return what fsck finds."""
    return check_repository(repository).problems


@contextmanager
def new_repository(path: Path, mode: str) -> Iterator[Repository]:
    """Make a repository and open it for writing."""
    assert mode in {"bare", "bare-user"}
    Repository.init(path, "bare" if mode == "bare" else "bare-user")
    with Repository.open(path, writable=True) as repository:
        yield repository


# ---- the opinions of other tools ----


def tool_differences(source: Path, copy: Path, *, hardlinks: bool) -> str:
    """Return what diff, rsync and tar find different in a copy of a source; times aside."""
    links = ["-H"] if hardlinks else []
    rsync = ["rsync", "-rlpgoDAXnci", "--delete", *links, f"{source}/", f"{copy}/"]
    found = ""
    for command in (["diff", "-r", "--no-dereference", str(source), str(copy)], rsync):
        done = subprocess.run(command, check=False, capture_output=True)
        found += "".join(
            f"{command[0]}: {line!r}\n"
            for line in (done.stdout + done.stderr).splitlines()
            # diff compares device nodes and fifos by their kind alone, and says so
            if not _is_remark_of_diff(line)
        )
    one, other = _tar_listing(source), _tar_listing(copy)
    found += "".join(f"tar: {line!r}\n" for line in sorted(set(one) ^ set(other)))
    return found


def _is_remark_of_diff(line: bytes) -> bool:
    return b" is a fifo while file " in line or b" special file while file " in line


def _tar_listing(root: Path) -> list[bytes]:
    archive = subprocess.run(
        [
            *("tar", "--create", "--xattrs", "--xattrs-include=*", "--acls", "--sparse"),
            *("--numeric-owner", "--mtime=@0", "--hard-dereference", "--sort=name"),
            *("--warning=no-file-ignored", "-C", str(root), "."),
        ],
        check=True,
        capture_output=True,
    )
    assert not archive.stderr, archive.stderr
    listing = subprocess.run(
        ["tar", "--list", "-vv", "--xattrs", "--acls", "--numeric-owner"],
        input=archive.stdout,
        check=True,
        capture_output=True,
    )
    return listing.stdout.splitlines()


def remove_tree(path: Path) -> None:
    """Delete a tree, also one too deep for a recursive function, or that nobody may enter."""
    if os.geteuid() != 0:  # directories alone: a file may be a link to an object
        find = ["find", str(path), "-type", "d", "-exec", "chmod", "u+rwx", "{}", ";"]
        subprocess.run(find, check=False, capture_output=True)
    subprocess.run(["rm", "-rf", path], check=True)
