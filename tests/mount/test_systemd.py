# SPDX-License-Identifier: LGPL-2.1-or-later
"""A booting system mounts by fstab, and a service that dies or hangs is replaced."""

import os
import textwrap
from pathlib import Path

import pytest

from tests.support.commands import NOBODY, Account, ostreefs_output
from tests.support.commits import commit_directory, init_repository
from tests.support.systemd import Machine
from tests.support.trees import write

pytestmark = [pytest.mark.mount, pytest.mark.root]

SCRIPT = """
say() { echo "$@"; }
type_of() { findmnt -n -o FSTYPE --mountpoint "$1" | tail -n 1; }
until_() {
    for _ in $(seq 400); do
        if "$@"; then return; fi
        sleep 0.05
    done
    say "in vain: $*"
    exit 1
}
prop() { systemctl show --value -p "$1" "$2"; }
is() { [ "$(prop "$2" "$1")" = "$3" ]; }

until_ is srv-now.mount ActiveState active
until_ is srv-bad.mount ActiveState failed
say now: "$(type_of /srv/now)" "$(cat /srv/now/file)"
say bad: "$(systemctl is-failed srv-bad.mount)" "$(systemctl is-active local-fs.target)"

say before: "$(type_of /srv/late)" "$(prop ActiveState srv-late.mount)"
say late: "$(cat /srv/late/file)" "$(type_of /srv/late)" "$(prop ActiveState srv-late.mount)"
umount /srv/late
say again: "$(cat /srv/late/file)"

say all: "$(cat /srv/all/refs/main/file)"
until_ is srv-all.mount ActiveState inactive
say idle: "$(type_of /srv/all)" "$(cat /srv/all/refs/main/file)"

systemctl start ostreefs@stable
say started: "$(cat /srv/made/stable/file)" "$(prop StatusText ostreefs@stable)"
first=$(prop MainPID ostreefs@stable)
kill -KILL "$first"
until_ is ostreefs@stable NRestarts 1
until_ is ostreefs@stable ActiveState active
say replaced: "$(cat /srv/made/stable/file)"

second=$(prop MainPID ostreefs@stable)
[ "$first" != "$second" ]
kill -STOP "$second"
until_ is ostreefs@stable NRestarts 2
until_ is ostreefs@stable ActiveState active
say watched: "$(cat /srv/made/stable/file)"

systemctl stop ostreefs@stable
say stopped: "$(ls -A /srv/made/stable | wc -l)" "$(prop Result ostreefs@stable)"

systemctl start ostreefs@wrong 2>/dev/null
say wrong: "$(prop Result ostreefs@wrong)" "$(prop NRestarts ostreefs@wrong)"

kill -KILL "$(ostreefs --json mounts | tr -d ' ,' | grep -A 3 '"/srv/now"' | sed -n 's/.*"pid"://p')"
until_ sh -c '! statfs=$(stat -f /srv/now 2>/dev/null)'
say dead: "$(cat /srv/now/file 2>&1)"
systemctl restart srv-now.mount
say restarted: "$(cat /srv/now/file)"
"""

EXPECTED = """
now: fuse.ostreefs content
bad: failed active
before: autofs inactive
late: content fuse.ostreefs active
again: content
all: content
idle: autofs content
started: content
replaced: content
watched: content
stopped: 0 success
wrong: exit-code 0
dead: cat: /srv/now/file: Transport endpoint is not connected
restarted: content
"""


SCRIPT_OF_A_USER = r"""
export XDG_RUNTIME_DIR=/run/user/65534 HOME=$HOME_OF_USER
mkdir -p "$XDG_RUNTIME_DIR"
chown nobody "$XDG_RUNTIME_DIR"
systemd-run -q -p User=nobody -p Delegate=yes -E XDG_RUNTIME_DIR -E HOME \
    /lib/systemd/systemd --user
until [ -S "$XDG_RUNTIME_DIR/systemd/private" ]; do sleep 0.05; done
of_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
of_user systemctl --user start ostreefs@mine
echo "started: $(of_user cat "$HOME/mnt/file")"
of_user ostreefs mounts | grep -c "$HOME/mnt .* running"
of_user systemctl --user stop ostreefs@mine
echo "stopped: $(ls -A "$HOME/mnt" | wc -l)"
"""


def test_a_service_of_a_user(tmp_path: Path, user: Account) -> None:
    """For an ordinary user, with fusermount3."""
    assert user.home is not None
    home = user.home / "systemd"
    write(home / "source/file", b"content")
    settings = f"REPO={home}/repo\nWHAT=main\nMOUNTPOINT={home}/mnt\n"
    write(home / ".config/ostreefs/mounts/mine.conf", settings.encode())
    for path in (home, *home.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    repository = ("--repo", home / "repo")
    ostreefs_output(*repository, "init", account=user)
    ostreefs_output(*repository, "commit", "-b", "main", home / "source", account=user)
    said = Machine(tmp_path, user).run(f"HOME_OF_USER={home}\n{SCRIPT_OF_A_USER}", seconds=40)
    assert said.splitlines() == ["started: content", "1", "stopped: 0"]


def test_fstab_and_services(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    repository = init_repository(machine.shared / "repo")
    commit_directory(repository, write(tmp_path / "source/file", b"content").parent)
    machine.add(
        "fstab",
        f"{repository}#main /srv/now ostreefs nofail 0 0\n"
        f"{repository}x#main /srv/bad ostreefs nofail 0 0\n"
        f"{repository}#main /srv/late ostreefs noauto,nofail,x-systemd.automount 0 0\n"
        f"{repository} /srv/all ostreefs x-systemd.automount,x-systemd.idle-timeout=1 0 0\n",
    )
    for name, what in (("stable", "main"), ("wrong", "--nonsense")):
        machine.add(
            f"ostreefs/mounts/{name}.conf",
            f"REPO={repository}\nWHAT={what}\nMOUNTPOINT=/srv/made/{name}\nOPTIONS=allow_other\n",
        )
    machine.add(
        "systemd/system/ostreefs@stable.service.d/quick.conf",
        "[Service]\nWatchdogSec=1\nRestartSec=0\n",
    )
    said = machine.run(textwrap.dedent(SCRIPT), seconds=60)
    assert [line.strip() for line in said.splitlines()] == EXPECTED.split("\n")[1:-1]
