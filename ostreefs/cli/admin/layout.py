# SPDX-License-Identifier: LGPL-2.1-or-later
"""`admin init-fs` and `admin os-init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ostreefs.cli.admin.sysroot import add_sysroot_argument, sysroot_path, tell_wait
from ostreefs.cli.arguments import UsageError
from ostreefs.cli.output import print_json
from ostreefs.sysroot.boot.choose import LOADERS, detect_loader
from ostreefs.sysroot.layout import (
    Settings,
    Sysroot,
    check_folder,
    init_fs,
    locked,
    open_sysroot,
    os_init,
    read_settings,
)

if TYPE_CHECKING:
    from ostreefs.cli.arguments import Arguments, Parser


def add_init_fs_arguments(parser: Parser) -> None:
    """Options of `admin init-fs`."""
    parser.add_argument(
        "--modern", action="store_true", help="make boot and ostree, and no other directory"
    )
    parser.add_argument(
        "--bootloader",
        choices=LOADERS,
        help="what to write for (else what is there in boot): "
        + "; ".join(f"{name}: {meaning}" for name, meaning in LOADERS.items()),
    )
    parser.add_argument(
        "--boot",
        metavar="DIR",
        default="boot",
        help="the folder below the root that the boot loader reads, such as efi (else boot)",
    )
    parser.add_argument("path", metavar="DIR", help="the root, of a distribution or empty")


def run_init_fs(arguments: Arguments) -> int:
    """Make a sysroot; one that is there is left as it is."""
    root = Path(arguments.path)
    try:
        boot = check_folder(arguments.boot)
    except ValueError as error:
        raise UsageError(f"--boot: {error}") from None
    loader = arguments.bootloader or detect_loader(Sysroot(root, boot))
    sysroot = init_fs(root, Settings(loader, boot), modern=arguments.modern)
    loader = read_settings(sysroot).bootloader
    if arguments.json:
        print_json({"sysroot": str(root.resolve()), "bootloader": loader})
    else:
        print(f"{sysroot.ostree}: bootloader={loader}")
    return 0


def add_os_init_arguments(parser: Parser) -> None:
    """Options of `admin os-init`."""
    add_sysroot_argument(parser)
    parser.add_argument("os", metavar="OS", help="the name of an operating system")


def run_os_init(arguments: Arguments) -> int:
    """Note the name; it is harmless when it is there."""
    sysroot = open_sysroot(sysroot_path(arguments))
    with locked(sysroot, on_wait=tell_wait):
        is_new = os_init(sysroot, arguments.os)
    if arguments.json:
        print_json({"os": arguments.os, "created": is_new})
    return 0
