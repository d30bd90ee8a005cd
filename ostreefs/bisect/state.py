# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is kept of an open bisection, as a value, and as the log that people read. Pure.

The state is one msgpack record in the index (`ostreefs_store.bisections`); every step replaces it
in one transaction. The log is made of it, in the form of git's, and can be replayed::

    ostreefs bisect start --term-new=slow --term-old=fast -- usr/lib
    # slow: [<commit>] <subject>
    ostreefs bisect slow <commit>
    # first slow commit: [<commit>] <subject>
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from ostreefs.bisect.errors import BisectError, ReplayError, TermsError
from ostreefs_store.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VERSION = 1
DEFAULT_NAME = "default"

Word = Literal["bad", "good", "skip"]
"""A verdict in git's words, whatever the terms are."""

VERBS = (
    "start",
    "bad",
    "good",
    "new",
    "old",
    "skip",
    "terms",
    "reset",
    "log",
    "replay",
    "visualize",
    "view",
    "run",
    "report",
)
"""Everything that a term cannot be, but for the four that are terms."""

_SHOWN = 40
_PAIRS = (("bad", "good"), ("new", "old"))


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A verdict. `commit` is an id, `time` in seconds since 1970."""

    word: Word
    commit: bytes
    time: int
    number: int
    """Counted from 1; what the test printed is kept under it."""
    reason: str = ""
    """Why it was skipped, where nobody said so."""
    status: int | None = None
    seconds: float | None = None
    was_asked: bool = False
    """Whether this was tested as a merge base."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An open bisection."""

    version: int = VERSION
    serial: int = 0
    """Counts the changes: who finds another number than he has read was overtaken."""
    started: int
    terms: tuple[str, str] | None = None
    """Those for bad and good; None until it is known which of git's two pairs is meant."""
    paths: tuple[bytes, ...] = ()
    mount: bytes = b""
    """Where candidates are shown."""
    made_mount: bool = False
    """Whether that directory was made for it."""
    mount_options: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    current: bytes | None = None
    """The commit that is to be tested."""
    is_merge_base: bool = False
    """Whether that is a merge base that has to be good."""
    was_shown: bool = False
    """Whether it was shown to a person, who may judge it when the mount is gone."""
    command: str = ""
    """What `run` was last given."""

    @property
    def verdicts(self) -> dict[bytes, Mark]:
        """The last mark of each commit, in the order of the marks.

        What is known to be good or bad is not skipped, as in git.
        """
        found: dict[bytes, Mark] = {}
        for mark in self.marks:
            if mark.word != "skip":
                found.pop(mark.commit, None)
            elif mark.commit in found:
                continue
            found[mark.commit] = mark
        return found

    @property
    def names(self) -> tuple[str, str]:
        """The terms for bad and good."""
        return self.terms or _PAIRS[0]

    def having(self, word: Word) -> list[bytes]:
        """The commits with a verdict, in the order of the marks."""
        return [commit for commit, mark in self.verdicts.items() if mark.word == word]


def encode_state(state: State) -> bytes:
    """The state as it is kept."""
    return msgspec.msgpack.encode(state)


def decode_state(encoded: bytes, name: str) -> State:
    """What `encode_state` was given. Raises `BisectError` for anything else."""
    try:
        state = msgspec.msgpack.decode(encoded, type=State)
    except msgspec.DecodeError as error:
        raise BisectError(
            f"the state of bisection '{name}' cannot be read: {error}",
            hint=f"'ostreefs bisect reset --name={name}' forgets it",
        ) from None
    if state.version > VERSION:
        raise BisectError(
            f"bisection '{name}' needs a newer ostreefs",
            hint="use that, or end the bisection with 'ostreefs bisect reset'",
        )
    return state


# ---- terms ----


def check_terms(bad: str, good: str) -> None:
    """Raise `TermsError` for words that cannot be terms, as git does."""
    if bad == good:
        raise TermsError(f"the terms cannot both be '{bad}'", hint="choose two different words")
    for term, other in ((bad, ("good", "old")), (good, ("bad", "new"))):
        if term in other:
            raise TermsError(f"the meaning of the term '{term}' cannot be changed")
        is_usual = any(term in pair for pair in _PAIRS)
        if not term.isidentifier() and not _is_plain(term):
            raise TermsError(f"'{term}' is not a term", hint="use letters, digits and -")
        if term in VERBS and not is_usual:
            raise TermsError(f"a verb of bisect cannot be a term: '{term}'")


def _is_plain(term: str) -> bool:
    return term.replace("-", "").isalnum() and not term.startswith("-")


def read_term(state: State, word: str) -> tuple[Word, State] | None:
    """What a verdict means, and the state with its terms settled; None for what is no verdict.

    Raises `TermsError` for one of another pair of terms.
    """
    if word == "skip":
        return "skip", state
    if state.terms is None:
        for pair in _PAIRS:
            if word in pair:
                return _meaning(word, pair), msgspec.structs.replace(state, terms=pair)
        return None
    if word in state.terms:
        return _meaning(word, state.terms), state
    if any(word in pair for pair in _PAIRS):
        raise TermsError(
            f"this bisection has other terms than '{word}'",
            hint=f"say '{state.terms[0]}' or '{state.terms[1]}'",
        )
    return None


def _meaning(word: str, pair: tuple[str, str]) -> Word:
    return "bad" if word == pair[0] else "good"


# ---- the log ----


def format_log(
    state: State, subject_of: Callable[[bytes], str], end: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of the log; those of the end are remarks."""
    bad, good = state.names
    words = ["start"]
    if state.terms is not None and state.terms not in _PAIRS:
        words += [f"--term-new={bad}", f"--term-old={good}"]
    elif state.terms == _PAIRS[1]:
        words += ["--term-new=new", "--term-old=old"]
    if state.paths:
        words += ["--", *(path.decode("utf-8", "surrogateescape") for path in state.paths)]
    yield f"ostreefs bisect {shlex.join(words)}"
    for mark in state.marks:
        word = {"bad": bad, "good": good, "skip": "skip"}[mark.word]
        reason = f" ({mark.reason})" if mark.reason else ""
        yield _remark(f"{word}: [{mark.commit.hex()}] {subject_of(mark.commit)}{reason}")
        yield f"ostreefs bisect {word} {mark.commit.hex()}"
    yield from map(_remark, end)


def _remark(text: str) -> str:
    return "# " + printable(text.encode("utf-8", "backslashreplace")).rstrip()


class Line(NamedTuple):
    """A line of a log: the verb, and its words."""

    number: int
    verb: str
    words: tuple[str, ...]


def parse_log(text: str, source: str) -> list[Line]:
    """The lines of a log of ours, or of git's words. Raises `ReplayError`."""
    found: list[Line] = []
    for number, words in _split_lines(text, source):
        line = _read_line(words, source, number)
        if not found and line.verb != "start":
            raise ReplayError(source, number, "a log begins with 'bisect start'")
        if found and line.verb == "start":
            raise ReplayError(source, number, "a second 'bisect start'")
        if line.verb != "terms":
            found.append(line)
    if not found:
        raise ReplayError(source, 1, "it has no 'bisect start'")
    return found


def _split_lines(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each line but remarks; a quoted word may go over several lines."""
    begun, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun, first = (f"{begun}\n{line}", first) if begun else (line, number)
        try:
            words = shlex.split(begun)
        except ValueError:
            continue
        begun = ""
        yield first, words
    if begun:
        raise ReplayError(source, first, "a quotation mark has no other one")


def _read_line(words: list[str], source: str, number: int) -> Line:
    if words[:2] in (["ostreefs", "bisect"], ["git", "bisect"]):
        rest = words[2:]
    elif words[:1] == ["git-bisect"]:
        rest = words[1:]
    else:
        shown = printable(" ".join(words)[:_SHOWN].encode("utf-8", "surrogateescape"))
        raise ReplayError(source, number, f"'{shown}' is no line of a log")
    if not rest:
        raise ReplayError(source, number, "there is no verb")
    return Line(number, rest[0], tuple(rest[1:]))
