# SPDX-License-Identifier: LGPL-2.1-or-later
"""`config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import print_json, print_line
from ostreefs_store.config import (
    format_value,
    get_setting,
    list_settings,
    set_setting,
    unset_setting,
)

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser

_WORDS = {"get": 1, "set": 2, "unset": 1}


def add_config_arguments(parser: Parser) -> None:
    """Options of `config`, with ostree's spellings."""
    parser.add_argument("--list", action="store_true", help="show all that is set")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="get KEY | set KEY VALUE | unset KEY",
        help="KEY is SECTION.NAME, such as core.min-free-space-percent",
    )


def run_config(arguments: Arguments) -> int:
    """Read or change ``config.toml``."""
    if arguments.list:
        if arguments.words:
            raise UsageError("--list takes no argument")
        return _list(arguments)
    action, *words = arguments.words or [""]
    if len(words) != _WORDS.get(action):
        raise UsageError("config needs get KEY, set KEY VALUE, unset KEY, or --list")
    if action == "get":
        return _get(arguments, words[0])
    with (
        arguments.open_repository(writable=True) as repository,
        repository.in_use(writing=True),
    ):
        if action == "set":
            repository.edit_config(lambda text: set_setting(text, *words))
        else:
            repository.edit_config(lambda text: unset_setting(text, *words))
    if arguments.json:
        print_json({"key": words[0], "value": words[1] if action == "set" else None})
    return 0


def _get(arguments: Arguments, key: str) -> int:
    with arguments.open_repository() as repository:
        value = get_setting(repository.read_config(), key)
    if arguments.json:
        print_json({"key": key, "value": value})
    else:
        print_line(format_value(value).encode())
    return 0


def _list(arguments: Arguments) -> int:
    with arguments.open_repository() as repository:
        settings = list_settings(repository.read_config())
    if arguments.json:
        print_json(settings)
        return 0
    for key, value in settings.items():
        print_line(f"{key}={format_value(value)}".encode())
    return 0
