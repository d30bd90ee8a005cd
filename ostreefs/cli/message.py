# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `commit` is told to say: subject, body, time, metadata; in options, a file or an editor."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs_store.committing.commit import Message, check_message

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser
    from ostreefs_store.model import MetadataValue

_TIMESTAMP_END = 2**62
"""The limit of the format, see `codec`."""

_TEMPLATE = """
# The first line is the subject, the rest the body. Lines that begin with '#' are left out;
# an empty message makes no commit.
#
# Branch: {branch}
"""


def add_message_arguments(parser: Parser) -> None:
    """Options of `commit` about the message, with ostree's spellings."""
    add = parser.add_argument
    add("-s", "--subject", type=_parse_text, default="", help="one line about the commit")
    add("-m", "--body", type=_parse_text, default="", help="more about the commit")
    add(
        "-F",
        "--body-file",
        metavar="FILE",
        help="the body from a file ('-' for standard input); with no subject its first line is it",
    )
    add("-e", "--editor", action="store_true", help="write the message in an editor")
    add("--timestamp", metavar="TIME", help="instead of now: @SECONDS, or as 2026-01-31T12:00:00Z")
    add(
        "--add-metadata-string",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="add text to the metadata",
    )
    add(
        "--add-metadata",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="add a number, true, false or quoted text to the metadata",
    )


def read_message(arguments: Arguments) -> Message:
    """The message that the options ask for, checked."""
    subject, body = arguments.subject, arguments.body
    if arguments.body_file is not None:
        if body or arguments.editor:
            raise UsageError("give the body by one of --body, --body-file and --editor")
        body = _read_body(arguments.body_file)
        if not subject:
            subject, body = split_message(body)
    elif arguments.editor:
        subject, body = _edit(subject, body, arguments.branch or "(none)")
    timestamp = int(time.time())
    if arguments.timestamp is not None:
        timestamp = parse_timestamp(arguments.timestamp)
    message = Message(subject, body, timestamp, _metadata(arguments))
    check_message(message)
    return message


def split_message(text: str) -> tuple[str, str]:
    """Subject and body: the first line, and what follows the empty lines after it."""
    subject, _, body = text.strip("\n").partition("\n")
    return subject.strip(), body.strip("\n")


def parse_metadata(text: str) -> tuple[str, MetadataValue]:
    """A ``KEY=VALUE`` with VALUE as in GVariant's text form: a number, a boolean, quoted text.

    A type before a number (``uint32 5``) is allowed, and has no effect.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"'{text}' is not of the form KEY=VALUE")
    if value in {"true", "false"}:
        return key, value == "true"
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return key, value[1:-1]
    kind, _, rest = value.rpartition(" ")
    if kind in {"", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64"}:
        try:
            return key, int(rest, 0)
        except ValueError:
            pass
    raise UsageError(
        f"cannot understand the value of '{text}': use a number, true, false or 'quoted text',"
        " or --add-metadata-string"
    )


def _metadata(arguments: Arguments) -> dict[str, MetadataValue]:
    found: dict[str, MetadataValue] = {}
    for text in arguments.add_metadata_string:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"'{text}' is not of the form KEY=VALUE")
        found[key] = value
    found.update(parse_metadata(text) for text in arguments.add_metadata)
    return found


def _read_body(path: str) -> str:
    if path == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            data = file.read()
    return _decoded(data, path)


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the message in {path} is not UTF-8") from None


def _edit(subject: str, body: str, branch: str) -> tuple[str, str]:
    """Have the user write the message. Raises `UsageError` when nothing was written."""
    import shlex  # noqa: PLC0415 -- only for those who use an editor
    import subprocess  # noqa: PLC0415 -- likewise
    import tempfile  # noqa: PLC0415 -- likewise

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    draft = "\n\n".join(filter(None, (subject, body)))
    with tempfile.NamedTemporaryFile("w+b", prefix="COMMIT_MESSAGE-", suffix=".txt") as file:
        file.write((draft + _TEMPLATE.format(branch=branch)).encode())
        file.flush()
        try:
            status = subprocess.run([*shlex.split(editor), file.name], check=False).returncode
        except FileNotFoundError:
            raise UsageError(f"there is no editor '{editor}': set EDITOR to one") from None
        if status != 0:
            raise UsageError(f"the editor '{editor}' failed; nothing was committed")
        with open(file.name, "rb") as written:
            text = _decoded(written.read(), "the editor")
    kept = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    found = split_message(kept)
    if not any(found):
        raise UsageError("the message is empty; nothing was committed")
    return found


def parse_timestamp(text: str) -> int:
    """Seconds since 1970 from ``@SECONDS``, ``SECONDS`` or ISO 8601 (UTC unless it says so)."""
    from datetime import UTC, datetime  # noqa: PLC0415 -- only for those who use it

    try:
        seconds = int(text.removeprefix("@"))
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"cannot understand the timestamp '{text}':"
                " use @SECONDS or a form such as 2026-01-31T12:00:00Z"
            ) from None
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if abs(seconds) >= _TIMESTAMP_END:
        raise UsageError(f"the timestamp '{text}' is out of range")
    return seconds


def _parse_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("it is not UTF-8") from None
    return text
