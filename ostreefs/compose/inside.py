# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process that runs commands inside a commit: ``python -m ostreefs.compose.inside FD ORDER``.

ORDER is a JSON list of repository, commit, upper directory and commands. On FD it answers with
JSON: ``status`` and the number of the ``command`` that was run last, or ``error`` and ``hint``, or
``signal`` for one that ended this, whatever the command made of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.fuse.options import MountOptions
from ostreefs.fuse.temporary import temporary_mount
from ostreefs.sandbox.options import SandboxOptions
from ostreefs.sandbox.run import run_in_tree
from ostreefs_store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_STREAMS = (0, 2, 2)
"""Standard output is for the id of the commit alone."""


def main(arguments: Sequence[str]) -> int:
    """Run the commands until one fails."""
    _end_with_parent()
    repository, commit, upper, commands = json.loads(arguments[1])
    with open(int(arguments[0]), "w", encoding="utf-8") as answers:
        try:
            answer = _run(Path(repository), commit, Path(upper), commands)
        except StoreError as error:
            answer = {"error": str(error), "hint": error.hint}
        except OSError as error:
            answer = {"error": str(error), "hint": None}
        except KeyboardInterrupt:
            answer = {"signal": int(signal.SIGINT)}
        json.dump(answer, answers)
    return 0


def _end_with_parent() -> None:
    """Whoever has started this is gone when it is: also after a SIGKILL nothing goes on."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def _run(repository: Path, commit: str, upper: Path, commands: list[str]) -> dict[str, object]:
    options = SandboxOptions(writable=True, upper=upper, home=False, directory="/", user="0:0")
    shown = MountOptions(apart=True)
    if os.geteuid() != 0:  # whoever is root inside is the user outside, and so owns everything
        shown = shown._replace(uid=os.geteuid(), gid=os.getegid())
    with temporary_mount(repository, commit, options=shown) as tree:
        for number, command in enumerate(commands):
            heard: list[int] = []
            words = ["/bin/sh", "-c", command]
            status = run_in_tree(tree, words, options, streams=_STREAMS, heard=heard.append)
            if ending := _ENDING.intersection(heard):
                return {"signal": int(min(ending, key=heard.index))}
            if status != 0:
                return {"status": status, "command": number}
    return {"status": 0, "command": 0}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
