# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options for libfuse, from what was asked; and the end of a server."""

import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from ostreefs.fuse.counters import Counters
from ostreefs.fuse.live import LiveMount
from ostreefs.fuse.operations import Operations
from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.protocol import Opcode
from ostreefs.fuse.requests import Requests
from ostreefs.fuse.serve import MountRequest, Server, fuse_options
from ostreefs.fuse.session import Kernel, Session
from ostreefs.fuse.signals import Statistics
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.leases import Leases
from ostreefs_store.repository import Repository
from tests.support.commits import init_repository
from tests.support.mounts import wait_until
from tests.support.requests import format_request

ALWAYS = {"ro", "default_permissions", "subtype=ostreefs"}


def options(*asked: str, revision: str | None = "main", repository: str = "/repo") -> set[str]:
    request = MountRequest(Path(repository), revision, Path("/mnt"), MountOptions(asked))
    return fuse_options(request)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), {"nosuid", "nodev"}),
        (("allow_other",), {"nosuid", "nodev", "allow_other"}),
        (("suid",), {"suid", "nodev"}),
        (("dev", "suid"), {"dev", "suid"}),
        (("noexec", "nosuid"), {"nosuid", "nodev", "noexec"}),
    ],
)
def test_options(asked: tuple[str, ...], expected: set[str]) -> None:
    assert options(*asked) == {*ALWAYS, "fsname=/repo#main", *expected}


@pytest.mark.parametrize(
    ("repository", "revision", "expected"),
    [
        ("/repo", None, "/repo"),
        ("/repo", "os/stable^", "/repo#os/stable^"),
        ("/a,b", "main", "/a\\,b#main"),
        ("/a\\b", None, "/a\\\\b"),
        ("/a b", None, "/a b"),
        ("/é\udcff", None, "/\\\\xe9\\\\udcff"),
    ],
)
def test_source(repository: str, revision: str | None, expected: str) -> None:
    assert f"fsname={expected}" in options(repository=repository, revision=revision)


PATIENCE = 20


async def test_requests_are_answered_until_all_else_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What has begun may need the mount: here what is done on a signal, as its user goes away."""
    caplog.set_level("INFO")
    path = init_repository(tmp_path / "repo")
    lifeline, others_end = os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(PATIENCE)
    answers = []

    def look_into_the_mount() -> None:
        os.close(others_end)
        wait_until(lambda: "nobody needs the mount" in caplog.text, "the end that is asked for")
        for _ in range(3):
            theirs.sendall(format_request(Opcode.GETATTR, ROOT, bytes(16)))
            answers.append(theirs.recv(1 << 16))

    request = MountRequest(path, None, tmp_path, on_signal=look_into_the_mount, lifeline=lifeline)
    with ours, theirs, Repository.open(path) as repository, Leases(path) as leases:
        namespace = Namespace(repository, None, leases)
        operations = Operations(repository, namespace)
        requests = Requests(operations)
        session = Session(ours.fileno(), requests)
        live = LiveMount(repository, namespace, leases, Kernel(ours.fileno()))
        statistics = Statistics(Counters(requests, operations, namespace), None)
        server = Server(request, session, live, statistics, str(tmp_path / "nothing"))
        with trio.fail_after(2 * PATIENCE):
            await server.run(lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.close(lifeline)
    assert len(answers) == 3
