# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all verbs share: the parser with the global options, and the repository they name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ostreefs import __version__
from ostreefs.cli.output import complain
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_REPOSITORY = "/ostree/repo"


_ID_MAX = 2**32 - 2
"""The limit of the format, see `codec`."""

_MARK = "\0"
"""Stands before words that are no options, and in no word of a command line."""


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

    def open_repository(self, *, writable: bool | Literal["if allowed"] = False) -> Repository:
        """Open the repository that the user means."""
        if writable == "if allowed":
            return Repository.open_best(self.repository_path)
        return Repository.open(self.repository_path, writable=writable)


class Parser(argparse.ArgumentParser):
    """A parser of one verb. Wrong usage is one line, and exit status 2."""

    has_paths = False
    """Whether the words after ``--`` are paths, and go into `paths` alone."""

    command_after: str | None = None
    """A word after which the first one that is no option begins a command: it and all behind it
    go into `command`, whatever they look like."""

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

    def parse_words(self, words: Sequence[str]) -> Arguments:
        """Options may stand between other words; after ``--`` nothing is an option.

        argparse forgets the ``--`` in between, hence the marks.
        """
        words, command = self._split_command(words)
        end = words.index("--") if "--" in words else len(words)
        after = words[end + 1 :]
        marked = [] if self.has_paths else [_MARK + word for word in after]
        parsed = self.parse_intermixed_args([*words[: end + 1], *marked], namespace=Arguments())
        if self.has_paths:
            parsed.paths = list(after)
        if self.command_after is not None:
            parsed.command = command
        for name, value in vars(parsed).items():
            setattr(parsed, name, _unmark(value))
        return parsed

    def _split_command(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """What belongs to us, and the command."""
        is_value = is_after = False
        for position, word in enumerate(words):
            if is_value:
                is_value = False
            elif word == "--":
                end = position + 1 if is_after else len(words)
                return list(words[: position if is_after else end]), list(words[end:])
            elif word.startswith("-"):
                option = self._option_string_actions.get(word)
                is_value = option is not None and option.nargs is None
            elif is_after:
                return list(words[:position]), list(words[position:])
            elif word == self.command_after:
                is_after = True
            elif self.command_after is not None:
                break
        return list(words), []

    def error(self, message: str) -> NoReturn:
        """Complain in one line."""
        complain(message.replace(_MARK, ""), f"see '{self.prog} --help'")
        raise SystemExit(2)


def _unmark(value: object) -> object:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, list):
        return [_unmark(item) for item in value]
    return value


def parse_count(text: str) -> int:
    """A number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return int(text)


def parse_id(text: str) -> int:
    """A user or group id, for argparse."""
    if not (text.isascii() and text.isdigit() and int(text) <= _ID_MAX):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to {_ID_MAX}")
    return int(text)
