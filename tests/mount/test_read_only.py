# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs can do with a mount, and that none can change it."""

import errno
import mmap
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostreefs_store.objects import object_name
from tests.support.commits import commit_directory, init_repository
from tests.support.mounts import Mounted, mounted
from tests.support.trees import make_small_tree, write

pytestmark = pytest.mark.mount

DATA = os.urandom(1 << 20) * 8 + b"odd end"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    folder = tmp_path_factory.mktemp("served")
    source = make_small_tree(folder / "source")
    for number in range(16):
        write(source / f"many/{number}", DATA[number:])
    os.setxattr(source / "usr/bin/tool", "user.note", b"value")
    (source / "usr/bin/true").write_bytes(Path("/bin/true").read_bytes())
    (source / "usr/bin/true").chmod(0o755)
    commit = commit_directory(init_repository(folder / "repo"), source)
    with mounted(folder / "repo", commit, at=folder / "mnt") as mount:
        yield mount


# ---- nothing can be changed

FILE, FOLDER, LINK = "usr/lib/same", "etc/empty.d", "bin"

CHANGES: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda mnt: os.open(mnt / FILE, os.O_WRONLY),
    "open for both": lambda mnt: os.open(mnt / FILE, os.O_RDWR),
    "append": lambda mnt: os.open(mnt / FILE, os.O_WRONLY | os.O_APPEND),
    "truncate on open": lambda mnt: os.open(mnt / FILE, os.O_WRONLY | os.O_TRUNC),
    "create": lambda mnt: os.open(mnt / "new", os.O_WRONLY | os.O_CREAT),
    "unnamed file": lambda mnt: os.open(mnt, os.O_WRONLY | os.O_TMPFILE),
    "truncate": lambda mnt: os.truncate(mnt / FILE, 0),
    "mkdir": lambda mnt: os.mkdir(mnt / "new"),
    "mkfifo": lambda mnt: os.mkfifo(mnt / "new"),
    "symlink": lambda mnt: os.symlink("x", mnt / "new"),
    "link": lambda mnt: os.link(mnt / FILE, mnt / "new"),
    "unlink": lambda mnt: os.unlink(mnt / FILE),
    "unlink a link": lambda mnt: os.unlink(mnt / LINK),
    "rmdir": lambda mnt: os.rmdir(mnt / FOLDER),
    "rename": lambda mnt: os.rename(mnt / FILE, mnt / "new"),
    "chmod": lambda mnt: os.chmod(mnt / FILE, 0o777),
    "chown": lambda mnt: os.chown(mnt / FILE, os.geteuid(), os.getegid()),
    "utime": lambda mnt: os.utime(mnt / FILE),
    "setxattr": lambda mnt: os.setxattr(mnt / FILE, "user.x", b""),
    "removexattr": lambda mnt: os.removexattr(mnt / "usr/bin/tool", "user.note"),
    "bind a socket": lambda mnt: socket.socket(socket.AF_UNIX).bind(str(mnt / "s")),
}


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_nothing_can_be_changed(
    served: Mounted, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(served.path)  # a socket's path must be short
    with pytest.raises(OSError, match="Read-only file system") as caught:
        CHANGES[name](Path())
    assert caught.value.errno == errno.EROFS


@pytest.mark.root
def test_no_device_can_be_made(served: Mounted) -> None:
    with pytest.raises(OSError, match="Read-only file system"):
        os.mknod(served.path / "null", 0o020666, os.makedev(1, 3))


@pytest.mark.root
def test_not_even_when_remounted(served: Mounted) -> None:
    """The kernel would let root have it writable; the server still refuses."""
    for option in ("rw", "ro"):
        subprocess.run(
            ["mount", "-i", "-o", f"remount,{option}", served.path],
            check=True,
            capture_output=True,
        )
        with pytest.raises(OSError, match="Read-only file system"):
            os.mkdir(served.path / "new")
        with pytest.raises(OSError, match="Read-only file system"):
            os.open(served.path / FILE, os.O_WRONLY)
        with pytest.raises(OSError, match="Read-only file system"):
            os.chmod(served.path / FILE, 0o777)


# ---- what can be read


def test_attributes_of_the_mount_itself(served: Mounted) -> None:
    content = os.getxattr(served.path / FILE, "user.ostreefs.content")
    assert content == subprocess_b3sum(served.path / FILE)
    commit = os.getxattr(served.path, "user.ostreefs.commit").decode()
    assert os.getxattr(served.path / FILE, "user.ostreefs.commit").decode() == commit
    digest = bytes.fromhex(os.getxattr(served.path / FILE, "user.ostreefs.object").decode())
    stored = served.path.with_name("repo") / "objects" / object_name(digest)
    assert stored.read_bytes() == (served.path / FILE).read_bytes()
    assert len(os.getxattr(served.path / FOLDER, "user.ostreefs.object")) == 64
    for path in (FILE, FOLDER):
        assert os.listxattr(served.path / path) == []
        with pytest.raises(OSError, match="No data available"):
            os.getxattr(served.path / path, "user.ostreefs.other")
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(served.path / FOLDER, "user.ostreefs.content")


def subprocess_b3sum(path: Path) -> bytes:
    from blake3 import blake3  # noqa: PLC0415 -- an opinion that is not the store's

    return blake3(path.read_bytes()).hexdigest().encode()


def test_true_attributes(served: Mounted) -> None:
    tool = served.path / "usr/bin/tool"
    assert os.listxattr(tool) == ["user.note"]
    assert os.getxattr(tool, "user.note") == b"value"


def test_memory_map(served: Mounted) -> None:
    with (served.path / "many/0").open("rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == DATA
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as private:
            private[:3] = b"xyz"
        assert file.read(3) == DATA[:3]


def test_programs_run(served: Mounted) -> None:
    subprocess.run([served.path / "usr/bin/true"], check=True)
    done = subprocess.run([served.path / "bin/tool"], check=True, capture_output=True)
    assert done.stdout == b"tool\n"


def test_eight_readers(served: Mounted) -> None:
    failures: list[object] = []

    def read(first: int) -> None:
        try:
            for number in range(16):
                one = (first + number) % 16
                if (served.path / f"many/{one}").read_bytes() != DATA[one:]:
                    failures.append(one)
                for _ in (served.path / "usr").rglob("*"):
                    pass
        except BaseException as error:  # noqa: BLE001 -- shown by the test
            failures.append(error)

    threads = [threading.Thread(target=read, args=[first]) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    served.check_alive()


def test_cold_readers(served: Mounted) -> None:
    """Without the page caches of the mount and of the objects."""
    for path in [*served.path.with_name("repo").glob("objects/*/*"), *served.path.glob("many/*")]:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    test_eight_readers(served)


def test_sendfile_and_copy_file_range(served: Mounted, tmp_path: Path) -> None:
    with (served.path / "many/1").open("rb") as source, (tmp_path / "x").open("wb") as target:
        offset = 0
        while sent := os.sendfile(target.fileno(), source.fileno(), offset, 1 << 30):
            offset += sent
    assert (tmp_path / "x").read_bytes() == DATA[1:]
    subprocess.run(["cp", served.path / "many/2", tmp_path / "y"], check=True)
    assert (tmp_path / "y").read_bytes() == DATA[2:]


def test_read_at_odd_offsets(served: Mounted) -> None:
    fd = os.open(served.path / "many/3", os.O_RDONLY)
    for offset, size in [(0, 1), (4095, 2), (131071, 131075), (len(DATA) - 3, 4096), (7, 0)]:
        assert os.pread(fd, size, offset) == DATA[3:][offset : offset + size]
    os.close(fd)


def test_direct_reads(served: Mounted) -> None:
    fd = os.open(served.path / "many/4", os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 1 << 16)
    assert os.preadv(fd, [buffer], 4096) == 1 << 16
    assert buffer[:] == DATA[4:][4096 : 4096 + (1 << 16)]
    buffer.close()
    os.close(fd)


def test_statvfs(served: Mounted) -> None:
    disk, shown = os.statvfs(served.path.parent), os.statvfs(served.path)
    assert shown.f_blocks == disk.f_blocks
    assert (shown.f_bfree, shown.f_bavail, shown.f_ffree) == (0, 0, 0)
    assert shown.f_namemax == 255
    assert shown.f_flag & os.ST_RDONLY
    assert shown.f_flag & os.ST_NOSUID


def test_many_open_files(served: Mounted) -> None:
    """More than the 1024 that a process may have at first."""
    fds = [os.open(served.path / f"many/{number % 16}", os.O_RDONLY) for number in range(900)]
    script = (
        "import os, sys\n"
        "fds = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(900)]\n"
        "print(os.pread(fds[-1], 3, 0) == os.pread(fds[0], 3, 0))"
    )
    done = subprocess.run(
        ["python3", "-c", script, served.path / FILE], check=True, capture_output=True
    )
    assert done.stdout == b"True\n"
    for fd in fds:
        os.close(fd)


@pytest.mark.root
def test_forgetting_everything(served: Mounted) -> None:
    """The kernel drops what it knows of this mount, and all is still there."""
    before = sorted(served.path.rglob("*"))
    inodes = [path.lstat().st_ino for path in before]
    subprocess.run(["mount", "-i", "-o", "remount,ro", served.path], check=True)
    after = sorted(served.path.rglob("*"))
    assert after == before
    assert [path.lstat().st_ino for path in after] == inodes
