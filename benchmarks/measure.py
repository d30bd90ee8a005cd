# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time commands: fresh process each, wall clock around it, processor time from wait4."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from benchmarks.model import Failure, Sample, Series

if TYPE_CHECKING:
    from pathlib import Path

TIME_LIMIT = 3600.0
"""Seconds after which a command that was started is killed."""

Command = Sequence[str | os.PathLike[str]]


class BenchmarkError(Exception):
    """Something could not be measured; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is timed in one repetition: commands, one after the other.

    With ``answers``, the last of them has to print something, or the trial has failed.
    """

    commands: tuple[Command, ...]
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those that a benchmark measures side by side.

    ``trial`` gives a context manager: what it does before its yield and after it is not timed.
    ``warm_up`` runs that come before the measured ones are thrown away.
    """

    name: str
    trial: Callable[[], AbstractContextManager[Trial]]
    warm_up: int = 0


@dataclass(slots=True)
class _Collected:
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def simple(*command: str | os.PathLike[str]) -> Callable[[], AbstractContextManager[Trial]]:
    """A trial that is one command with nothing around it."""
    return lambda: nullcontext(Trial((command,)))


def measure(
    subjects: Sequence[Subject], runs: int
) -> tuple[tuple[Series, ...], tuple[Failure, ...]]:
    """Measure all subjects interleaved: A B C, A B C, and so on.

    A subject that fails is left out from then on and reported, the others go on.
    """
    found = _Collected()
    for subject in subjects:
        for _ in range(subject.warm_up):
            _take(subject, found, note="warm-up", keep=False)
    for run in range(1, runs + 1):
        for subject in subjects:
            _take(subject, found, note=f"run {run} of {runs}", keep=True)
    series = tuple(
        Series(name, tuple(samples))
        for name, samples in found.samples.items()
        if name not in found.failures
    )
    return series, tuple(Failure(name, why) for name, why in found.failures.items())


def time_trial(trial: Trial) -> Sample:
    """Run a trial's commands and measure them together.

    Raises:
        BenchmarkError: A command failed, or was silent where an answer was wanted.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        os.sync()
        user = system = 0.0
        start = time.perf_counter()
        for at, command in enumerate(trial.commands, start=1):
            kept = output if trial.answers and at == len(trial.commands) else subprocess.DEVNULL
            used = _run(command, kept, errors)
            user, system = user + used[0], system + used[1]
        wall = time.perf_counter() - start
        if trial.answers and not output.seek(0, os.SEEK_END):
            raise BenchmarkError(f"{os.fspath(trial.commands[-1][0])} printed nothing")
    return Sample(wall, user, system)


def run_quietly(*command: str | os.PathLike[str], cwd: Path | None = None) -> str:
    """Run a preparing command that is not timed and return what it printed.

    Raises:
        BenchmarkError: It is missing or failed; the message has the end of its stderr.
    """
    # Files, not pipes: a daemon that the command leaves behind would keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        _run(command, output, errors, cwd=cwd)
        output.seek(0)
        return os.fsdecode(output.read())


def say(text: str) -> None:
    """Tell whoever watches what goes on."""
    print(text, file=sys.stderr, flush=True)


def _take(subject: Subject, found: _Collected, *, note: str, keep: bool) -> None:
    if subject.name in found.failures:
        return
    try:
        with subject.trial() as trial:
            sample = time_trial(trial)
    except (BenchmarkError, OSError) as error:
        found.failures[subject.name] = str(error)
        say(f"  {subject.name}: could not run: {error}")
        return
    say(f"  {subject.name}, {note}: {sample.value:.3f} s")
    if keep:
        found.samples.setdefault(subject.name, []).append(sample)


def _run(
    command: Command,
    output: int | IO[bytes],
    errors: IO[bytes],
    cwd: Path | None = None,
) -> tuple[float, float]:
    """Run one command; user and system seconds of it and of the children it waited for."""
    name = os.fspath(command[0])
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise BenchmarkError(f"{name} is not installed") from error
    killer = threading.Timer(TIME_LIMIT, process.kill)
    killer.daemon = True
    killer.start()
    _, status, usage = os.wait4(process.pid, 0)
    killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchmarkError(f"{name} ended with {process.returncode}{_last_words(errors)}")
    return usage.ru_utime, usage.ru_stime


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = os.fsdecode(errors.read()).split("\n")
    words = [line.strip() for line in lines if line.strip()]
    return f": {words[-1]}" if words else ""
