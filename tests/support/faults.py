# SPDX-License-Identifier: LGPL-2.1-or-later
"""System calls that fail, one at a time, by strace(1)'s fault injection.

A command is traced once to see what it does on the disk. Then it runs again for each of those
calls, and that one fails. Which one is told by its number among the calls of its name in its
thread, which is what strace counts, too; the command does the same in each run, up to the fault.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.commands import Done, Word, command, run

_READING = ("pread64", "read", "readv", "preadv")
_WRITING = (
    *("pwrite64", "pwritev", "write", "writev", "copy_file_range", "ftruncate"),
    *("fsync", "fdatasync", "syncfs"),
    *("openat", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "mknodat"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("fchmod", "fchmodat", "chmod", "fchown", "fchownat", "chown", "utimensat"),
    *("fsetxattr", "lsetxattr", "setxattr", "fremovexattr"),
)
_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)")


class Fault(NamedTuple):
    """One call that fails: its name, its number, with what error."""

    call: str
    number: int
    error: str


class Injected(NamedTuple):
    """A run with a fault, and the line of the trace with the call that was to fail."""

    fault: Fault
    line: str
    done: Done


def why_no_injection() -> str | None:
    """Return why nothing can be traced here; None if it can."""
    if shutil.which("strace") is None:
        return "needs strace"
    done = subprocess.run(["strace", "-f", "true"], check=False, capture_output=True)
    return None if done.returncode == 0 else "needs the right to trace its own children"


def every_fault(
    words: Sequence[Word],
    place: Path,
    prepare: Callable[[], object],
    *,
    reading: bool = False,
    every: bool = False,
    expected: int = 0,
) -> Iterator[Injected]:
    """Run a command with each of its calls under `place` failing; yield after each.

    `prepare` brings everything into the same state before each run. Writing fails with ENOSPC,
    syncing with EIO, as does reading if asked for. Of calls that are alike, such as those that
    write one object file after another, the first alone fails, unless `every` one is to; and then
    the first write of a kind with either error. `expected` is the status of the run without fault.
    """
    prepare()
    _run([], words)  # so that all byte code is cached, and each run opens the same files
    prepare()
    log = place.parent / f"{place.name}.trace"
    calls = _WRITING + (_READING if reading else ())
    trace: list[Word] = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-s0",
        "-o",
        log,
        f"-etrace={','.join(calls)}",
    ]
    done = _run(trace, words)
    assert done.returncode == expected, done
    points = list(_find_points(log.read_text(errors="replace"), place, every=every))
    assert points
    log.unlink()
    for fault, line in points:
        prepare()
        inject = f"-einject={fault.call}:error={fault.error}:when={fault.number}"
        yield Injected(
            fault,
            line,
            _run(["strace", "-f", "-o/dev/null", f"-etrace={fault.call}", inject], words),
        )


def _run(strace: Sequence[Word], words: Sequence[Word]) -> Done:
    return run(*strace, *command(*words))


def _find_points(trace: str, place: Path, *, every: bool) -> Iterator[tuple[Fault, str]]:
    """Faults for the calls that are about something under `place`.

    strace makes the call of this number fail in every thread, so none of them may be elsewhere.
    """
    calls = list(_find_calls(trace, place))
    elsewhere = {(call, number) for call, number, about, _ in calls if about is None}
    seen: set[Fault] = set()
    kinds: Counter[tuple[str, str]] = Counter()
    for call, number, about, line in calls:
        if about is None or (call, number) in elsewhere:
            continue
        kinds[call, about] += 1
        usual = "EIO" if call in _READING or "sync" in call else "ENOSPC"
        is_first = kinds[call, about] == 1
        errors = ("ENOSPC", "EIO") if every and is_first and "wr" in call else (usual,)
        for error in errors if every or is_first else ():
            fault = Fault(call, number, error)
            if fault not in seen:
                seen.add(fault)
                yield fault, line


def _find_calls(trace: str, place: Path) -> Iterator[tuple[str, int, str | None, str]]:
    """Every call: its name, its number in its thread, what it is about, and the line."""
    numbers: Counter[tuple[str, str]] = Counter()
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None:  # the end of an unfinished call, or of a process
            continue
        call, rest = match["call"], match["rest"]
        numbers[match["thread"], call] += 1
        is_reading = call == "openat" and "O_CREAT" not in rest
        about = None if is_reading else _find_kind(rest, place)
        yield call, numbers[match["thread"], call], about, line


def _find_kind(rest: str, place: Path) -> str | None:
    """What a call is about, random and hexadecimal parts of names aside; None if elsewhere."""
    start = rest.find(str(place))
    if start < 0:
        return None
    name = re.match(r"[^>\"]*", rest[start + len(str(place)) :])
    return re.sub(r"[0-9a-f]{2,}", "*", name[0]) if name else ""
