# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a command inside a commit takes that does nothing: what is around it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, Trial, simple
from benchmarks.model import Bar, Comparison
from benchmarks.mounts import unmounted_afterwards
from benchmarks.session import BRANCH, OSTREE, user_flags
from benchmarks.workloads.benchmark import interleaved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Command
    from benchmarks.session import Session

_TRUE = "/bin/true"
_RUN = "ostreefs run REV -- /bin/true"
_WRITABLE = "ostreefs run --rw REV -- /bin/true"
_MOUNT = "ostreefs mount, ostreefs umount"
_CHECKOUT = "ostree checkout -H, bwrap"


def _mounting(session: Session) -> Subject:
    @contextmanager
    def trial() -> Iterator[Trial]:
        where = session.system
        mountpoint = where.mountpoint("run")
        mount = session.ours.mount(where.ours, mountpoint)
        umount: Command = (*session.program, "umount", mountpoint)
        with unmounted_afterwards(mountpoint):
            yield Trial((mount, umount))

    return Subject(_MOUNT, trial, warm_up=1)


def _checking_out(session: Session) -> Subject:
    @contextmanager
    def trial() -> Iterator[Trial]:
        where = session.system
        root = session.storage.base / "run-checkout"
        flags = ("-H", *user_flags(), BRANCH)
        checkout = OSTREE.verb(where.ostree, "checkout", *flags, root)
        yield Trial((checkout, _bwrap(root)))
        shutil.rmtree(root)

    return Subject(_CHECKOUT, trial, warm_up=1)


def _bwrap(root: Path) -> Command:
    """The same sandbox by hand, as far as it is the same."""
    user = () if os.geteuid() == 0 else ("--unshare-user",)
    namespaces = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", *user)
    over = ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run")
    home = ("--bind", "/home", "/home", "--tmpfs", "/var", "--die-with-parent")
    return ("bwrap", *namespaces, "--ro-bind", root, "/", *over, *home, _TRUE)


def _subjects(session: Session) -> list[Subject]:
    run = session.ours.verb(session.system.ours, "run")
    return [
        Subject(_RUN, simple(*run, BRANCH, "--", _TRUE), warm_up=1),
        Subject(_WRITABLE, simple(*run, "--rw", BRANCH, "--", _TRUE), warm_up=1),
        _mounting(session),
        _checking_out(session),
    ]


BENCHMARKS = (
    interleaved(
        "run",
        "a command inside a commit of 50,000 files",
        _subjects,
        (
            Comparison(_RUN, _RUN, _MOUNT, Bar.at_most(2)),
            Comparison(_RUN, _RUN, _CHECKOUT, Bar.at_most(0.33)),
            Comparison(_WRITABLE, _WRITABLE, _MOUNT),
        ),
        times=2,
    ),
)
