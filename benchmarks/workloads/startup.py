# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long the smallest command takes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.measure import Subject, simple
from benchmarks.model import Bar, Comparison
from benchmarks.workloads.benchmark import interleaved

if TYPE_CHECKING:
    from benchmarks.session import Session

_OURS = "ostreefs --version"
_PYTHON = "python3 -c pass"
_OSTREE = "ostree --version"


def _subjects(session: Session) -> list[Subject]:
    return [
        Subject(_OURS, simple(*session.program, "--version"), warm_up=1),
        Subject(_PYTHON, simple(sys.executable, "-c", "pass"), warm_up=1),
        Subject(_OSTREE, simple("ostree", "--version"), warm_up=1),
    ]


BENCHMARKS = (
    interleaved(
        "startup",
        "ostreefs --version beside an empty Python program",
        _subjects,
        (
            Comparison("ostreefs --version", _OURS, _PYTHON, Bar.at_most(2.5)),
            Comparison("ostreefs --version", _OURS, _OSTREE),
        ),
        times=7,
    ),
)
