# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running commands inside a commit, over an overlay that keeps what they change.

A process of its own mounts the commit and runs them (`inside`): this one has the index open, which
must not be carried over the fork that a mount needs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ostreefs.compose.errors import CommandFailedError, ComposeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ostreefs_store.model import Digest


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Wait for a process after the block; end it first if that fails, also by a signal to us."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    previous = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        with process:
            try:
                yield
            except BaseException:
                process.terminate()
                raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class SandboxRunner:
    """Runs commands in the sandbox of ``ostreefs run``, on commits of a repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def __call__(self, commit: Digest, commands: list[str], upper: Path) -> None:
        """Run commands one after the other; what they print goes to standard error.

        A signal that is to end them ends us, too, also where a command exits with 0 after it.
        Raises `CommandFailedError` for the first one that fails, `ComposeError` when none can be
        run at all.
        """
        order = json.dumps([str(self._repository), commit.hex(), str(upper), commands])
        reading, writing = os.pipe()
        with open(reading, encoding="utf-8") as answers:
            try:
                done = subprocess.Popen(
                    [sys.executable, "-m", "ostreefs.compose.inside", str(writing), order],
                    stdout=2,
                    pass_fds=(writing,),
                )
            finally:
                os.close(writing)
            with _ended(done):
                answer = answers.read()
        if not answer:
            raise ComposeError(f"--run was ended with status {done.returncode}")
        found = json.loads(answer)
        if "signal" in found:
            raise SystemExit(128 + found["signal"])
        if "error" in found:
            raise ComposeError(f"--run: {found['error']}", hint=found["hint"])
        if found["status"] != 0:
            raise CommandFailedError(commands[found["command"]], found["status"])
