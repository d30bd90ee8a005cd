# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of operating systems and of deployments. Pure.

A deployment is called ``OS-VERSION-COMMIT``, the commit by its first eight digits:
``gnomeos-3.2-7e9788a2``. Without a version it is ``OS-COMMIT``. When the name is taken, because
the same commit is deployed twice, a serial follows: ``gnomeos-3.2-7e9788a2.1``. The parts are for
people; programs read the origin, since names may hold dashes themselves.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from ostreefs_store.errors import InvalidNameError

if TYPE_CHECKING:
    from collections.abc import Container

_OS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", re.ASCII)
_DEPLOYMENT = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._+-]*-[0-9a-f]{8}(?:\.[1-9][0-9]{0,5})?", re.ASCII
)
_NOT_IN_VERSION = re.compile(r"[^A-Za-z0-9._+]+", re.ASCII)
_OS_MAX = 64
_VERSION_MAX = 64
_COMMIT_DIGITS = 8


def check_os_name(name: str) -> None:
    """Raise `InvalidNameError` unless an operating system can be called so."""
    if not _OS.fullmatch(name) or len(name) > _OS_MAX:
        reason = f"use 1 to {_OS_MAX} letters, digits and ._+-, beginning with a letter or digit"
        raise InvalidNameError("operating system", name, reason)


def is_deployment_name(name: str) -> bool:
    """Whether a deployment may be called so."""
    return _DEPLOYMENT.fullmatch(name) is not None


def format_name(os_name: str, version: str, commit: bytes, serial: int = 0) -> str:
    """The name of a deployment; what a version has that no name may becomes ``_``."""
    told = _NOT_IN_VERSION.sub("_", version)[:_VERSION_MAX]
    parts = [os_name, *([told] if told else []), commit.hex()[:_COMMIT_DIGITS]]
    return "-".join(parts) + (f".{serial}" if serial else "")


def free_name(os_name: str, version: str, commit: bytes, taken: Container[str]) -> str:
    """The first name of a commit that is not taken."""
    names = (format_name(os_name, version, commit, serial) for serial in count())
    return next(name for name in names if name not in taken)
