# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes as patches."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ostreefs_store.codec import content_digest, encode_file, file_digest
from ostreefs_store.comparing.diff import Change, State, diff_trees
from ostreefs_store.comparing.patch import SIZE_MAX, changed_xattrs, format_patch, quote
from ostreefs_store.model import (
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    TreeHead,
    Xattrs,
)
from ostreefs_store.repository import Repository
from tests.support.trees import check_out, ingest, list_tree, make_small_tree, root_of, write

CONTENTS: dict[Digest, bytes] = {}


def regular(
    content: bytes, mode: int = 0o644, owner: int = 0, xattrs: Xattrs = (), size: int = -1
) -> RegularFile:
    digest = content_digest(content)
    CONTENTS[digest] = content
    return RegularFile(mode, owner, owner, xattrs, digest, size if size >= 0 else len(content))


def state(item: TreeHead | File | None) -> State | None:
    if item is None:
        return None
    digest = Digest(bytes(32)) if isinstance(item, TreeHead) else file_digest(encode_file(item))
    return State(digest, item)


def read(found: State, size: int) -> bytes:
    assert isinstance(found.item, RegularFile)
    return CONTENTS[found.item.content][:size]


def patch(old: TreeHead | File | None, new: TreeHead | File | None, path: bytes = b"/f") -> str:
    kind = "A" if old is None else "D" if new is None else "M"
    change = Change(kind, path, state(old), state(new))  # type: ignore[arg-type]  # a literal
    return b"".join(format_patch(change, read)).decode()


TEXT = regular(b"one\n")
DIRECTORY = TreeHead(0o755, 0, 0, ())
XATTR: Xattrs = ((b"user.x", b"\x01"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            TEXT,
            regular(b"two\n"),
            "diff --git a/f b/f\nindex X..X 100644\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+two\n",
        ),
        (
            TEXT,
            regular(b"one\n", 0o755),
            "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n",
        ),
        (
            TEXT,
            regular(b"two\n", 0o4755),
            "diff --git a/f b/f\nold mode 100644\nnew mode 104755\nindex X..X\n"
            "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+two\n",
        ),
        (TEXT, regular(b"one\n", owner=5), "# /f: owner 0:0 -> 5:5\n"),
        (TEXT, regular(b"one\n", xattrs=XATTR), "# /f: xattr user.x none -> 0x01\n"),
        (
            None,
            TEXT,
            "diff --git a/f b/f\nnew file mode 100644\nindex 0..X\n"
            "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+one\n",
        ),
        (
            None,
            regular(b"", owner=7, xattrs=XATTR),
            "# /f: owner 7:7\n# /f: xattr user.x none -> 0x01\n"
            "diff --git a/f b/f\nnew file mode 100644\nindex 0..X\n",
        ),
        (
            TEXT,
            None,
            "diff --git a/f b/f\ndeleted file mode 100644\nindex X..0\n"
            "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
        ),
        (
            TEXT,
            regular(b"\0\1"),
            "diff --git a/f b/f\nindex X..X 100644\nBinary files a/f and b/f differ\n",
        ),
        (
            None,
            regular(b"\0"),
            "diff --git a/f b/f\nnew file mode 100644\nindex 0..X\n"
            "Binary files /dev/null and b/f differ\n",
        ),
        (
            TEXT,
            regular(b"huge", size=SIZE_MAX + 1),
            "diff --git a/f b/f\nindex X..X 100644\n"
            "Files a/f and b/f differ (too large to compare)\n",
        ),
        (
            Symlink(0, 0, (), b"x"),
            Symlink(0, 0, (), b"y"),
            "diff --git a/f b/f\nindex X..X 120000\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n"
            "-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n",
        ),
        (
            TEXT,
            Symlink(0, 0, (), b"y"),
            "diff --git a/f b/f\ndeleted file mode 100644\nindex X..0\n"
            "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"
            "diff --git a/f b/f\nnew file mode 120000\nindex 0..X\n"
            "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+y\n\\ No newline at end of file\n",
        ),
        (DIRECTORY, TreeHead(0o700, 0, 0, ()), "# /f: mode 0755 -> 0700\n"),
        (None, DIRECTORY, "# /f: directory added, mode 0755\n"),
        (Fifo(0o600, 0, 0, ()), None, "# /f: fifo deleted, mode 0600\n"),
        (
            CharDevice(0o600, 0, 0, (), 1, 3),
            CharDevice(0o600, 0, 0, (), 1, 5),
            "# /f: device 1:3 -> device 1:5\n",
        ),
        (
            Fifo(0o600, 0, 0, ()),
            CharDevice(0o600, 0, 0, (), 1, 5),
            "# /f: fifo deleted, mode 0600\n# /f: character device added, mode 0600\n",
        ),
    ],
)
def test_patches(old: TreeHead | File | None, new: TreeHead | File | None, expected: str) -> None:
    found = patch(old, new)
    for side in (old, new):
        if isinstance(side, RegularFile):
            found = found.replace(side.content.hex()[:16], "X")
        elif isinstance(side, Symlink):
            found = found.replace(content_digest(side.target).hex()[:16], "X")
    assert found.replace("0" * 16, "0") == expected


def test_names_that_need_care() -> None:
    assert "--- a/na me\t\n+++ b/na me\t\n" in patch(TEXT, regular(b"two\n"), b"/na me")
    quoted = patch(TEXT, regular(b"two\n"), b'/new\nline "\xff\\')
    assert '--- "a/new\\nline \\"\\377\\\\"\n' in quoted
    assert quote(b"plain/name-1.txt") == b"plain/name-1.txt"


def test_little_is_read_of_binary_files() -> None:
    wanted: list[int] = []

    def count(found: State, size: int) -> bytes:
        wanted.append(size)
        return read(found, size)

    large = regular(b"\0" * 100_000), regular(b"\0" * 100_001)
    change = Change("M", b"/f", *map(state, large))
    assert b"Binary files" in b"".join(format_patch(change, count))
    assert max(wanted) < 10_000


def test_changed_xattrs() -> None:
    old, new = (
        ((b"a", b"1"), (b"b", b"2"), (b"c", b"3")),
        ((b"b", b"0"), (b"c", b"3"), (b"d", b"")),
    )
    assert list(changed_xattrs(old, new)) == [
        (b"a", b"1", None),
        (b"b", b"2", b"0"),
        (b"d", None, b""),
    ]


def change_everything(source: Path) -> None:
    write(source / "usr/lib/same", b"one\ntwo\nthree")
    write(source / "usr/new/file name", b"new\n", 0o755)
    write(source / "usr/new/tab\tname", b"new\n")
    (source / "usr/bin/tool").chmod(0o644)
    (source / "usr/share/same").unlink()
    (source / "bin").unlink()
    (source / "bin").symlink_to("elsewhere")
    (source / "etc/nowhere").unlink()
    write(source / "etc/nowhere", b"a file now\n")


@pytest.mark.parametrize("change", [change_everything])
def test_git_takes_it(
    repository: Repository, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """It makes of a checkout of the old commit what the new one is."""
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    change(source)
    ingest(repository, source)

    def content(found: State, size: int) -> bytes:
        assert isinstance(found.item, RegularFile)
        with open(repository.open_content(found.digest, found.item), "rb") as file:
            return file.read(size)

    with repository.index.snapshot() as snapshot:
        roots = root_of(repository, "main^"), root_of(repository)
        changes = list(diff_trees(snapshot, *roots))
    lines = b"".join(line for c in changes for line in format_patch(c, content))
    check_out(repository, tmp_path / "out", "main^")
    done = subprocess.run(
        ["git", "apply"], cwd=tmp_path / "out", input=lines, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert list_tree(tmp_path / "out") == list_tree(source)
