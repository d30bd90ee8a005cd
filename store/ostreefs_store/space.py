# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeping a part of the filesystem free, as ostree does (ostree.repo-config(5))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs_store.errors import FreeSpaceError

if TYPE_CHECKING:
    from ostreefs_store.repository import Repository


def check_free_space(repository: Repository, wanted: int) -> None:
    """Raise `FreeSpaceError` when so many more bytes would leave less free than is configured.

    Cheap enough to be asked for every few MiB. Raises `InvalidSettingError` for a setting that
    nobody can understand.
    """
    config = repository.config
    found = os.fstatvfs(repository.objects.fd)
    size = config.min_free_space_size
    if size is not None:
        reserved, setting = size, f"min-free-space-size {size >> 20}MB"
    else:
        percent = config.min_free_space_percent
        reserved = found.f_blocks * found.f_frsize * percent // 100
        setting = f"min-free-space-percent '{percent}%'"
    if reserved and found.f_bfree * found.f_frsize - wanted < reserved:
        raise FreeSpaceError(setting, wanted)
