# SPDX-License-Identifier: LGPL-2.1-or-later
"""`bisect run`: a command tests the candidates, in one process that switches the live mount.

Exit statuses mean what they mean to git-bisect(1): 0 good, 125 that this one cannot be tested, 1
to 127 otherwise bad; anything else ends the run, with nothing noted of that candidate. A command
that the first time ends with 126 or 127, which a shell gives for what it cannot run, is tried on
a good commit, too: one that fails there in that way says nothing.

A candidate of which something damaged was read is skipped, whatever the command says.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ostreefs.bisect.algorithm import Next
from ostreefs.bisect.errors import RunError
from ostreefs.bisect.interrupts import Interrupts, call
from ostreefs.bisect.programs import find_program
from ostreefs.bisect.recording import recording
from ostreefs.bisect.session import Verdict
from ostreefs_store.errors import CorruptionError
from ostreefs_store.model import Digest
from ostreefs_store.refs import read_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ostreefs.bisect.session import Session, Step
    from ostreefs.bisect.state import State

SKIP = 125
_NOT_RUN = {126, 127}
_LAST_VERDICT = 127
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Command(NamedTuple):
    """What is to be run; `in_tree`: inside the candidate, as ``ostreefs run`` does it."""

    words: tuple[str, ...]
    in_tree: bool = False
    echo: int | None = 1
    """Where its output goes, too: 1 stdout, 2 stderr."""


class _Result(NamedTuple):
    status: int
    seconds: float
    output: bytes


def run(session: Session, state: State, command: Command, tell: Callable[[Step], None]) -> Step:
    """Test until there is an answer; the end. `tell` is called before each test.

    Raises `RunError`, `MountError`, `StoreError`. When it is interrupted (SIGINT, SIGTERM or
    SIGHUP) the mount is taken down and `KeyboardInterrupt` raised; the bisection stays open.
    """
    if not command.words:
        raise RunError("there is no command to run", hint="'ostreefs bisect run COMMAND…'")
    if not command.in_tree and shutil.which(command.words[0]) is None:
        raise RunError(f"{command.words[0]}: command not found", hint="nothing was tested")
    state = msgspec.structs.replace(state, command=shlex.join(command.words))
    step = session.advance(state, [])
    if step.decision is None:
        bad, good = state.names
        raise RunError(
            f"nothing can be run before a {bad} and a {good} commit are known",
            hint=f"'ostreefs bisect {bad} REV', 'ostreefs bisect {good} REV'",
        )
    return _run_steps(session, step, command, tell)


def _run_steps(
    session: Session, step: Step, command: Command, tell: Callable[[Step], None]
) -> Step:
    interrupts = Interrupts()
    with interrupts.noted():
        try:
            session.show(step)
            while isinstance(step.decision, Next):
                tell(step)
                verdict = _test(session, step.state, command, interrupts)
                step = session.advance(step.state, [verdict])
                session.show(step)
        except KeyboardInterrupt:
            session.shown(step.state).hide(lazy=True)
            raise
    return step


def _test(session: Session, state: State, command: Command, interrupts: Interrupts) -> Verdict:
    """The verdict on the candidate that is shown."""
    assert state.current is not None
    interrupts.check()
    commit = Digest(state.current)
    if command.in_tree:
        missing = _find_missing(session, state, commit, command.words[0])
        if missing is not None:
            return missing
    result = _run(session.shown(state).place, commit, command, interrupts)
    damage = _check_mount(session, state, commit)
    word: str = {0: "good", SKIP: "skip"}.get(result.status, "bad")
    if damage is not None:
        return _verdict("skip", commit, result, damage)
    if not 0 <= result.status <= _LAST_VERDICT:
        _raise_abort(command, result.status)
    if result.status in _NOT_RUN and all(mark.status is None for mark in state.marks):
        _try_on_good(session, state, command, interrupts)
    return _verdict(word, commit, result)


def _verdict(word: str, commit: Digest, result: _Result, reason: str = "") -> Verdict:
    assert word in {"good", "bad", "skip"}
    return Verdict(
        word,  # type: ignore[arg-type]  # as has just been seen
        commit,
        reason,
        result.status,
        result.seconds,
        result.output,
    )


def _raise_abort(command: Command, status: int) -> None:
    told = f"status {status}"
    if status > 128:
        number = status - 128
        known = {each.value: each.name for each in signal.Signals}
        told += f" ({known[number]})" if number in known else ""
    if status - 128 in _ENDING:  # typed at the terminal, perhaps
        raise KeyboardInterrupt
    raise RunError(
        f"'{shlex.join(command.words)}' ended with {told}, which is no verdict",
        hint="0 is good, 125 skips, 1 to 127 is bad; 'bisect run' goes on where this ended",
    )


def _run(place: Path, commit: Digest, command: Command, interrupts: Interrupts) -> _Result:
    seen_at = "/" if command.in_tree else str(place)
    variables = {"OSTREEFS_COMMIT": commit.hex(), "OSTREEFS_MOUNT": seen_at}
    with recording(command.echo) as kept:
        began = time.monotonic()
        if command.in_tree:
            status = _run_in_tree(place, command.words, variables, interrupts)
        else:
            status = _run_here(command.words, variables, interrupts)
        seconds = time.monotonic() - began
    interrupts.check()  # what it said after a signal is no verdict
    return _Result(status, seconds, kept.output)


def _run_here(words: Sequence[str], variables: dict[str, str], interrupts: Interrupts) -> int:
    try:
        status = call(words, {**os.environ, **variables}, interrupts)
    except OSError as error:
        raise RunError(f"{words[0]} cannot be run: {error.strerror}") from None
    return status if status >= 0 else 128 - status


def _run_in_tree(
    place: Path, words: Sequence[str], variables: dict[str, str], interrupts: Interrupts
) -> int:
    from ostreefs.sandbox.errors import CommandError  # noqa: PLC0415 -- for --in-tree alone
    from ostreefs.sandbox.options import SandboxOptions  # noqa: PLC0415 -- see above
    from ostreefs.sandbox.run import run_in_tree  # noqa: PLC0415 -- see above

    options = SandboxOptions(environment=tuple(variables.items()), directory="/")
    try:
        return run_in_tree(place, words, options, heard=interrupts.note)
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.status


def _check_mount(session: Session, state: State, commit: Digest) -> str | None:
    """What of the candidate is damaged. Raises `RunError` when it was not shown to the end."""
    seen = session.shown(state).find()
    if seen is None or seen.commit != commit.hex():
        place = session.shown(state).place
        told = "was taken down" if seen is None else f"was made to show {seen.commit[:12]}"
        raise RunError(
            f"{place} {told} during the test of {commit.hex()[:12]}; nothing was noted of it",
            hint="'ostreefs bisect run' goes on",
        )
    return seen.damage


def _find_missing(session: Session, state: State, commit: Digest, program: str) -> Verdict | None:
    """The verdict on a candidate that lacks the program. Raises `RunError` if a good one does."""
    good = Digest(state.having("good")[-1])
    with session.open(writable=False) as repository, repository.index.snapshot() as snapshot:
        try:
            if find_program(snapshot, read_commit(snapshot, commit).root, program):
                return None
        except CorruptionError as error:
            return Verdict("skip", commit, str(error))
        has_good = find_program(snapshot, read_commit(snapshot, good).root, program)
    if not has_good:
        raise RunError(
            f"{program}: not in the {state.names[1]} commit {good.hex()[:12]}, nor in"
            f" {commit.hex()[:12]}",
            hint="the command is run inside the candidates; without --in-tree, beside them",
        )
    return Verdict("skip", commit, f"it has no {program}")


def _try_on_good(session: Session, state: State, command: Command, interrupts: Interrupts) -> None:
    """Raise `RunError` when the command cannot be run where it should succeed."""
    good = Digest(state.having("good")[-1])
    shown = session.shown(state)
    shown.show(good.hex())
    try:
        status = _run(shown.place, good, command._replace(echo=None), interrupts).status
    finally:
        assert state.current is not None
        shown.show(state.current.hex())
    if status in _NOT_RUN:
        raise RunError(
            f"'{shlex.join(command.words)}' ends with {status} for the {state.names[1]} commit"
            f" {good.hex()[:12]}, too",
            hint="a shell gives 126 and 127 for what it cannot run: try the command by hand",
        )
