# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mounts that last as long as a process needs them, as ourselves and as an ordinary user."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ostreefs.fuse.mounts import MountError, iter_mounts
from ostreefs.fuse.temporary import temporary_mount
from ostreefs_store.errors import RevisionNotFoundError
from tests.support.commands import OURSELVES, Account, ostreefs_output, output
from tests.support.mounts import wait_until
from tests.support.trees import list_tree

pytestmark = pytest.mark.mount

USE = """
import os, sys
from pathlib import Path
from ostreefs.fuse.control import ask
from ostreefs.fuse.temporary import temporary_mount
with temporary_mount(Path(sys.argv[1]), "main") as place:
    print(place, ask(place, {"verb": "status"})["pid"], len(os.listdir(place)), flush=True)
    sys.stdin.read()
"""


@contextmanager
def somebody_uses(
    repository: Path, account: Account
) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """A process with a temporary mount: itself, the mount and its daemon."""
    with subprocess.Popen(
        [account.python, "-c", USE, repository],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **account.popen_arguments(),
    ) as process:
        assert process.stdout is not None
        place, daemon, count = process.stdout.readline().split()
        assert int(count) > 0
        yield process, Path(os.fsdecode(place)), int(daemon)


def is_gone(place: Path) -> bool:
    inside = f"{place.parent}/"
    return not any(m.target.startswith(inside) for m in iter_mounts()) and not place.exists()


def wait_for_end(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the daemon")


@pytest.fixture(params=["ourselves", "user"])
def account(request: pytest.FixtureRequest) -> Account:
    if request.param == "ourselves":
        return OURSELVES
    found: Account = request.getfixturevalue("user")
    return found


@pytest.fixture
def repository(account: Account, small_repository: Path, small_source: Path) -> Path:
    """One that the account may read."""
    if account.uid is None:
        return small_repository
    return make_repository(account)


def make_repository(account: Account) -> Path:
    """A repository of an ordinary user, made by the first test that asks."""
    assert account.home is not None
    source, repository = account.home / "src", account.home / "temporary"
    if not repository.exists():
        source.mkdir()
        (source / "file").write_text("text")
        source.chmod(0o755)
        ostreefs_output("--repo", repository, "init", account=account)
        ostreefs_output("--repo", repository, "commit", "-b", "main", source, account=account)
    return repository


def test_lasts_as_long_as_the_block(small_repository: Path, small_source: Path) -> None:
    called = []
    with temporary_mount(small_repository, "main", meanwhile=lambda: called.append(1)) as place:
        assert list_tree(place) == list_tree(small_source)
        assert called
    assert is_gone(place)
    assert not place.parent.exists()


def test_at_a_place_that_is_given(small_repository: Path, tmp_path: Path) -> None:
    with temporary_mount(small_repository, "main", mountpoint=tmp_path) as place:
        assert place == tmp_path
        assert os.listdir(place)
    assert os.listdir(tmp_path) == []


def test_no_such_commit_leaves_nothing(small_repository: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RevisionNotFoundError),
        temporary_mount(small_repository, "nothing", mountpoint=tmp_path),
    ):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(MountError, match="is not empty"),
        temporary_mount(small_repository, "main", mountpoint=tmp_path),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_is_gone_when_its_user_is_killed(
    account: Account, repository: Path, number: signal.Signals
) -> None:
    with somebody_uses(repository, account) as (process, place, daemon):
        process.send_signal(number)
        process.wait()
        wait_for_end(daemon)
        wait_until(lambda: is_gone(place), "the end of the mount")
        assert not place.parent.exists()


def test_is_gone_when_its_daemon_is_killed(account: Account, repository: Path) -> None:
    with somebody_uses(repository, account) as (process, place, daemon):
        os.kill(daemon, signal.SIGKILL)
        process.communicate()
        assert process.returncode == 0
        assert is_gone(place)
        assert not place.parent.exists()


def test_what_nobody_took_down_is_taken_down_by_the_next(user: Account) -> None:
    """In a runtime directory where nobody else makes mounts."""
    assert user.home is not None
    runtime = user.home / "runtime"
    output("mkdir", runtime, account=user)
    account = replace(user, variables=user.variables | {"XDG_RUNTIME_DIR": str(runtime)})
    repository = make_repository(user)
    with somebody_uses(repository, account) as (process, place, daemon):
        assert place.parent.parent == runtime / "ostreefs"
        os.kill(daemon, signal.SIGSTOP)
        process.kill()
        process.wait()
        os.kill(daemon, signal.SIGKILL)
        wait_for_end(daemon)
    assert not is_gone(place)
    with somebody_uses(repository, account) as (process, other, _):
        assert re.fullmatch("[0-9a-f]{16}", other.parent.name)
        assert is_gone(place)
        assert not place.parent.exists()
        process.communicate()
    assert is_gone(other)
