# SPDX-License-Identifier: LGPL-2.1-or-later
"""What commands print is kept, passed on, and bounded."""

import os
import subprocess
import sys

import pytest

from ostreefs.bisect.recording import HEAD, TAIL, Recording, recording


def test_everything_is_kept_and_passed_on(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with recording(1) as kept:
        subprocess.run(["sh", "-c", "echo out; echo error >&2"], check=True)
    print("after")
    sys.stdout.flush()
    assert kept.output == b"out\nerror\n"
    assert capfdbinary.readouterr() == (b"out\nerror\nafter\n", b"")


def test_it_may_be_passed_on_nowhere(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with recording(None) as kept:
        os.write(1, b"hidden")
    assert kept.output == b"hidden"
    assert capfdbinary.readouterr() == (b"", b"")


def test_processes_that_stay_are_not_waited_for() -> None:
    with recording(None) as kept:
        process = subprocess.Popen(["sh", "-c", "echo there; exec sleep 1000"])
        subprocess.run(["sh", "-c", "echo done"], check=True)
    process.kill()
    process.wait()
    assert b"done\n" in kept.output


def test_of_much_the_beginning_and_the_end() -> None:
    kept = Recording()
    for _ in range(10):
        kept.add(b"a" * 10_000)
    kept.add(b"z" * TAIL)
    assert kept.output.startswith(b"a" * HEAD + b"\n[... 83616 bytes are left out here ...]\nzzz")
    assert len(kept.output) < HEAD + TAIL + 100


def test_a_megabyte() -> None:
    with recording(None) as kept:
        subprocess.run(["head", "-c", "1000000", "/dev/zero"], check=True)
    assert b"[... %d bytes are left out" % (1_000_000 - HEAD - TAIL) in kept.output
