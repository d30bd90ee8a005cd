# SPDX-License-Identifier: LGPL-2.1-or-later
"""Listening where a daemon that is about to end listens still."""

import errno
import os
import socket

import pytest
import trio
from trio.testing import MockClock

from ostreefs.fuse import control
from ostreefs.fuse.live import take_address

ADDRESS = control.address(f"0:test-{os.getpid()}")


async def test_an_address_that_becomes_free(autojump_clock: MockClock) -> None:
    with socket.socket(socket.AF_UNIX) as other, trio.socket.socket(socket.AF_UNIX) as ours:
        other.bind(ADDRESS)

        async def end() -> None:
            await trio.sleep(1)
            other.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            await take_address(ours, ADDRESS)
        assert ours.getsockname() == ADDRESS


async def test_an_address_that_stays_taken(autojump_clock: MockClock) -> None:
    with socket.socket(socket.AF_UNIX) as other, trio.socket.socket(socket.AF_UNIX) as ours:
        other.bind(ADDRESS)
        with pytest.raises(OSError, match="Address already in use") as caught:
            await take_address(ours, ADDRESS)
        assert caught.value.errno == errno.EADDRINUSE
