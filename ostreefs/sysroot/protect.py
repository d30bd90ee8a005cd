# SPDX-License-Identifier: LGPL-2.1-or-later
"""The immutable attribute on the root directory of a deployment, as ostree sets it.

It keeps whoever writes to the physical root from adding to a deployment or renaming it. Files
below are not protected by it, since their inodes are shared with the repository.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_GET = 0x80086601
_SET = 0x40086602
_IMMUTABLE = 0x10
_IMPOSSIBLE = {errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.ENOSYS}


def set_immutable(path: Path, *, immutable: bool) -> bool:
    """Set or clear the attribute; False where the filesystem has none or we may not."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(fd, _GET, struct.pack("i", 0)))
        wanted = flags | _IMMUTABLE if immutable else flags & ~_IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(fd, _SET, struct.pack("i", wanted))
    except OSError as error:
        if error.errno not in _IMPOSSIBLE:
            raise
        return False
    finally:
        os.close(fd)
    return True
