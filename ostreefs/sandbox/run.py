# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a command inside a tree."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ostreefs.sandbox.arguments import Descriptors, make_arguments, make_environment
from ostreefs.sandbox.commands import PATH, check_command
from ostreefs.sandbox.errors import SandboxError
from ostreefs.sandbox.filter import make_filter
from ostreefs.sandbox.guard import Guard, start_guard
from ostreefs.sandbox.identity import Identity, find_identity
from ostreefs.sandbox.layout import DATA, Layout, plan_layout
from ostreefs.sandbox.options import SandboxOptions
from ostreefs.sandbox.overlay import Overlay
from ostreefs.sandbox.rooted import View
from ostreefs.sandbox.supervise import Program, run_supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LIMITS = (
    ("/proc/sys/user/max_user_namespaces", "user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone=1"),
)
"""What can be 0 and forbids user namespaces then, and what an administrator may set instead."""
_SHELLS = ("/bin/bash", "/bin/sh")


class _Plan(NamedTuple):
    """All that is decided before anything is made."""

    command: list[str]
    layout: Layout
    identity: Identity
    home: str
    directory: str
    options: SandboxOptions


class _Outside(NamedTuple):
    """What connects a command with whoever runs it; see `run_in_tree`."""

    streams: tuple[int, int, int]
    heard: Callable[[int], object] | None


def run_in_tree(
    tree: Path,
    command: Sequence[str],
    options: SandboxOptions | None = None,
    *,
    is_shell: bool = False,
    streams: tuple[int, int, int] = (0, 1, 2),
    heard: Callable[[int], object] | None = None,
) -> int:
    """Run a command with a directory as its root; its exit status, 128+N for a signal N.

    With `is_shell` the user's shell is run, and `command` are its arguments. `streams` are the
    descriptors of standard input, output and errors. `heard` is told of each signal that comes for
    the command meanwhile, which may handle it. Everything that was made for it is gone when this
    returns, and soon after we are killed. Raises `CommandError` for a command that is not there
    (its status 127) or cannot be executed (126), and other `SandboxError`, `MountError` and
    `OSError` for all else that keeps it from being started.

    The process that calls this has no other threads, and waits for no child at the same time.
    """
    bwrap = _find_bwrap()
    tree = tree.absolute()
    plan = _make_plan(tree, command, options or SandboxOptions(), is_shell=is_shell)
    with ExitStack() as stack:
        overlay = None
        if plan.options.writable:
            is_for_others = not _is_root(plan.identity)
            made = plan.layout.made
            overlay = Overlay(tree, plan.options.upper, made, is_for_others=is_for_others)
        guard = stack.enter_context(_guarded(overlay))
        root = tree
        if overlay is not None:
            overlay.mount()
            root = overlay.root
        status = _run(stack, bwrap, plan, root, guard, _Outside(streams, heard))
    if status is None:
        raise SandboxError(
            f"cannot run '{plan.command[0]}': bwrap could not prepare it, and says why above",
            hint="it needs user namespaces, unless root runs it as root",
        )
    return status


# ---- deciding ----


def _make_plan(
    tree: Path, command: Sequence[str], options: SandboxOptions, *, is_shell: bool
) -> _Plan:
    view = View(tree)
    identity = find_identity(view, options.user)
    if not _is_root(identity):
        check_user_namespaces()
    _check_root(tree, identity)
    layout = plan_layout(view, tree, options, identity)
    home = identity.home
    if options.user is None:
        home = os.environ.get("HOME", home)
    directory = _find_directory(view, options, home)
    words = list(command)
    if is_shell:
        words.insert(0, _find_shell(view, identity))
    check_command(view, words[0], directory, dict(options.environment).get("PATH", PATH))
    return _Plan(words, layout, identity, home, directory, options)


def _check_root(tree: Path, identity: Identity) -> None:
    """Raise `SandboxError` where whom root is to become may not even enter the tree."""
    if os.geteuid() != 0 or identity.uid == 0:
        return
    status = tree.stat()
    needed = stat.S_IXOTH
    if status.st_uid == identity.uid:
        needed = stat.S_IXUSR
    elif status.st_gid == identity.gid:
        needed = stat.S_IXGRP
    if not status.st_mode & needed:
        raise SandboxError(
            f"user {identity.uid} may not enter the root of the tree, whose mode is"
            f" {stat.S_IMODE(status.st_mode):04o}",
            hint="commit it with a root that all may enter: mode 0755",
        )


def _find_bwrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "bwrap is missing, which runs commands inside a tree",
            hint="install the package bubblewrap",
        )
    return found


def check_user_namespaces() -> None:
    """Raise `SandboxError` where the machine's settings forbid user namespaces."""
    for file, setting in _LIMITS:
        try:
            is_forbidden = Path(file).read_text().strip() == "0"
        except OSError:
            continue
        if is_forbidden:
            raise SandboxError(
                f"this machine forbids user namespaces: {file} is 0",
                hint=f"an administrator can allow them with 'sysctl {setting}'; root needs none",
            )


def _is_root(identity: Identity) -> bool:
    """Whether root runs it as root, without a user namespace."""
    return os.geteuid() == 0 and identity.uid == 0


def _find_directory(view: View, options: SandboxOptions, home: str) -> str:
    """Where the command starts."""
    if options.directory is not None:
        if not _is_directory(view, options.directory):
            raise SandboxError(f"there is no directory {options.directory} inside")
        return options.directory
    with suppress(OSError):
        here = os.getcwd()
        host = view.find_host(view.resolve(here))
        if host is not None and os.path.samefile(host, here):
            return here
    return home if home and _is_directory(view, home) else "/"


def _is_directory(view: View, path: str) -> bool:
    place = view.resolve(path)
    status = view.find_status(place)
    return view.is_new(place) if status is None else stat.S_ISDIR(status.st_mode)


def _find_shell(view: View, identity: Identity) -> str:
    """The user's shell, or one that the tree has."""
    for shell in (identity.shell, *_SHELLS):
        status = view.find_status(view.resolve(shell)) if shell else None
        if status is not None and status.st_mode & 0o111 and "nologin" not in shell:
            return shell
    raise SandboxError(
        "the tree has no shell: neither /bin/bash nor /bin/sh",
        hint="'ostreefs run REV -- COMMAND' runs something else",
    )


# ---- doing ----


@contextmanager
def _guarded(overlay: Overlay | None) -> Iterator[Guard]:
    """Something that cleans up in the end, or when we die."""

    def clean_up() -> None:
        if overlay is not None:
            overlay.clean_up()

    guard = start_guard(clean_up, None if overlay is None else overlay.lock)
    try:
        yield guard
    finally:
        guard.close()
        if os.waitpid(guard.pid, 0)[1] != 0:
            clean_up()
        if overlay is not None:
            os.close(overlay.lock)


def _run(
    stack: ExitStack,
    bwrap: str,
    plan: _Plan,
    root: Path,
    guard: Guard,
    outside: _Outside,
) -> int | None:
    said, status = os.pipe()
    stack.callback(os.close, said)
    code = make_filter()
    descriptors = Descriptors(
        guard.info, guard.block, status, None if code is None else _in_memory(stack, code)
    )
    keep = {fd for fd in descriptors if fd is not None}
    steps = [*plan.layout.steps]
    if plan.options.writable:
        steps[0] = ("--bind", str(root), "/")
    for number, step in enumerate(steps):
        if step[0] == DATA:
            fd = _in_memory(stack, plan.layout.data[step[1]])
            keep.add(fd)
            steps[number] = (DATA, str(fd), step[1])
    words = make_arguments(
        [*steps, *plan.layout.ends],
        plan.options,
        plan.identity,
        descriptors,
        is_root=_is_root(plan.identity),
        directory=plan.directory,
    )
    program = Program(
        bwrap,
        ["bwrap", *words, "--", *plan.command],
        make_environment(os.environ, plan.options, plan.identity, plan.home),
        outside.streams,
        frozenset(keep),
        partial(_become, plan.identity),
    )

    def started() -> None:
        os.close(status)
        guard.close_others()

    return run_supervised(program, said, started, outside.heard)


def _in_memory(stack: ExitStack, content: bytes) -> int:
    """A descriptor from which something can be read."""
    fd = os.memfd_create("ostreefs")
    stack.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _become(identity: Identity) -> None:
    """Root hands its rights over to whoever is to run the command."""
    if os.geteuid() != 0 or identity.uid == 0:
        return
    try:
        os.initgroups(identity.name, identity.gid)
    except OSError:
        os.setgroups([identity.gid])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
