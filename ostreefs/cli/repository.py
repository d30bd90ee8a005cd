# SPDX-License-Identifier: LGPL-2.1-or-later
"""`init`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ostreefs.cli.output import print_json
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


def add_init_arguments(parser: Parser) -> None:
    """Options of `init`."""
    parser.add_argument(
        "--mode",
        choices=MODES,
        help="bare: object files carry owner, mode and xattrs (for root, the default there);"
        " bare-user: only permissions, the rest is in the index (for anyone)",
    )


def run_init(arguments: Arguments) -> int:
    """Make a repository; one of the same mode that is there already is left alone."""
    default: Mode = "bare" if os.geteuid() == 0 else "bare-user"
    mode: Mode = arguments.mode or default
    created = Repository.init(arguments.repository_path, mode)
    if arguments.json:
        path = str(arguments.repository_path.resolve())
        print_json({"repository": path, "mode": mode, "created": created})
    return 0
