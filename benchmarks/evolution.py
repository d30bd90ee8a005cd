# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two repositories with one history: ``python -m benchmarks.evolution OURS OSTREE TREE COMMITS``.

Of a tree that is committed again and again, with one file in a hundred changed each time. Our
commits are made in this process, as in `benchmarks.history`; ostree is given what changed, to be
laid over its last commit, which is its quickest way.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

from benchmarks.history import commit
from benchmarks.measure import run_quietly
from benchmarks.session import BRANCH, OSTREE

_SEED = 20140101
_PART = 100


def make_evolution(ours: Path, ostree: Path, tree: Path, commits: int) -> None:
    """Commit a tree ``commits`` times to branch ``bench`` of both."""
    source = random.Random(_SEED)
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    commit(ours, tree, 0)
    run_quietly(*OSTREE.commit(ostree, tree, "--disable-fsync"))
    changes = tree.with_name(f"{tree.name}-changes")
    for number in range(1, commits):
        changes.mkdir()
        for path in source.sample(files, len(files) // _PART):
            copy = changes / path.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(b"%d\n" % source.getrandbits(64))
            shutil.copyfile(copy, path)
        commit(ours, tree, number)
        flags = ("--disable-fsync", f"--tree=ref={BRANCH}")
        run_quietly(*OSTREE.commit(ostree, changes, *flags))
        shutil.rmtree(changes)


if __name__ == "__main__":
    make_evolution(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
