# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running commands inside a commit, over an overlay that keeps what they change.

A process of its own mounts the commit and runs them (`inside`): this one has the index open, which
must not be carried over the fork that a mount needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from ostreefs.compose.errors import CommandFailedError, ComposeError

if TYPE_CHECKING:
    from pathlib import Path

    from ostreefs_store.model import Digest


class SandboxRunner:
    """Runs commands in the sandbox of ``ostreefs run``, on commits of a repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def __call__(self, commit: Digest, commands: list[str], upper: Path) -> None:
        """Run commands one after the other; what they print goes to standard error.

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
            with done:
                answer = answers.read()
        if not answer:
            raise ComposeError(f"--run was ended with status {done.returncode}")
        found = json.loads(answer)
        if "error" in found:
            raise ComposeError(f"--run: {found['error']}", hint=found["hint"])
        if found["status"] != 0:
            raise CommandFailedError(commands[found["command"]], found["status"])
