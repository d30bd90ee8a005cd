# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ancestors along all parents, in the order of ``git log --graph``."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ostreefs_store.comparing.ancestry import read_ancestry
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.pruning.keeping import Rules
from ostreefs_store.pruning.prune import prune
from ostreefs_store.repository import Repository
from tests.support.builds import Builder

if TYPE_CHECKING:
    from ostreefs_store.model import Digest


class Named:
    """Builds by the names that a test gives to them."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self.ids: dict[str, Digest] = {}

    def make(self, name: str, *parents: str, ref: str | None = None) -> None:
        made = self._builder.build(
            {"name": name.encode()},
            subject=name,
            parents=[self.ids[parent] for parent in parents],
            ref=ref,
        )
        self.ids[name] = made

    def read(self, *tips: str, first_parent: bool = False) -> str:
        """The subjects in order, each with those of its parents."""
        with Repository.open(self._builder.path) as opened, opened.index.snapshot() as snapshot:
            found = read_ancestry(
                snapshot, [self.ids[tip] for tip in tips], first_parent=first_parent
            )
        names = {digest: name for name, digest in self.ids.items()}
        return " ".join(
            f"{each.commit.subject}:" + "".join(names[p] for p in each.parents) for each in found
        )


@pytest.fixture
def named(tmp_path: Path) -> Named:
    """
    ::

        r - a - b - - m - n    main
             \\       /
              x - - y - z      side
    """
    named = Named(Builder(tmp_path / "repo", tmp_path / "source"))
    for names in ["r", "ar", "xa", "ba", "yx", "mby"]:
        named.make(*names)
    named.make("z", "y", ref="side")
    named.make("n", "m", ref="main")
    return named


def test_what_was_merged_stands_behind_the_merge(named: Named) -> None:
    assert named.read("n") == "n:m m:by y:x x:a b:a a:r r:"


def test_along_first_parents(named: Named) -> None:
    assert named.read("n", first_parent=True) == "n:m m:b b:a a:r r:"


def test_of_several_tips_the_newest_comes_first(named: Named) -> None:
    expected = "n:m m:by b:a z:y y:x x:a a:r r:"
    assert named.read("z", "n") == named.read("n", "z") == expected
    assert named.read("y", "n") == named.read("n")


def test_over_what_was_pruned(named: Named, tmp_path: Path) -> None:
    with Repository.open(tmp_path / "repo", writable=True) as repository:
        gone = [named.ids[name] for name in "mx"]
        prune(repository, Rules(delete=gone))
    assert named.read("n") == "n:by y:a b:a a:r r:"
    with pytest.raises(ObjectMissingError):
        named.read("m")
