# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: one module for each group of verbs, imported only when its verb is used."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process by default; the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if list(words) == ["--version"]:  # before anything else is imported
        from ostreefs import __version__  # noqa: PLC0415 -- see above

        print(f"ostreefs {__version__}")
        return 0
    from ostreefs.cli.dispatch import leave, run  # noqa: PLC0415 -- see above

    status = run(words)
    if argv is None:
        leave(status)
    return status
