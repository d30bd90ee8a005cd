# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changing what a live mount shows: on request (`control`), or as a ref moves.

The daemon shows the new commit from one moment to the next; then the kernel is told to forget the
names of the root that differ, and what it knows of the root itself. Whoever asked gets the answer
after that: what is opened from then on is of the new commit.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from ostreefs.fuse import control
from ostreefs.fuse.damage import DAMAGE
from ostreefs.fuse.mounts import MountError
from ostreefs.fuse.tree import ROOT
from ostreefs.fuse.watch import wait_for_change, watching
from ostreefs_store.errors import RevisionNotFoundError, StoreError
from ostreefs_store.refs import resolve

if TYPE_CHECKING:
    from ostreefs.fuse.session import Kernel
    from ostreefs.fuse.tree import Namespace
    from ostreefs_store.leases import Leases
    from ostreefs_store.model import Digest
    from ostreefs_store.repository import Repository

log = logging.getLogger(__name__)

_CONNECTIONS = 8
_MOMENT = 2.0
"""Seconds in which a daemon ends whose mount is gone."""
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 600.0
"""Seconds between two looks at what is left of commits that are shown no more."""


def lease_revision(repository: Repository, leases: Leases, revision: str) -> Digest:
    """The commit that a revision names, and that no prune will delete while we serve it.

    Raises `RevisionNotFoundError`, `AmbiguousRevisionError`.
    """
    with repository.index.snapshot() as snapshot:
        commit = resolve(snapshot, revision)
    is_held = leases.hold(commit)
    with repository.index.snapshot() as snapshot:  # one that began after the lease
        if not is_held or snapshot.find_commit(commit) is None:
            leases.drop(commit)
            raise RevisionNotFoundError(revision, "it is just being pruned")
    return commit


class LiveMount:
    """A mount of one commit that can be changed to another one while it is served."""

    def __init__(
        self, repository: Repository, namespace: Namespace, leases: Leases, kernel: Kernel
    ) -> None:
        self._kernel = kernel
        self._repository = repository
        self._namespace = namespace
        self._leases = leases
        self._changing = trio.Lock()
        self._since = int(time.time())
        self._switched = trio.Event()
        self._expired: set[bytes] = set()

    async def switch(self, revision: str) -> Digest:
        """Show another commit; ends when the kernel has forgotten what differs.

        Raises `StoreError` when there is no such commit; nothing has changed then.
        """
        async with self._changing:
            shown = self._namespace.commit
            if shown is None:
                raise MountError(
                    "a mount of all commits shows all of them already",
                    hint="look under commits/, refs/ and history/",
                )
            commit = lease_revision(self._repository, self._leases, revision)
            if commit == shown:
                self._leases.drop(commit)  # one is enough
            else:
                names = self._namespace.switch(commit)
                await trio.to_thread.run_sync(self._expire_names, names)
                self._expired.update(names)
                self._switched.set()
                DAMAGE.forget()
                log.info("showing commit %s", commit.hex())
        return commit

    def _expire_names(self, names: list[bytes]) -> None:
        """Have the kernel ask again for names of the root, and for the root's own attributes.

        Runs in a thread: it waits for requests that are being answered at this moment.
        """
        for name in names:
            self._kernel.expire_name(ROOT, name)
        self._kernel.forget_attributes(ROOT)

    def _forget_names(self, names: list[tuple[int, bytes]]) -> None:
        """Have the kernel drop names in any directory, most of which it does not know any more."""
        for number, name in names:
            with suppress(OSError):
                self._kernel.forget_name(number, name)

    async def follow(self, ref: str) -> None:
        """Show the newest commit of a ref, for ever; while the ref is missing the last one."""
        complaint = ""
        with watching(self._repository.path / "index/data.mdb") as fd:
            while True:
                try:
                    await self.switch(ref)
                    complaint = ""
                except (StoreError, OSError) as error:
                    if str(error) != complaint:  # said once
                        log.warning("cannot follow %s: %s", ref, error)
                    complaint = str(error)
                await wait_for_change(fd)

    async def forget_what_passed(self) -> None:
        """Have the kernel drop what it knows of commits that are shown no more, for ever.

        It does so by itself for what nobody uses at the moment of a switch. But what somebody was
        in then, and what was looked up from there, stays in its cache of names when it is left,
        for as long as memory is plenty, and holds the old commit's lease. So all such names are
        invalidated again and again, less and less often, until nothing is left: what is in use
        stays usable, and goes as soon as it is not.

        Names of the root come first, which were only marked when the mount was switched: to drop
        ten thousand names below them takes ten milliseconds, and nobody has to wait for that.
        """
        while True:
            await self._switched.wait()
            self._switched = trio.Event()
            pause = _FIRST_PAUSE
            while names := self._names_to_forget():
                await trio.to_thread.run_sync(self._forget_names, names)
                with trio.move_on_after(pause) as waiting:
                    await self._switched.wait()
                if waiting.cancelled_caught:
                    pause = min(pause * 2, _LAST_PAUSE)
                else:
                    self._switched = trio.Event()
                    pause = _FIRST_PAUSE

    def _names_to_forget(self) -> list[tuple[int, bytes]]:
        if self._expired:
            names = [(ROOT, name) for name in self._expired]
            self._expired.clear()
            return names
        try:
            return self._namespace.passing_names()
        except (StoreError, OSError) as error:
            log.warning("cannot forget what was shown before: %s", error)
            return []

    async def answer_requests(
        self, device: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer whoever asks on the mount's socket, for ever."""
        listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listener:
            try:
                await take_address(listener, control.address(device))
            except OSError as error:
                log.warning("the mount cannot be switched: %s", error)
                task_status.started()
                return
            listener.listen(_CONNECTIONS)
            task_status.started()
            async with trio.open_nursery() as nursery:
                while True:
                    try:
                        connection, _ = await listener.accept()
                    except OSError as error:  # no descriptor is left at the moment
                        log.warning("cannot take a request to switch: %s", error)
                        await trio.sleep(_MOMENT)
                    else:
                        nursery.start_soon(self._serve, connection)

    async def _serve(self, connection: trio.socket.SocketType) -> None:
        with connection, suppress(OSError), trio.move_on_after(control.PATIENCE):
            if not control.may_ask(control.find_peer(connection).uid):
                answer: dict[str, Any] = {"error": "only whoever made the mount, or root, may ask"}
            else:
                answer = await self._answer(await _read_line(connection))
            line = json.dumps(answer).encode() + b"\n"
            while line:
                line = line[await connection.send(line) :]

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            verb, revision = request["verb"], request.get("revision", "")
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"error": "this is no request"}
        if verb == "status":
            shown = self._namespace.commit
            return {
                "pid": os.getpid(),
                "commit": None if shown is None else shown.hex(),
                "since": self._since,
                "damage": DAMAGE.first or None,
            }
        if verb != "switch" or not isinstance(revision, str):
            return {"error": f"unknown request '{verb}'"}
        try:
            return {"commit": (await self.switch(revision)).hex()}
        except StoreError as error:
            return {"error": str(error), "hint": error.hint}
        except OSError as error:
            return {"error": str(error)}


async def take_address(listener: trio.socket.SocketType, address: bytes) -> None:
    """Take an address; the daemon of a mount whose device number is ours now may have it still.

    Raises `OSError` when it has for too long.
    """
    deadline = trio.current_time() + _MOMENT
    while True:
        try:
            await listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or trio.current_time() > deadline:
                raise
            await trio.sleep(_MOMENT / 100)
        else:
            return


async def _read_line(connection: trio.socket.SocketType) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < control.LINE_MAX:
        piece = await connection.recv(control.LINE_MAX)
        if not piece:
            break
        line += piece
    return line
