# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking objects against their digests the first time that they are opened (``-o verify=open``).

What was found whole once is not read again while the mount lives: who writes to object files
behind its back afterwards is not noticed, as in any mount without this option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ostreefs_store.content import hash_file
from ostreefs_store.errors import ObjectCorruptError

if TYPE_CHECKING:
    from ostreefs_store.model import Digest, RegularFile

_INLINE = 256 << 10
"""Bytes that are hashed while other requests wait: less than handing them to a thread costs."""


class OpenVerifier:
    """Remembers which objects were found whole: 200 bytes for each."""

    def __init__(self) -> None:
        self._whole: set[bytes] = set()

    async def check(self, fd: int, holder: Digest, file: RegularFile) -> None:
        """Read an object file that is open, unless that was done before.

        Raises `ObjectCorruptError` when it does not hold the content of `file`.
        """
        if holder in self._whole:
            return
        if file.size <= _INLINE:
            found = hash_file(fd, file.size)
        else:
            found = await trio.to_thread.run_sync(hash_file, fd, file.size)
        if found != file.content:
            raise ObjectCorruptError("file", holder, "content differs")
        self._whole.add(holder)
