# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sysroot to be changed, locked and with nothing left of a crash; or to be looked at."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.boot.choose import open_loader
from ostreefs.sysroot.deployments import State, read_state
from ostreefs.sysroot.layout import Sysroot, locked, open_sysroot
from ostreefs.sysroot.publish import finish, publish
from ostreefs.sysroot.tidy import Tidied, tidy
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ostreefs.sysroot.boot.loader import Loader
    from ostreefs.sysroot.deployments import Deployment


class Session(NamedTuple):
    """What a change works with; `state` is what was there when it began."""

    sysroot: Sysroot
    repository: Repository
    loader: Loader
    state: State

    def publish(self, wanted: Sequence[Deployment]) -> Tidied:
        """Let these deployments be there, in this order, and delete the others."""
        publish(self.sysroot, self.loader, self.state, wanted)
        return tidy(self.sysroot, self.repository, read_state(self.sysroot, self.loader))


@contextmanager
def changing(root: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[Session]:
    """Be alone with a sysroot, bring an interrupted change to its end, and begin.

    Raises `NotASysrootError`, `SettingsError`, `LoaderError`, and what `Repository.open` does.
    """
    sysroot = open_sysroot(root)
    with (
        locked(sysroot, on_wait=on_wait),
        Repository.open(sysroot.repository, writable=True) as repository,
    ):
        loader = open_loader(sysroot)
        state = read_state(sysroot, loader)
        finish(sysroot, loader, state)
        tidy(sysroot, repository, state)
        yield Session(sysroot, repository, loader, state)


@contextmanager
def looking(root: Path) -> Iterator[Session]:
    """Look at a sysroot, as anybody may and beside whoever changes it; nothing may be published.

    Raises as `changing`.
    """
    sysroot = open_sysroot(root)
    loader = open_loader(sysroot)
    state = read_state(sysroot, loader)
    with Repository.open_best(sysroot.repository) as repository:
        yield Session(sysroot, repository, loader, state)
