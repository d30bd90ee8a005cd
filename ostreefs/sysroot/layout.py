# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where everything of a sysroot lies, who may change it, and its settings.

::

    SYSROOT/
      boot/ostreefs/HEX/              a kernel and its initramfs, see `kernels`; and what the
                                      boot loader reads, see `boot`; the settings may say
                                      another folder, such as efi
      ostree/
        sysroot.conf                  settings; written last, makes it a sysroot
        lock                          flock(2) of whoever changes anything
        repo/                         the repository
        var/                          /var of every deployment
        rebase.d/                     the administrator's configuration steps
        current -> NAME               the deployment that boots, swapped by a rename
        order                         see `order`
        NAME/                         a deployment: hard links to the objects of its commit
        NAME.origin                   see `origin`
        .staged-…, .removed-…, .tmp-… what a crash leaves; `tidy` deletes it

Nothing else below SYSROOT is touched, so it may be the root of another distribution. The settings
are a key file::

    [sysroot]
    bootloader=bls                    what `boot` writes for
    boot=boot                         the folder that the boot loader reads
    os=gnomeos;debian                 what may be deployed
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sysroot.errors import NotASysrootError, OsNotFoundError, SettingsError
from ostreefs.sysroot.keyfile import format_keyfile, parse_keyfile
from ostreefs.sysroot.names import check_os_name, is_deployment_name
from ostreefs.sysroot.order import Orders, write_orders
from ostreefs.sysroot.origin import SUFFIX
from ostreefs_store import durable
from ostreefs_store.errors import InvalidNameError
from ostreefs_store.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LITTER = (".staged-", "..staged-", ".removed-", ".tmp-")
"""What the names of unfinished things begin with."""

_TOP = {"dev": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755}
_TOP["tmp"] = 0o1777


class Settings(NamedTuple):
    """What ``sysroot.conf`` says."""

    bootloader: str = "none"
    boot: str = "boot"
    os: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sysroot:
    """The paths below a root; there need not be anything yet."""

    root: Path
    boot_folder: str = "boot"

    @property
    def ostree(self) -> Path:
        """The folder of deployments."""
        return self.root / "ostree"

    @property
    def repository(self) -> Path:
        """The repository."""
        return self.ostree / "repo"

    @property
    def current(self) -> Path:
        """The link to the deployment that boots."""
        return self.ostree / "current"

    @property
    def order(self) -> Path:
        """The order of the deployments."""
        return self.ostree / "order"

    @property
    def settings(self) -> Path:
        """The settings."""
        return self.ostree / "sysroot.conf"

    @property
    def boot(self) -> Path:
        """What the boot loader can read; perhaps a filesystem of its own."""
        return self.root / self.boot_folder

    @property
    def rebase(self) -> Path:
        """The folder of the administrator's configuration steps."""
        return self.ostree / "rebase.d"

    def deployment(self, name: str) -> Path:
        """The tree of a deployment."""
        return self.ostree / name

    def origin(self, name: str) -> Path:
        """The origin of a deployment."""
        return self.ostree / f"{name}{SUFFIX}"

    def find_current(self) -> str | None:
        """The deployment that `current` leads to, whether it is there or not."""
        try:
            target = os.readlink(self.current)
        except (FileNotFoundError, OSError):
            return None
        return target if is_deployment_name(target) else None


def open_sysroot(root: Path) -> Sysroot:
    """A sysroot that is there. Raises `NotASysrootError`, `SettingsError`."""
    sysroot = Sysroot(root)
    if not sysroot.settings.is_file():
        detail = f"it has no {sysroot.settings.relative_to(root)}"
        raise NotASysrootError(root, detail if root.is_dir() else "there is no such directory")
    return Sysroot(root, read_settings(sysroot).boot)


def init_fs(root: Path, settings: Settings, *, modern: bool) -> Sysroot:
    """Make a sysroot, leaving alone what is there; an interrupted one is completed.

    Unless `modern`, the directories are made that a root filesystem has, as ostree does.
    """
    root.mkdir(parents=True, exist_ok=True)
    sysroot = Sysroot(root, check_folder(settings.boot))
    if sysroot.settings.exists():
        sysroot = open_sysroot(root)
    for name, mode in {} if modern else _TOP.items():
        path = root / name
        if not path.exists():
            durable.ensure_directory(path, mode)
            path.chmod(mode)
    sysroot.boot.mkdir(parents=True, exist_ok=True)
    for path in (sysroot.ostree, sysroot.ostree / "var"):
        durable.ensure_directory(path)
    durable.ensure_directory(sysroot.rebase)
    Repository.init(sysroot.repository, "bare" if os.geteuid() == 0 else "bare-user")
    (sysroot.ostree / "lock").touch(mode=0o644)
    for path in (sysroot.ostree, root):
        durable.sync_directory(path)
    if not sysroot.settings.exists():
        _remove_unwritten(sysroot)
        write_orders(sysroot.order, Orders())
        write_settings(sysroot, settings)
    return sysroot


def _remove_unwritten(sysroot: Sysroot) -> None:
    """Delete the files that somebody died over."""
    for path in sysroot.ostree.glob(".tmp-*"):
        path.unlink()


def os_init(sysroot: Sysroot, name: str) -> bool:
    """Let an operating system be deployed; whether it is new. The sysroot is locked.

    Raises `InvalidNameError`.
    """
    check_os_name(name)
    _remove_unwritten(sysroot)
    settings = read_settings(sysroot)
    if name in settings.os:
        return False
    write_settings(sysroot, settings._replace(os=(*settings.os, name)))
    return True


def choose_os(settings: Settings, wanted: str | None, usual: str | None) -> str:
    """The operating system to deploy: as wanted, else the usual one, else the only one.

    Raises `OsNotFoundError`.
    """
    if wanted is None:
        wanted = usual if usual in settings.os else None
    if wanted is None and len(settings.os) == 1:
        return settings.os[0]
    if wanted is None or wanted not in settings.os:
        raise OsNotFoundError(wanted, settings.os)
    return wanted


# ---- settings ----


def check_folder(folder: str) -> str:
    """A folder below the root without slashes around. Raises `ValueError`."""
    parts = folder.strip("/").split("/")
    if {"", ".", ".."} & {*parts} or not folder.isprintable():
        raise ValueError(f"'{folder}' is no folder below the root")
    return "/".join(parts)


def parse_settings(text: str) -> Settings:
    """What ``sysroot.conf`` says. Raises `ValueError` with a line for a person."""
    own = parse_keyfile(text).get("sysroot", {})
    names = tuple(name for name in own.get("os", "").split(";") if name)
    try:
        for name in names:
            check_os_name(name)
    except InvalidNameError as error:
        raise ValueError(str(error)) from None
    defaults = Settings()
    boot = check_folder(own.get("boot", defaults.boot))
    return Settings(own.get("bootloader", defaults.bootloader), boot, names)


def format_settings(settings: Settings) -> str:
    """The text that `parse_settings` reads."""
    own = {"bootloader": settings.bootloader, "boot": settings.boot, "os": ";".join(settings.os)}
    keys = {key: value for key, value in own.items() if value}
    return format_keyfile({"sysroot": keys}, "Settings of an ostreefs sysroot")


def read_settings(sysroot: Sysroot) -> Settings:
    """Read the settings. Raises `SettingsError`."""
    try:
        return parse_settings(sysroot.settings.read_text("utf-8"))
    except ValueError as error:
        raise SettingsError(sysroot.settings, str(error)) from None


def write_settings(sysroot: Sysroot, settings: Settings) -> None:
    """Write the settings, wholly or not at all, and durably."""
    durable.write_file(sysroot.settings, format_settings(settings).encode())


# ---- one at a time ----


@contextmanager
def locked(sysroot: Sysroot, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Be the only one who changes the sysroot while the block runs.

    Waits for another one to end, after a call of `on_wait`. The kernel drops the lock with its
    holder.
    """
    fd = os.open(sysroot.ostree / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
