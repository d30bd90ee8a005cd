# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all verbs share: the parser with the global options, and the repository they name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, NoReturn

from ostreefs import __version__
from ostreefs.cli.output import complain
from ostreefs_store.repository import Repository

DEFAULT_REPOSITORY = "/ostree/repo"


class UsageError(Exception):
    """A command line that cannot be meant so; `str()` is one line for a person."""


class Arguments(argparse.Namespace):
    """Parsed arguments; the options of a verb are attributes beside these."""

    repo: str | None
    json: bool
    verbose: bool

    def __getattr__(self, name: str) -> Any:
        """Attributes of the verb (for type checkers; none is ever missing)."""
        raise AttributeError(name)

    @property
    def repository_path(self) -> Path:
        """--repo, else the environment, else the system's repository."""
        return Path(self.repo or os.environ.get("OSTREEFS_REPO") or DEFAULT_REPOSITORY)

    def open_repository(self, *, writable: bool = False) -> Repository:
        """Open the repository that the user means."""
        return Repository.open(self.repository_path, writable=writable)


class Parser(argparse.ArgumentParser):
    """A parser of one verb. Wrong usage is one line, and exit status 2."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        group = self.add_argument_group("global options")
        group.add_argument(
            "--repo",
            metavar="PATH",
            help=f"the repository (else OSTREEFS_REPO, else {DEFAULT_REPOSITORY})",
        )
        group.add_argument("--json", action="store_true", help="print JSON for scripts")
        group.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
        group.add_argument("--version", action="version", version=f"ostreefs {__version__}")

    def error(self, message: str) -> NoReturn:
        """Complain in one line."""
        complain(message, f"see '{self.prog} --help'")
        raise SystemExit(2)
