# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening a bisection: by its options, or by the log of another one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs.bisect.algorithm import find_candidates
from ostreefs.bisect.errors import AlreadyBisectingError, BisectError, ReplayError
from ostreefs.bisect.ranges import read_graph
from ostreefs.bisect.session import Session, Step, Verdict
from ostreefs.bisect.shown import default_place, remove_place
from ostreefs.bisect.state import State, check_terms, decode_state, parse_log, read_term
from ostreefs.fuse import mounts
from ostreefs.fuse.leftovers import detach_dead
from ostreefs_store.bisections import check_name, iter_bisections
from ostreefs_store.errors import RevisionNotFoundError, StoreError
from ostreefs_store.refs import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ostreefs.bisect.state import Line
    from ostreefs_store.index import Snapshot
    from ostreefs_store.model import Digest

_OPTIONS = {
    "--term-new": "term_bad",
    "--term-bad": "term_bad",
    "--term-old": "term_good",
    "--term-good": "term_good",
    "--bad": "bad",
    "--good": "goods",
}
_IGNORED = {"--no-checkout", "--first-parent"}


class Start(NamedTuple):
    """What `start` was given; revisions are as they were typed."""

    bad: str | None = None
    goods: tuple[str, ...] = ()
    term_bad: str | None = None
    term_good: str | None = None
    paths: tuple[bytes, ...] = ()
    mount: Path | None = None
    """Absolute; None for one in the user's runtime directory."""
    mount_options: tuple[str, ...] = ()


def start(session: Session, options: Start, later: Sequence[Line] = (), log: str = "") -> Step:
    """Open a bisection, and show the first candidate.

    Raises `AlreadyBisectingError`, `TermsError`, `MountError`, `BisectError` and what resolving
    the revisions raises; nothing is open then. `later` are lines of a log to be replayed.
    """
    check_name(session.name)
    state = _new_state(options)
    with session.open() as repository, repository.index.snapshot() as snapshot:
        open_ones = dict(iter_bisections(snapshot))
        if session.name in open_ones:
            raise AlreadyBisectingError(session.name)
        verdicts = [Verdict("bad", resolve(snapshot, options.bad))] if options.bad else []
        verdicts += [Verdict("good", resolve(snapshot, good)) for good in options.goods]
        _check_both(options, verdicts)
        state, replayed = _replay(snapshot, state, later, log)
        place = options.mount or default_place(session.name, session.repository)
        _check_free(place, open_ones)
    made = _prepare_place(place)
    state = msgspec.structs.replace(
        state,
        mount=os.fsencode(place),
        made_mount=made or options.mount is None,
        mount_options=options.mount_options,
    )
    try:
        step = session.advance(state, [*verdicts, *replayed])
    except BaseException:
        if state.made_mount:
            remove_place(place)
        raise
    try:
        return session.present(step)
    except StoreError:
        session.reset()
        raise


def _new_state(options: Start) -> State:
    terms = None
    if options.term_bad or options.term_good:
        terms = options.term_bad or "bad", options.term_good or "good"
        check_terms(*terms)
    elif options.bad or options.goods:
        terms = "bad", "good"
    return State(started=int(time.time()), terms=terms, paths=options.paths)


def _check_both(options: Start, verdicts: Sequence[Verdict]) -> None:
    """Raise unless no commit was named as good and as bad, which could be meant as neither."""
    words = {verdict.commit: verdict.word for verdict in reversed(verdicts)}
    for verdict in verdicts:
        if words[verdict.commit] != verdict.word:
            raise BisectError(
                f"{verdict.commit.hex()[:12]} was named as {options.term_bad or 'bad'} and as"
                f" {options.term_good or 'good'}",
                hint="name a commit for each",
            )


def _check_free(place: Path, open_ones: dict[str, bytes]) -> None:
    """Raise unless no other bisection has this place, nor anything else."""
    for name, encoded in open_ones.items():
        try:
            other = decode_state(encoded, name)
        except BisectError:
            continue
        if other.mount == os.fsencode(place):
            raise BisectError(
                f"{place} is where bisection '{name}' shows its candidates",
                hint="name another directory with --mount=DIR",
            )


def _prepare_place(place: Path) -> bool:
    """Make sure that the place can be mounted on; whether it was made. Raises `MountError`."""
    detach_dead(place)
    made = not os.path.lexists(place)
    if made:
        place.mkdir()
    try:
        mounts.check_mount_point(place)
    except mounts.MountError:
        if made:
            remove_place(place)
        raise
    return made


# ---- a log ----


def replay(session: Session, text: str, source: str, options: Start) -> Step:
    """Open a bisection by a log; the mount is that of `options`.

    Raises `ReplayError` for what is no log, and as `start`; nothing is open then.
    """
    first, *later = parse_log(text, source)
    try:
        found = _parse_start(first, options)
    except ValueError as error:
        raise ReplayError(source, first.number, str(error)) from None
    return start(session, found, later, source)


def _parse_start(line: Line, options: Start) -> Start:
    """The options of a ``start`` line. Raises `ValueError`."""
    words = list(line.words)
    paths: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, paths = words[:at], words[at + 1 :]
    revisions: list[str] = []
    found: dict[str, str] = {}
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in _OPTIONS:
            found[_OPTIONS[name]] = value if equals else words.pop(0) if words else ""
        elif word.startswith("-") and word not in _IGNORED:
            raise ValueError(f"unknown option '{name}'")
        elif word not in _IGNORED:
            revisions.append(word)
    bad = found.get("bad") or (revisions.pop(0) if revisions else None)
    goods = (*filter(None, [found.get("goods")]), *revisions)
    return options._replace(
        bad=bad,
        goods=goods,
        term_bad=found.get("term_bad"),
        term_good=found.get("term_good"),
        paths=tuple(os.fsencode(path) for path in paths),
    )


def _replay(
    snapshot: Snapshot, state: State, lines: Sequence[Line], source: str
) -> tuple[State, list[Verdict]]:
    """The verdicts that the lines of a log say."""
    verdicts: list[Verdict] = []
    for line in lines:
        try:
            term = read_term(state, line.verb)
            commits = resolve_all(snapshot, line.words)
        except StoreError as error:
            raise ReplayError(source, line.number, str(error)) from None
        if term is None or not commits:
            raise ReplayError(source, line.number, f"'{line.verb}' is no verdict on a commit")
        word, state = term
        verdicts += [Verdict(word, commit) for commit in commits]
    return state, verdicts


def resolve_all(snapshot: Snapshot, words: Sequence[str]) -> list[Digest]:
    """The commits that revisions and ranges ``A..B`` name, as git-rev-list(1) has them.

    Raises `RevisionNotFoundError`, `AmbiguousRevisionError`.
    """
    found: dict[Digest, None] = {}
    for word in words:
        first, dots, last = word.partition("..")
        if not dots:
            found[resolve(snapshot, word)] = None
            continue
        if not first or not last:
            raise RevisionNotFoundError(word, "a range has a commit on both sides")
        found |= dict.fromkeys(_read_range(snapshot, resolve(snapshot, first), last))
    return list(found)


def _read_range(snapshot: Snapshot, first: Digest, last: str) -> list[Digest]:
    end = resolve(snapshot, last)
    graph = read_graph(snapshot, [first, end])
    numbers = find_candidates(graph.parents, graph.numbers[end], [graph.numbers[first]])
    return [graph.ids[number] for number in numbers]
