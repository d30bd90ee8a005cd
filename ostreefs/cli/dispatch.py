# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the words on the command line to a verb, and from what it raises to an exit status.

Exit status: 0 done, 1 expected failure, 2 usage, 3 corruption found, 70 a bug, 130 interrupted,
141 nobody reads the output.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import resource
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from ostreefs import __version__
from ostreefs.cli.admin import ADMIN_VERBS
from ostreefs.cli.arguments import Parser, UsageError
from ostreefs.cli.output import complain
from ostreefs_store.errors import CorruptionError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ostreefs.cli.arguments import Arguments

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_CORRUPTION = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

VERBS = {
    "init": ("repository", "Make a repository"),
    "commit": ("commit", "Commit a directory tree to a branch"),
    "compose": ("compose", "Make a commit out of a base and additions"),
    "log": ("history", "Show the history of a revision"),
    "history": (
        "builds",
        "Show the builds of a ref: what changed, as a graph, as a page",
    ),
    "show": ("history", "Show one commit"),
    "rev-parse": ("history", "Print the commit id of a revision"),
    "refs": ("refs", "List, create and delete refs, and tell how they moved"),
    "reset": ("refs", "Make a ref name another commit"),
    "ls": ("files", "List files of a commit"),
    "cat": ("files", "Print files of a commit"),
    "checkout": ("checkout", "Check out a commit as ordinary files"),
    "export": ("export", "Write a commit as a tar archive"),
    "diff": ("diff", "Show which paths differ between two commits"),
    "checksum": ("checksum", "Print the digest of a file or directory on the disk"),
    "fsck": ("fsck", "Check the repository against its digests"),
    "df": ("df", "Show how much space refs and commits take"),
    "prune": ("prune", "Delete what no ref, pin or mount keeps"),
    "pin": ("prune", "Keep commits whatever becomes of the refs"),
    "config": ("config", "Read and change the repository's settings"),
    "mount": ("mount", "Mount a commit, or all of them"),
    "switch": ("mount", "Let a live mount show another commit"),
    "umount": ("mount", "Take down a mount"),
    "bisect": ("bisect", "Find the commit that broke something"),
    "run": ("run", "Run a command inside a commit"),
    "shell": ("run", "Start a shell inside a commit"),
    "mounts": ("mounts", "List what is mounted where, and who serves it"),
    "admin": ("admin", "Deploy commits, and choose what the machine boots"),
}
"""Verb -> (module of this package, what it does)."""

GROUPS = {"admin": ADMIN_VERBS}
"""Verbs that have verbs of their own."""


def run(argv: Sequence[str]) -> int:
    """Run a command line; the exit status."""
    gc.disable()  # a command ends before garbage would matter; a daemon turns it on again
    _open_standard_streams()
    _raise_file_limit()
    try:
        status = _run(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except StoreError as error:
        complain(str(error), error.hint)
        return EXIT_CORRUPTION if isinstance(error, CorruptionError) else EXIT_FAILURE
    except OSError as error:
        complain(_describe(error), _HINTS.get(error.errno or 0))
        return EXIT_FAILURE
    except Exception:  # noqa: BLE001 -- a bug: shown whole
        import traceback  # noqa: PLC0415 -- 4 ms that a program without bugs need not pay

        traceback.print_exc()
        complain("this is a bug in ostreefs; please report it with the lines above")
        return EXIT_BUG
    return status


def _open_standard_streams() -> None:
    """Replace those that the caller has closed, or the next file opened would be taken for one."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    if sys.stdout is None:
        sys.stdout = _open_for_text(1)
    if sys.stderr is None:
        sys.stderr = _open_for_text(2)


def _open_for_text(fd: int) -> TextIO:
    return os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape", closefd=False)


def _raise_file_limit() -> None:
    """Deep trees hold a descriptor for each level, a mount one for each file that is open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leave(status: int) -> NoReturn:
    """End the process without tidying its memory: for a large commit that takes 20 ms."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


_HINTS = {
    errno.ENOENT: "check how the path is spelt; a relative one begins in the current directory",
    errno.EISDIR: "name a file, not a directory",
    errno.ENOTDIR: "name a directory, not a file",
    errno.EACCES: "you may not read or write that: ask its owner, or be root",
    errno.EEXIST: "remove it or choose another place; a checkout can merge with --union",
    errno.EMFILE: "the tree is deeper than your limit of open files: raise it with 'ulimit -n'",
    errno.ENOSPC: "nothing that was committed is lost: free some space and try again",
    errno.EDQUOT: "nothing that was committed is lost: your quota is used up",
}


def _run(argv: Sequence[str]) -> int:
    verb, arguments = split_verb(argv)
    if verb is None:
        return _without_verb(arguments)
    if verb in GROUPS:
        word, arguments = split_verb(arguments)
        if word is None:
            return _without_verb_of(verb, arguments)
        verb = f"{verb} {word}"
    if find_verb(verb) is None:
        program = f"ostreefs {verb.rpartition(' ')[0]}".rstrip()
        complain(f"unknown verb '{verb}'", f"'{program} --help' lists the verbs")
        return EXIT_USAGE
    parser, run_verb = load_verb(verb)
    try:
        parsed = parser.parse_words(arguments)
        return run_verb(parsed)
    except UsageError as error:
        complain(str(error), f"see '{parser.prog} --help'")
        return EXIT_USAGE
    except SystemExit as stop:
        return cast("int", stop.code)


def find_verb(verb: str) -> tuple[str, str] | None:
    """Module and summary of a verb, or of one of a group: ``admin deploy``."""
    group, _, word = verb.partition(" ")
    if not word:
        return VERBS.get(verb)
    found = GROUPS[group].get(word) if group in GROUPS else None
    return None if found is None else (f"{group}.{found[0]}", found[1])


def load_verb(verb: str) -> tuple[Parser, Callable[[Arguments], int]]:
    """The parser of a verb, and what runs it and gives the exit status."""
    found = find_verb(verb)
    assert found is not None, verb
    module_name, summary = found
    module = importlib.import_module(f"ostreefs.cli.{module_name}")
    name = verb.rpartition(" ")[2].replace("-", "_")
    parser = Parser(prog=f"ostreefs {verb}", description=f"{summary}.")
    getattr(module, f"add_{name}_arguments")(parser)
    return parser, getattr(module, f"run_{name}")


def split_verb(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The verb, and everything else in order: options may stand before the verb as well."""
    takes_value = False
    for position, word in enumerate(argv):
        if takes_value:
            takes_value = False
        elif word in {"--repo", "--sysroot"}:
            takes_value = True
        elif not word.startswith("-"):
            return word, [*argv[:position], *argv[position + 1 :]]
    return None, list(argv)


def _without_verb(arguments: Sequence[str]) -> int:
    if "--version" in arguments:
        print(f"ostreefs {__version__}")
        return 0
    asked = "--help" in arguments or "-h" in arguments
    lines = [
        "usage: ostreefs [--repo=PATH] [--json] [-v] VERB [ARGUMENT…]",
        "",
        "A store of operating-system trees: any commit is a directory that can be mounted.",
        "",
        *(f"  {verb:<10} {summary}" for verb, (_, summary) in VERBS.items()),
        "",
        "'ostreefs VERB --help' explains a verb. The repository is --repo, OSTREEFS_REPO or",
        "/ostree/repo.",
    ]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else EXIT_USAGE


def _without_verb_of(group: str, arguments: Sequence[str]) -> int:
    if "--version" in arguments:
        return _without_verb(arguments)
    asked = "--help" in arguments or "-h" in arguments
    lines = [
        f"usage: ostreefs {group} [--sysroot=PATH] [--json] [-v] VERB [ARGUMENT…]",
        "",
        f"{VERBS[group][1]}.",
        "",
        *(f"  {verb:<12} {summary}" for verb, (_, summary) in GROUPS[group].items()),
        "",
        f"'ostreefs {group} VERB --help' explains a verb.",
    ]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else EXIT_USAGE


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    if not isinstance(error.filename, str | bytes):  # some calls give the descriptor
        return reason
    return f"{os.fsdecode(error.filename)}: {reason}"
