# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real systemd as process 1, in namespaces of its own, over this machine's own programs.

Its root is an overlay over ours whose changes are in memory, with ``/etc/systemd/system`` and
``/etc/fstab`` of the test; its control group is one of its own below ours. It is told that it is
in a container, so it leaves the machine alone. It boots in a quarter of a second, runs a script,
and ends with it.
"""

import shlex
import sys
from pathlib import Path

from tests.support.commands import OURSELVES, Account, run
from tests.support.project import ROOT

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_GROUP = """
set -e
mkdir "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
group=$1/cgroup/ostreefs-test-$$
mkdir "$group"
trap 'echo $$ >"$1/cgroup/cgroup.procs"; find "$group" -depth -type d -exec rmdir {} +' EXIT
echo $$ >"$group/cgroup.procs"
unshare --pid --fork --kill-child --uts --ipc --cgroup --mount --propagation private \
    sh -c "$2" sh "$@"
"""

_BOOT = f"""
set -e
place=$1 root=$1/root
shift 2
mkdir "$root" "$place/memory"
mount -t tmpfs tmpfs "$place/memory"
mkdir "$place/memory/upper" "$place/memory/work"
mount -t overlay overlay "$root" \
    -o "lowerdir=/,upperdir=$place/memory/upper,workdir=$place/memory/work"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty fuse autofs; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
for name in run tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$root/$name"; done
for path in "$@"; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
done
rm -rf "$root/etc/systemd/system" "$root/etc/fstab"
cp -R "$place/etc/." "$root/etc/"
install -m 755 "$place/ostreefs" "$root/usr/bin/ostreefs"
make -s -C {shlex.quote(str(ROOT / "mount-helpers"))} install \
    "DESTDIR=$root" OSTREEFS=/usr/bin/ostreefs
exec env -i container=test "PATH={_PATH}" chroot "$root" \
    /lib/systemd/systemd --system --unit=probe.target --log-target=console --show-status=no
"""

_TARGET = """
[Unit]
Wants=local-fs.target probe.service
"""

_SERVICE = """
[Unit]
DefaultDependencies=no
After=local-fs.target

[Service]
Type=oneshot
TimeoutStartSec={seconds}
ExecStart=/bin/sh -u {script}
StandardOutput=file:{said}
StandardError=file:{said}
ExecStopPost=/bin/systemctl --no-block exit 0
"""


class Machine:
    """What it is to boot with; `shared` is the one directory that both sides see."""

    def __init__(self, place: Path, account: Account = OURSELVES) -> None:
        """`account` is who is to be able to run `ostreefs` in there."""
        self._place = place
        self._account = account
        self.shared = place / "shared"
        self.shared.mkdir()
        self._units = place / "etc/systemd/system"
        self._units.mkdir(parents=True)

    def add(self, name: str, text: str) -> None:
        """Put a file into its ``/etc``."""
        path = self._place / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _homes(self) -> list[Path]:
        return [] if self._account.home is None else [self._account.home]

    def run(self, script: str, seconds: float) -> str:
        """Boot, run a script of the shell to its end or its first failure; what it says."""
        path, said = self.shared / "script", self.shared / "said"
        path.write_text(script)
        self.add("systemd/system/probe.target", _TARGET)
        service = _SERVICE.format(script=path, said=said, seconds=seconds)
        self.add("systemd/system/probe.service", service)
        imports = f"PYTHONPATH={self._account.environment()['PYTHONPATH']}"
        python = shlex.join([imports, self._account.python])
        program = self._place / "ostreefs"
        program.write_text(f'#!/bin/sh\nexec env {python} -m ostreefs "$@"\n')
        done = run(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("sh", "-c", _GROUP, "sh", self._place, _BOOT),
            *{self.shared, ROOT, Path(sys.prefix), *self._account.path, *self._homes()},
            timeout=seconds + 20,
        )
        assert said.exists(), done
        return said.read_text()
