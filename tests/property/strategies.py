# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random objects and random trees."""

import os
import stat
from typing import Any

from hypothesis import strategies as st

from ostreefs_store.model import (
    EMPTY_CONTENT,
    BlockDevice,
    CharDevice,
    Commit,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
    Tree,
    TreeEntry,
    Xattrs,
)

# ---- objects ----

digests = st.binary(min_size=32, max_size=32).map(Digest)
ids = st.integers(0, 2**32 - 2)
modes = st.integers(0, 0o7777)


def is_name(name: bytes) -> bool:
    return b"/" not in name and b"\0" not in name and name not in {b"", b".", b".."}


file_names = st.binary(min_size=1, max_size=255).filter(is_name)
xattr_names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.replace(b"\0", b"x"))
    .filter(lambda name: not name.startswith(b"user.ostreefs."))
)


def _sorted_pairs(pairs: dict[bytes, bytes]) -> Xattrs:
    return tuple(sorted(pairs.items()))


xattrs = st.dictionaries(xattr_names, st.binary(max_size=100), max_size=4).map(_sorted_pairs)
targets = st.binary(min_size=1, max_size=4095).map(lambda target: target.replace(b"\0", b"x"))
regular_files = st.builds(
    RegularFile,
    modes,
    ids,
    ids,
    xattrs,
    digests.filter(lambda digest: digest != EMPTY_CONTENT),
    st.integers(1, 2**63 - 1),
) | st.builds(RegularFile, modes, ids, ids, xattrs, st.just(EMPTY_CONTENT), st.just(0))
devices = (modes, ids, ids, xattrs, st.integers(0, 2**12 - 1), st.integers(0, 2**20 - 1))
files: st.SearchStrategy[File] = st.one_of(
    regular_files,
    st.builds(Symlink, ids, ids, xattrs, targets),
    st.builds(Fifo, modes, ids, ids, xattrs),
    st.builds(CharDevice, *devices),
    st.builds(BlockDevice, *devices),
)


def _entries(found: dict[bytes, tuple[bool, Digest]]) -> tuple[TreeEntry, ...]:
    return tuple(TreeEntry(name, *found[name]) for name in sorted(found))


entries = st.dictionaries(file_names, st.tuples(st.booleans(), digests), max_size=8).map(_entries)
trees = st.builds(Tree, modes, ids, ids, xattrs, entries)
commits = st.builds(
    Commit,
    digests,
    st.lists(digests, max_size=3).map(tuple),
    st.integers(-(2**62) + 1, 2**62 - 1),
    st.text(),
    st.text(),
    st.dictionaries(
        st.text(), st.text() | st.booleans() | st.integers(-(2**63), 2**64 - 1), max_size=4
    ),
)

# ---- trees on disk ----

Plan = dict[bytes, Any]
"""Name -> a plan of a directory, or (kind, mode, content) of anything else."""

_short_names = st.sampled_from([b"a", b"b", b"c", b"\xff", b"new\nline", b"a" * 255, b"..."])
_disk_names = _short_names | st.binary(min_size=1, max_size=20).filter(is_name)
_leaves = st.one_of(
    st.tuples(st.just("file"), modes, st.binary(max_size=50)),
    st.tuples(st.just("sparse"), modes, st.integers(1, 1 << 22)),
    st.tuples(st.just("link"), st.just(0), st.sampled_from([b"a", b"../b", b"/c", b"\xff"])),
    st.tuples(st.just("fifo"), modes, st.none()),
)
_plans: st.SearchStrategy[Plan] = st.recursive(
    st.dictionaries(_disk_names, _leaves, max_size=4),
    lambda below: st.dictionaries(_disk_names, _leaves | below, max_size=4),
    max_leaves=20,
)
plans = _plans


def make_tree(root: bytes, plan: Plan) -> None:
    """Make a planned tree; an ordinary user's directories stay open to him."""
    os.mkdir(root)
    for name, what in plan.items():
        path = os.path.join(root, name)
        if isinstance(what, dict):
            make_tree(path, what)
            continue
        kind, mode, content = what
        if kind == "link":
            os.symlink(content, path)
            continue
        if kind == "fifo":
            os.mkfifo(path)
        else:
            _write(path, content)
        os.chmod(path, mode if os.geteuid() == 0 else mode & 0o777 | stat.S_IRUSR)


def _write(path: bytes, content: bytes | int) -> None:
    with open(path, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            file.truncate(content)
