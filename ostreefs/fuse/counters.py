# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many requests of which kind the kernel has sent, how long they took, and what caches gave.

Requests are counted only when somebody wants to know: each takes half a microsecond longer then.
What caches gave is counted in any case.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from ostreefs.fuse.protocol import Opcode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ostreefs.fuse.operations import Operations
    from ostreefs.fuse.requests import Handler, Payload, Requests
    from ostreefs.fuse.tree import Namespace


class Counts:
    """One kind of request; times in nanoseconds."""

    __slots__ = ("errors", "longest", "number", "total")

    def __init__(self) -> None:
        self.number = 0
        self.errors = 0
        self.total = 0
        self.longest = 0


class Counters:
    """What one mount has done."""

    def __init__(self, requests: Requests, operations: Operations, namespace: Namespace) -> None:
        self._handlers = requests.handlers
        self._operations = operations
        self._namespace = namespace
        self._counts: dict[str, Counts] = {}
        self._since: float | None = None

    @property
    def is_counting(self) -> bool:
        """Whether requests are counted."""
        return self._since is not None

    def start(self) -> None:
        """Count requests from now on."""
        self._since = time.time()
        for kind, handler in self._handlers.items():
            counts = self._counts[Opcode(kind).name.lower()] = Counts()
            self._handlers[kind] = counted(handler, counts)

    def as_document(self) -> dict[str, Any]:
        """Everything, for JSON; times in microseconds."""
        hits, misses = self._namespace.tree_cache_uses
        reads = self._counts.get("read", Counts()).number
        disk_reads = self._operations.disk_reads
        return {
            "pid": os.getpid(),
            "time": int(time.time()),
            "counting_since": None if self._since is None else int(self._since),
            "requests": {
                kind: {
                    "count": counts.number,
                    "errors": counts.errors,
                    "mean_us": round(counts.total / counts.number / 1000, 1),
                    "max_us": round(counts.longest / 1000, 1),
                }
                for kind, counts in self._counts.items()
                if counts.number
            },
            "trees": {"from_cache": hits, "decoded": misses},
            "reads": {
                "from_page_cache": max(0, reads - disk_reads) if self.is_counting else None,
                "from_disk": disk_reads,
            },
            "directories_known": len(self._namespace),
        }

    def as_lines(self) -> Iterator[str]:
        """Everything, for the log."""
        document = self.as_document()
        for kind, found in document["requests"].items():
            yield (
                f"{kind}: {found['count']} requests, {found['errors']} errors,"
                f" mean {found['mean_us']} us, max {found['max_us']} us"
            )
        for what in ("trees", "reads"):
            found = document[what].items()
            uses = (
                f"{number} {how.replace('_', ' ')}" for how, number in found if number is not None
            )
            yield f"{what}: {', '.join(uses)}"
        yield f"directories that the kernel knows: {document['directories_known']}"

    def write(self, path: Path) -> None:
        """Put everything into a file, which is at any time the old or the new one."""
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(self.as_document(), file, indent=2)
                file.write("\n")
                os.fchmod(fd, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def counted(
    handle: Handler, counts: Counts, clock: Callable[[], int] = time.perf_counter_ns
) -> Handler:
    """The same handler, counted; what is left for later is not waited for."""

    def wrapper(node: int, request: bytes) -> Payload:
        began = clock()
        try:
            return handle(node, request)
        except BaseException:
            counts.errors += 1
            raise
        finally:
            elapsed = clock() - began
            counts.number += 1
            counts.total += elapsed
            if elapsed > counts.longest:  # noqa: PLR1730 -- a call of max() takes longer
                counts.longest = elapsed

    return wrapper
