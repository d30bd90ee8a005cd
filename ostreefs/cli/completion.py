# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completions for shells, made from the parsers: ``python -m ostreefs.cli.completion bash``.

The files in ``mount-helpers/completions`` are what this prints; a test compares them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.cli.arguments import Parser
from ostreefs.cli.dispatch import GROUPS, VERBS, load_verb

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

KINDS = {
    "BASE": "refs",
    "BRANCH": "refs",
    "DEST": "directories",
    "DIR": "directories",
    "DIR[=>DEST]": "directories",
    "FILE": "files",
    "MOUNTPOINT": "mounts",
    "OPTIONS": "mount-options",
    "PREFIX|PATTERN|REV": "refs",
    "REF": "refs",
    "REV": "refs",
    "REV|DIR": "refs-or-files",
    "REV[:SUBPATH][=>DEST]": "refs",
    "REV|NAME": "refs",
    "SRC[:DST]": "files",
}
"""What a metavar stands for; of any other nothing is known."""

ON_DISK = {"checksum", "commit"}
"""Verbs whose PATH is one of the disk, and not of a commit."""

SEQUENCES = {
    "[REV] MOUNTPOINT": ("refs", "directories"),
    "VERB": (
        "words start bad good new old skip run log replay visualize view report terms reset",
    ),
    "get KEY | set KEY VALUE | unset KEY": ("words get set unset", "none"),
}
"""Several words under one name."""


class Option(NamedTuple):
    """An option, by all its names; `kind` is what its value is, None where it has none."""

    names: tuple[str, ...]
    kind: str | None
    help: str


class Verb(NamedTuple):
    """A verb; `words` are the kinds of its words in order, the last one for all that follow."""

    name: str
    summary: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def read_global_options() -> tuple[Option, ...]:
    """The options of every verb."""
    return _read_options(Parser(prog="ostreefs", description=""), set())


def read_verbs() -> list[Verb]:
    """Every verb, from its parser; without the global options."""
    known = {name for option in read_global_options() for name in option.names}
    found = []
    for name, (_, summary) in VERBS.items():
        parser, _ = load_verb(name)
        options = _read_options(parser, known)
        if name in GROUPS:
            found.append(_read_group(name, summary, options, known))
        else:
            found.append(Verb(name, summary, options, _read_words(name, parser)))
    return found


def _read_group(group: str, summary: str, own: Sequence[Option], known: set[str]) -> Verb:
    """A verb with verbs of its own: these as its first word, with the options of all of them."""
    options = {option.names: option for option in own}
    for name in GROUPS[group]:
        parser, _ = load_verb(f"{group} {name}")
        options |= {option.names: option for option in _read_options(parser, known)}
    words = (f"words {' '.join(GROUPS[group])}", "refs", "none")
    return Verb(group, summary, tuple(options.values()), words)


def _read_options(parser: Parser, known: set[str]) -> tuple[Option, ...]:
    return tuple(
        Option(tuple(action.option_strings), _kind_of(action), action.help or "")
        for action in parser._actions
        if action.option_strings and not known.intersection(action.option_strings)
    )


def _kind_of(action: argparse.Action) -> str | None:
    if action.nargs == 0:
        return None
    if action.choices is not None:
        return " ".join(["words", *action.choices])
    if "--repo" in action.option_strings:
        return "directories"
    return KINDS.get(str(action.metavar), "none")


def _read_words(verb: str, parser: Parser) -> tuple[str, ...]:
    kinds: list[str] = []
    repeats = False
    for action in parser._actions:
        if action.option_strings:
            continue
        repeats = action.nargs in {"*", "+"}
        if action.metavar in SEQUENCES:
            kinds.extend(SEQUENCES[str(action.metavar)])
        elif action.metavar == "PATH":
            kinds.append("files" if verb in ON_DISK else "none")
        else:
            kinds.append(_kind_of(action) or "none")
    return tuple(kinds if repeats else [*kinds, "none"])


def main(arguments: Sequence[str]) -> int:
    """Print the completions for one shell."""
    from ostreefs.cli.completionshells import WRITERS  # noqa: PLC0415 -- which needs this

    print(WRITERS[arguments[0]](read_global_options(), read_verbs()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
