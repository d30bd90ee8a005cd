# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checking objects against their digests the first time that they are opened (``-o verify=open``).

What was found whole once is not read again while the mount lives: who writes to object files
behind its back afterwards is not noticed, as in any mount without this option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs_store.content import hash_file
from ostreefs_store.errors import ObjectCorruptError

if TYPE_CHECKING:
    from ostreefs_store.model import Digest, RegularFile

INLINE = 256 << 10
"""Bytes that are hashed while other requests wait: less than handing them to a thread costs."""


class OpenVerifier:
    """Remembers which objects were found whole: 200 bytes for each."""

    def __init__(self) -> None:
        self._whole: set[bytes] = set()

    def is_whole(self, holder: Digest) -> bool:
        """Whether an object file was checked before."""
        return holder in self._whole

    def measure(self, fd: int, file: RegularFile) -> Digest:
        """The digest of what an object file that is open holds."""
        return hash_file(fd, file.size)

    def judge(self, found: Digest, holder: Digest, file: RegularFile) -> None:
        """Remember an object file that is whole.

        Raises `ObjectCorruptError` when what was found is not the content of `file`.
        """
        if found != file.content:
            raise ObjectCorruptError("file", holder, "content differs")
        self._whole.add(holder)
