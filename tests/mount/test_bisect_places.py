# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where bisections show their candidates: several of them, and others, at one place."""

import dataclasses
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from ostreefs.bisect.session import Session, Verdict
from ostreefs.fuse.control import ask
from ostreefs.fuse.mounts import unmount
from ostreefs_store.model import Digest
from tests.support.bisected import FAULT, JUDGE, TEST, Builds
from tests.support.commands import (
    Account,
    ostreefs_output,
    output,
    run,
)
from tests.support.mounts import is_mounted

pytestmark = pytest.mark.mount


def test_without_a_place_of_its_own(user: Account, tmp_path: Path) -> None:
    assert user.home is not None
    with tempfile.TemporaryDirectory(dir=user.home) as place:
        variables = {**user.variables, "XDG_RUNTIME_DIR": f"{place}/run"}
        account = dataclasses.replace(user, variables=variables)
        builds = Builds(Path(place), account)
        run("mkdir", f"{place}/run", account=account)
        try:
            _bisect_two(builds, Path(place, "run/ostreefs-bisect"))
        finally:
            for name in ("one", "two"):
                builds.bisect("reset", "--name", name)


def _bisect_two(builds: Builds, shown: Path) -> None:
    builds.ok("start", "--name=one", "main", "main~9")
    builds.ok("start", "--name=two", "main", "main~20")
    one, two = sorted(os.listdir(shown))
    assert (one.startswith("one-"), two.startswith("two-")) == (True, True)
    error = builds.fails("good")
    assert error == "no bisection 'default' is open"
    builds.ok("run", "--name=one", "sh", "-c", TEST + "test $number -lt 25")
    assert json.loads(builds.ok("report", "--json", "--name=one"))["culprit"] == builds.ids[25]
    assert builds.json("log", "--name", "two")["verdicts"][0]["verdict"] == "bad"
    error = builds.fails("start", "--name=two", "main", "main~20")
    assert error == "bisection 'two' is open already"
    assert "where bisection 'two' shows" in builds.fails("start", f"--mount={shown}/{two}")
    for name in ("one", "two"):
        builds.ok("reset", "--name", name)
    assert os.listdir(shown) == []


def test_two_repositories_with_bisections_of_one_name(user: Account) -> None:
    assert user.home is not None
    with tempfile.TemporaryDirectory(dir=user.home) as place:
        account = dataclasses.replace(user, variables={**user.variables, "XDG_RUNTIME_DIR": place})
        Path(place).chmod(0o777)
        both = []
        for name in ("one", "two"):
            Path(place, name).mkdir()
            both.append(Builds(Path(place, name), account))
        one, two = both
        places = [Path(each.json("start", "main", "main~9")["mount"]) for each in both]
        one.ok("reset")
        assert [is_mounted(each) for each in places] == [False, True]
        two.ok("good")
        two.ok("reset")
        assert os.listdir(Path(place, "ostreefs-bisect")) == []


@pytest.mark.root
def test_something_else_at_the_mount_point(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    other = ("mount", "-t", "tmpfs", "-o", "size=1M", "other", ours.mount)
    output(*other)
    try:
        error = f"{ours.mount} shows something else: other (tmpfs)"
        assert ours.fails("good") == error, "whatever that was said of"
        assert ours.fails("run", "true") == f"{ours.mount} is already mounted (other)"
        assert ours.fails("reset") == (
            f"something else is mounted over the candidate at {ours.mount}"
        )
        assert len(ours.json("log")["verdicts"]) == 2
    finally:
        output("umount", ours.mount)
    unmount(ours.mount)
    output(*other)
    ours.ok("reset")
    output("umount", ours.mount)
    words = ("mount", "main", ours.mount)
    ours.start("main", ours.ids[0])
    unmount(ours.mount)
    ostreefs_output("--repo", ours.repository, *words)
    ours.ok("reset")
    assert is_mounted(ours.mount), "it was mounted by hand"


def test_after_a_reboot_the_next_step_mounts(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    number = ours.shown()
    unmount(ours.mount)
    ours.mount.rmdir()  # a runtime directory is empty after a reboot
    ours.ok("bad" if number >= FAULT else "good")
    assert ours.shown() != number
    pid = ask(ours.mount, {"verb": "status"})["pid"]
    os.kill(pid, signal.SIGKILL)
    told = ours.ok("run", "sh", "-c", JUDGE)
    assert f"{ours.ids[FAULT]} is the first bad commit" in told


def test_a_verdict_on_what_was_not_shown(ours: Builds) -> None:
    """Whoever dies between noting a verdict and showing the next candidate leaves the old one."""
    ours.start("main", ours.ids[0])
    session = Session(ours.repository, "default", lambda: None)
    state = session.read_state()
    assert state.current is not None
    session.advance(state, [Verdict("good", Digest(state.current))])
    number = ours.shown()
    assert f"showed {state.current.hex()[:12]}, but " in ours.fails("bad")
    assert ours.shown() != number
    assert len(ours.json("log")["verdicts"]) == 3, "nothing was noted"
    ours.ok("bad")
    number = ours.shown()
    state = session.read_state()
    assert state.current is not None
    session.advance(state, [Verdict("good", Digest(state.current))])
    unmount(ours.mount)
    assert "showed nothing, but " in ours.fails("bad")
    assert ours.shown() != number
    ours.ok("bad")


def test_a_mount_that_is_in_use_is_not_taken_away(ours: Builds) -> None:
    ours.start("main", ours.ids[0])
    held = os.open(ours.mount / "usr", os.O_RDONLY)
    assert f"cannot unmount {ours.mount}" in ours.fails("reset")
    assert ours.ok("log")
    os.close(held)
    ours.ok("reset")
