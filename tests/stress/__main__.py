# SPDX-License-Identifier: LGPL-2.1-or-later
"""Start the workers, stop them, compare everything: ``python -m tests.stress [SECONDS] [SEED]``.

Exit status 0 when all was right, 1 with the seed when something was not. What processes do is
random by the seed; in which order they come to do it is not.
"""

import faulthandler
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from ostreefs.fuse.mounts import iter_mounts
from tests.stress.builds import Build
from tests.stress.workers import BRANCHES, WORKERS, Committer, Historian, Place, read_label
from tests.support.commands import ostreefs, ostreefs_output

_PATIENCE = 90
"""Seconds after the end for which a worker may go on with what it has begun."""

_BAD = re.compile("WARNING|ERROR|CRITICAL|Traceback")
_FORK = multiprocessing.get_context("fork")


def main() -> int:
    """Read the arguments, and run."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(3), "big")
    folder = Path(tempfile.mkdtemp(prefix="ostreefs-stress-"))
    say(f"stress: {seconds:g} s, seed {seed}, in {folder}")
    problems = stress(Place(folder, seed), seconds)
    for problem in problems:
        say(problem)
    if problems:
        say(f"stress: FAILED with seed {seed}; what is left is in {folder}")
        return 1
    shutil.rmtree(folder)
    say(f"stress: all is right with seed {seed}")
    return 0


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def stress(place: Place, seconds: float) -> list[str]:
    """A whole run; what went wrong in it."""
    ostreefs_output("--repo", place.repository, "init")
    for name in ("committer-0", "committer-1"):
        first = Committer(Place(place.folder, place.seed), name)
        first.step()
        first.at.rename(place.folder / f"first-{name}")
    end = _FORK.Event()
    processes = {
        name: _FORK.Process(target=work, args=(place, name, end), name=name) for name in WORKERS
    }
    for process in processes.values():
        process.start()
    try:
        end.wait(seconds)
        end.set()
        hung = join([*processes.values()], place)
    finally:
        end.set()
        take_down(place)
    problems = hung + collect(place, processes)
    return problems or compare_all(place)


def work(place: Place, name: str, end: Event) -> None:
    """The life of a worker; it writes what it did, or why it failed, to a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with (place.folder / f"{name}.stack").open("w") as stack:
        faulthandler.register(signal.SIGUSR2, file=stack)
        said = ""
        worker = WORKERS[name](place, name)
        try:
            while not end.is_set():
                worker.step()
            worker.close()
        except BaseException:  # noqa: BLE001 -- it is shown by who waits
            said = f"{name} after {dict(worker.done)}:\n{traceback.format_exc()}"
            end.set()
        lines = "".join(f"{count} {what}\n" for what, count in worker.done.items())
        (place.folder / f"{name}.done").write_text(lines)
        (place.folder / f"{name}.failed").write_text(said)


def join(processes: list[BaseProcess], place: Place) -> list[str]:
    """Wait for the workers; those that hang show where, and are killed."""
    deadline = time.monotonic() + _PATIENCE
    hung = []
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGUSR2)
            process.join(1)
            stack = (place.folder / f"{process.name}.stack").read_text()
            hung.append(f"{process.name} hangs:\n{stack}")
            process.kill()
    return hung


def take_down(place: Place) -> None:
    """Leave no mount behind."""
    for mount in iter_mounts():
        if mount.target.startswith(f"{place.folder}/"):
            ostreefs("umount", "-l", mount.target)


def collect(place: Place, processes: Mapping[str, BaseProcess]) -> list[str]:
    """Say what was done; what went wrong, the daemons' logs included."""
    done: Counter[str] = Counter()
    problems = []
    for name, process in processes.items():
        failed = place.folder / f"{name}.failed"
        if not failed.exists():
            problems.append(f"{name} died with status {process.exitcode}")
            continue
        problems += [failed.read_text()] if failed.read_text() else []
        for line in (place.folder / f"{name}.done").read_text().splitlines():
            count, _, what = line.partition(" ")
            done[what] += int(count)
    say("".join(f"  {count:6} {what}\n" for what, count in sorted(done.items())).rstrip())
    for log in sorted(place.folder.glob("*.log")):
        bad = [line for line in log.read_text().splitlines() if _BAD.search(line)]
        problems += [f"{log.name}: {line}" for line in bad[:10]]
    return problems


def compare_all(place: Place) -> list[str]:
    """Compare every commit with its build, by a mount and by checkouts; then fsck."""
    last = Historian(place, "last")
    problems = []
    last.mount("--all")
    commits = os.listdir(last.mnt / "commits")
    for path in [*(f"commits/{c}" for c in commits), *(f"refs/{ref}" for ref in BRANCHES)]:
        top = os.open(last.mnt / path, os.O_RDONLY)
        difference = Build(place.seed, read_label(top)).difference(top)
        problems += [f"{path}: {difference}"] if difference else []
        os.close(top)
    last.close()
    for ref in BRANCHES:
        target = place.folder / ref.replace("/", "-")
        last.output("checkout", ref, target)
        top = os.open(target, os.O_RDONLY)
        difference = Build(place.seed, read_label(top)).difference(top)
        problems += [f"checkout of {ref}: {difference}"] if difference else []
        os.close(top)
    done = last.run("fsck")
    say(f"  compared {len(commits)} commits; {done.stdout.decode().strip().splitlines()[-1]}")
    if done.returncode != 0:
        problems.append(f"fsck: status {done.returncode}, {done.stdout!r} {done.stderr!r}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
