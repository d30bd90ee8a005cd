# SPDX-License-Identifier: LGPL-2.1-or-later
"""`mount` and `umount`."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.cli.arguments import UsageError
from ostreefs.cli.logs import set_up_log
from ostreefs.cli.output import inform, print_json
from ostreefs.fuse import mounts
from ostreefs.fuse.daemon import run_in_background
from ostreefs.fuse.leftovers import detach_dead, unmount_and_clean_up
from ostreefs.fuse.options import parse_options
from ostreefs.fuse.scratch import Scratch, prepare, put_over, serving, take_down_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostreefs.cli.arguments import Arguments, Parser


def add_mount_arguments(parser: Parser) -> None:
    """Options of `mount`."""
    add = parser.add_argument
    add("--all", action="store_true", help="mount every commit: commits/<id> and refs/<ref>")
    add(
        "--follow",
        action="store_true",
        help="REV is a ref: show its newest commit as soon as it moves",
    )
    add("--rw", action="store_true", help="with a writable layer on top, which keeps the changes")
    add("--upper", metavar="DIR", help="the writable layer; without it changes are thrown away")
    add("--foreground", action="store_true", help="serve until unmounted, log on stderr")
    add("--log-file", metavar="FILE", help="log there (in the background the default is syslog)")
    add(
        "-o",
        dest="options",
        metavar="OPTIONS",
        action="append",
        default=[],
        help="comma-separated: allow_other, allow_root, suid, dev, noexec, uid=, gid=, …",
    )
    add("words", metavar="[REV] MOUNTPOINT", nargs="+", help="the commit, and an empty directory")


def run_mount(arguments: Arguments) -> int:
    """Mount; return when the mount can be used."""
    expected = 1 if arguments.all else 2
    if len(arguments.words) != expected:
        wanted = "--all MOUNTPOINT" if arguments.all else "REV MOUNTPOINT"
        raise UsageError(f"mount needs {wanted}")
    options = parse_options(arguments.options)
    follow = arguments.follow or options.follow
    if arguments.all and follow:
        raise UsageError("--follow is for a mount of one ref; with --all every ref is followed")
    if arguments.upper is not None and not arguments.rw:
        raise UsageError("--upper is for --rw")
    if arguments.rw and (arguments.all or follow or arguments.foreground):
        raise UsageError("--rw goes with one commit in the background")
    revision = None if arguments.all else arguments.words[0]
    mount_point = Path(arguments.words[-1]).absolute()
    repository = arguments.repository_path.absolute()
    log_file = Path(arguments.log_file).absolute() if arguments.log_file else None
    scratch = _prepare_scratch(arguments, mount_point) if arguments.rw else None

    def serve(ready: Callable[[], None]) -> None:
        from ostreefs.fuse.serve import MountRequest, serve  # noqa: PLC0415 -- in the daemon alone

        with ExitStack() as stack:
            if scratch is not None:
                stack.enter_context(serving(scratch))
            set_up_log(log_file, foreground=arguments.foreground, verbose=arguments.verbose)
            _detach_dead(mount_point, arguments)
            mounts.check_mount_point(mount_point)
            mounts.check_fuse()
            place = mount_point if scratch is None else scratch.lower
            on_signal = None if scratch is None else partial(take_down_over, scratch)
            shown = options._replace(apart=scratch is not None)
            request = MountRequest(repository, revision, place, shown, follow, on_signal)
            serve(request, ready)

    if arguments.foreground:
        serve(_tell_supervisor)
        return 0
    pid = run_in_background(serve)
    if scratch is not None:
        put_over(scratch, mount_point, options.libfuse)
    if arguments.json:
        print_json({"mount_point": str(mount_point), "pid": pid})
    return 0


def _prepare_scratch(arguments: Arguments, mount_point: Path) -> Scratch:
    _detach_dead(mount_point, arguments)
    mounts.check_mount_point(mount_point)
    return prepare(None if arguments.upper is None else Path(arguments.upper).absolute())


def _tell_supervisor() -> None:
    from ostreefs.fuse.notify import notify  # noqa: PLC0415 -- sockets, for supervised mounts alone

    notify("READY=1")


def _detach_dead(mount_point: Path, arguments: Arguments) -> None:
    for mount in detach_dead(mount_point):
        if arguments.verbose:
            inform(f"detached {mount.source} from {mount.target}: its process has died")


def add_switch_arguments(parser: Parser) -> None:
    """Options of `switch`."""
    parser.add_argument("mount_point", metavar="MOUNTPOINT", help="a mount of one commit")
    parser.add_argument("revision", metavar="REV", help="the commit that it is to show")


def run_switch(arguments: Arguments) -> int:
    """Let a live mount show another commit; return when it does."""
    from ostreefs.fuse.control import ask  # noqa: PLC0415 -- json and sockets, for this verb alone

    mount_point = Path(arguments.mount_point)
    answer = ask(mount_point, {"verb": "switch", "revision": arguments.revision})
    if arguments.json:
        print_json({"mount_point": str(mount_point.absolute()), "commit": answer["commit"]})
    else:
        print(answer["commit"])
    return 0


def add_umount_arguments(parser: Parser) -> None:
    """Options of `umount`."""
    parser.add_argument(
        "-l", "--lazy", action="store_true", help="detach now, clean up when it is not used"
    )
    parser.add_argument("mount_point", metavar="MOUNTPOINT", help="what to take down")


def run_umount(arguments: Arguments) -> int:
    """Take down a mount."""
    mount_point = Path(arguments.mount_point)
    unmount_and_clean_up(mount_point, lazy=arguments.lazy)
    if arguments.json:
        print_json({"mount_point": str(mount_point.absolute())})
    return 0
