# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the processes of a stress run do, each again and again until the time is over.

Each has a mount of its own or none, so that it knows what must be there. A step that finds a
difference raises `AssertionError`; whatever else it raises is a failure as well.
"""

import errno
import json
import os
import random
import select
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ostreefs.fuse import control
from ostreefs.fuse.mounts import MountError
from tests.stress.builds import LABEL, Build, is_genuine, walk
from tests.support.commands import Done, Word, ostreefs, ostreefs_output
from tests.support.mounts import PATIENCE, is_mounted, wait_until
from tests.support.trees import remove_tree

BRANCHES = ("main", "dev/two")
_DISTANCE = 1_000_000
"""Between the numbers of the first builds of two branches."""

_GONE = {errno.ENOENT, errno.ESTALE}


class Place(NamedTuple):
    """Where a run happens."""

    folder: Path
    seed: int

    @property
    def repository(self) -> Path:
        """The one repository of all."""
        return self.folder / "repo"


class Worker:
    """One process of a run."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.draw = random.Random(f"{place.seed}/{name}")
        self.done: Counter[str] = Counter()
        self.at = place.folder / name
        self.at.mkdir()

    def step(self) -> None:
        """Do something, and look whether it was right."""

    def close(self) -> None:
        """Leave nothing behind."""

    # ---- what several do

    def run(self, *words: Word) -> Done:
        """Run `ostreefs` with the repository, whatever comes of it."""
        return ostreefs("--repo", self.place.repository, *words)

    def output(self, *words: Word) -> str:
        """What `ostreefs` prints with the repository; it must succeed."""
        return ostreefs_output("--repo", self.place.repository, *words).decode().strip()

    def commits(self) -> list[str]:
        """Some commits that are there now; each but a branch's tip may be pruned any time."""
        branch = self.draw.choice(BRANCHES)
        logged = json.loads(self.output("--json", "log", branch))
        return [entry["commit"] for entry in logged]

    def compare(self, top: int, number: int | None = None) -> int:
        """Compare a directory with the build whose number it holds, or must hold."""
        if number is None:
            number = read_label(top)
        difference = Build(self.place.seed, number).difference(top)
        assert difference is None, difference
        return number


def read_label(top: int) -> int:
    """The number of the build that a directory holds."""
    fd = os.open(LABEL, os.O_RDONLY, dir_fd=top)
    try:
        return int(os.read(fd, 100))
    finally:
        os.close(fd)


class Committer(Worker):
    """Commits one build after the other to a branch of its own."""

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        index = int(name[-1])
        self.branch = BRANCHES[index]
        self.number = index * _DISTANCE
        self.source = self.at / "source"
        self.source.mkdir(mode=0o755)

    def step(self) -> None:
        """Commit the next build."""
        self.number += 1
        Build(self.place.seed, self.number).write(self.source)
        self.output("commit", "-b", self.branch, "-s", f"build {self.number}", self.source)
        self.done["commits"] += 1


class Pruner(Worker):
    """Deletes old commits."""

    def step(self) -> None:
        """Prune to some depth."""
        depth = self.draw.choice((0, 1, 3, 10))
        self.output("prune", "--refs-only", f"--depth={depth}")
        self.done["prunes"] += 1


class Checker(Worker):
    """Lets fsck look, and checks out."""

    def step(self) -> None:
        """Run fsck, or compare a checkout."""
        if self.draw.random() < 0.4:
            self.output("fsck", "-q", *(["--quick"] if self.draw.random() < 0.5 else []))
            self.done["fscks"] += 1
            return
        revision = self.draw.choice([*BRANCHES, self.draw.choice(self.commits())])
        how = self.draw.choice([[], ["-H"], ["-C"], ["-U", "-C"]])
        if os.geteuid() != 0:  # the repository is of the other mode then
            how = ["-U", *how]
        target = self.at / "copy"
        done = self.run("checkout", *how, revision, target)
        if done.returncode != 0:
            assert revision not in BRANCHES and b"not found" in done.stderr, done  # noqa: PT018 -- one fact
            return
        top = os.open(target, os.O_RDONLY)
        self.compare(top)
        os.close(top)
        remove_tree(target)
        self.done["checkouts"] += 1


class Mounting(Worker):
    """Whoever has a mount."""

    words: tuple[str, ...] = ()

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.mnt = self.at / "mnt"
        self.mnt.mkdir()
        self.log = place.folder / f"{name}.log"
        self.pid = 0

    def mount(self, *words: str) -> bool:
        """Mount; False when the commit was pruned meanwhile."""
        done = self.run("--json", "mount", "--log-file", self.log, *words, self.mnt)
        if done.returncode != 0:
            assert b"not found" in done.stderr, done
            return False
        self.pid = json.loads(done.stdout)["pid"]
        return True

    def open_root(self) -> int:
        """The root of the mount as a descriptor."""
        return os.open(self.mnt, os.O_RDONLY | os.O_DIRECTORY)

    def step(self) -> None:
        """Mount if need be, or look at it."""
        if not is_mounted(self.mnt):
            assert self.mount(*self.words)
        self.look()
        if os.geteuid() == 0 and self.draw.random() < 0.2:  # the kernel forgets what it can
            subprocess.run(["mount", "-i", "-o", "remount,ro", self.mnt], check=True)
            self.done["floods of forgetting"] += 1

    def look(self) -> None:
        """Look at what is mounted."""

    def close(self) -> None:
        """Unmount."""
        if is_mounted(self.mnt):
            ostreefs_output("umount", self.mnt)


class Switcher(Mounting):
    """Switches a mount of one commit, and compares all of it after each."""

    words: tuple[str, ...] = (BRANCHES[0],)

    def look(self) -> None:
        """Hold files open over a switch."""
        top = self.open_root()
        number = self.compare(top)
        paths = [*Build(self.place.seed, number).files]
        held = {path: os.open(path, os.O_RDONLY, dir_fd=top) for path in paths[:20]}
        os.close(top)
        try:
            self.switch(self.draw.choice([*BRANCHES, *self.commits()]))
            self.done["switches"] += 1
        except MountError as error:
            assert "not found" in str(error), error  # noqa: PT017 -- pruned meanwhile
        for path, fd in held.items():
            size = os.fstat(fd).st_size
            data = os.pread(fd, size + 1, 0)
            wanted = Build(self.place.seed, number).files[path][1]
            assert data == wanted, f"{path!r} has changed while it was open"
            os.close(fd)
        top = self.open_root()
        self.compare(top)
        os.close(top)

    def switch(self, revision: str) -> None:
        """Ask the daemon; what is opened afterwards is of this commit."""
        commit = control.ask(self.mnt, {"verb": "switch", "revision": revision})["commit"]
        shown = os.getxattr(self.mnt, "user.ostreefs.commit").decode()
        assert shown == commit, f"{shown} is shown instead of {commit}"


class Follower(Mounting):
    """Reads while a ref is followed: each file must be one of some build's, whole."""

    words: tuple[str, ...] = ("--follow", BRANCHES[1])

    def look(self) -> None:
        """Walk while it changes."""
        top = self.open_root()
        try:
            seen = walk(top)
        except OSError as error:  # what was listed may be gone when it is opened
            if error.errno not in _GONE:
                raise
            self.done["walks that a switch has cut"] += 1
            return
        finally:
            os.close(top)
        for path, found in seen.items():
            if path != LABEL and found.kind == 0o100000:
                assert is_genuine(self.place.seed, path, found.data), path
        self.done["walks of what is followed"] += 1


class Historian(Mounting):
    """Looks into commits while they are pruned: whoever has looked in can go on."""

    words: tuple[str, ...] = ("--all",)

    def look(self) -> None:
        """Compare a commit."""
        way = self.draw.choice(("commits", "refs", "history", "by-date"))
        try:
            top = os.open(self.choose(way), os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.done["commits that were gone"] += 1
            return
        try:
            self.compare(top)
            self.done["walks of commits"] += 1
        finally:
            os.close(top)

    def choose(self, way: str) -> Path:
        """A path that leads to a commit."""
        folder = self.mnt / way
        if way == "refs":
            return folder / self.draw.choice(BRANCHES)
        if way == "history":
            folder /= self.draw.choice(BRANCHES)
        elif way == "by-date":
            folder /= self.draw.choice(os.listdir(folder))
        return folder / self.draw.choice(os.listdir(folder))


class Mounter(Mounting):
    """Mounts, looks, and unmounts or dies in all ways."""

    def step(self) -> None:
        """One life of a mount."""
        if not self.mount(self.draw.choice([*BRANCHES, *self.commits()])):
            return
        top = self.open_root()
        self.compare(top)
        way = self.draw.choice(("umount", "-l", "TERM", "KILL"))
        if way == "umount":
            os.close(top)
            ostreefs_output("umount", self.mnt)
        elif way == "-l":
            ostreefs_output("umount", "-l", self.mnt)
            self.compare(top)
            os.close(top)
        else:
            self.end(way, top)
        wait_until(lambda: not is_mounted(self.mnt), "the end of a mount")
        assert os.listdir(self.mnt) == []
        self.done[f"mounts ended by {way}"] += 1

    def end(self, way: str, top: int) -> None:
        """End the daemon while its mount is used."""
        file = os.open(LABEL, os.O_RDONLY | os.O_DIRECT, dir_fd=top)
        daemon = os.pidfd_open(self.pid)
        signal.pidfd_send_signal(daemon, signal.SIGTERM if way == "TERM" else signal.SIGKILL)
        assert select.select([daemon], [], [], PATIENCE)[0], "the daemon does not end"
        os.close(daemon)
        with suppress(OSError):
            read = os.pread(file, 100, 0)
            raise AssertionError(f"{read!r} was read of a dead mount")
        for fd in (file, top):
            with suppress(OSError):
                os.close(fd)
        if way == "KILL":
            try:
                found = os.listdir(self.mnt)
            except OSError as error:
                assert error.errno == errno.ENOTCONN, error  # noqa: PT017 -- one fact
            else:
                raise AssertionError(f"a dead mount lists {found}")
            ostreefs_output("umount", self.mnt)


WORKERS: dict[str, Callable[[Place, str], Worker]] = {
    "committer-0": Committer,
    "committer-1": Committer,
    "pruner": Pruner,
    "checker": Checker,
    "switcher-0": Switcher,
    "switcher-1": Switcher,
    "follower": Follower,
    "historian-0": Historian,
    "historian-1": Historian,
    "mounter": Mounter,
}
