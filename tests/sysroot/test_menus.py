# SPDX-License-Identifier: LGPL-2.1-or-later
"""Menus for GRUB and syslinux, and which boot loader a sysroot has."""

from pathlib import Path

import pytest

from ostreefs.sysroot.boot import grub, syslinux
from ostreefs.sysroot.boot.choose import LOADERS, detect_loader, open_loader
from ostreefs.sysroot.boot.loader import BootEntry
from ostreefs.sysroot.errors import LoaderError
from ostreefs.sysroot.layout import Sysroot
from tests.support.trees import write

NAMES = ("os-2-0123abcd", "os-1-0123abcd")


def entry(name: str, options: str = "root=LABEL=root ro") -> BootEntry:
    return BootEntry(name, f"os ({name})", "/k/vmlinuz", "/k/initramfs.img", options)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), "none"),
        (("boot/loader/entries/debian.conf", "boot/grub/grub.cfg"), "bls"),
        (("boot/grub/grub.cfg",), "grub2"),
        (("boot/grub2/grub.cfg",), "grub2"),
        (("boot/grub/x",), "none"),
        (("boot/extlinux/extlinux.conf",), "syslinux"),
        (("boot/syslinux/syslinux.cfg",), "syslinux"),
    ],
)
def test_which_is_there(tmp_path: Path, present: tuple[str, ...], expected: str) -> None:
    for name in present:
        write(tmp_path / name)
    assert detect_loader(Sysroot(tmp_path)) == expected


def test_unknown_ones(tmp_path: Path) -> None:
    for name in LOADERS:
        assert open_loader(Sysroot(tmp_path), name).name == name
    with pytest.raises(LoaderError, match="'lilo': it is not known"):
        open_loader(Sysroot(tmp_path), "lilo")


@pytest.mark.parametrize("folder", ["grub", "grub2"])
def test_grub(tmp_path: Path, folder: str) -> None:
    """The distribution's files stay, its own custom.cfg gets one line."""
    write(tmp_path / f"boot/{folder}/grub.cfg", b"set default=0\n")
    custom = write(tmp_path / f"boot/{folder}/custom.cfg", b"# \xff mine", 0o600)
    loader = open_loader(Sysroot(tmp_path), "grub2")
    assert loader.find_default() is None
    loader.install([entry(NAMES[0], 'ro x="a b"'), entry(NAMES[1])])
    assert loader.find_default() == NAMES[0]
    assert (tmp_path / f"boot/{folder}/ostreefs.cfg").read_text() == (
        "# Written by 'ostreefs admin': change nothing here.\n"
        "# deployments: os-2-0123abcd os-1-0123abcd\n\n"
        "menuentry 'os (os-2-0123abcd)' --class gnu-linux --class os --id 'ostreefs' {\n"
        "    search --no-floppy --set=root --file /k/vmlinuz\n"
        "    linux /k/vmlinuz ro 'x=a b'\n"
        "    initrd /k/initramfs.img\n"
        "}\n\n"
        "menuentry 'os (os-1-0123abcd)' --class gnu-linux --class os"
        " --id 'ostreefs-os-1-0123abcd' {\n"
        "    search --no-floppy --set=root --file /k/vmlinuz\n"
        "    linux /k/vmlinuz root=LABEL=root ro\n"
        "    initrd /k/initramfs.img\n"
        "}\n"
    )
    once = custom.read_bytes()
    assert once == b"# \xff mine\n" + grub.MENU.line.encode() + b"\n"
    loader.install([entry(NAMES[1])])
    assert loader.find_default() == NAMES[1]
    assert custom.read_bytes() == once
    assert custom.stat().st_mode & 0o777 == 0o600
    loader.install([])
    assert loader.find_default() is None
    assert (tmp_path / f"boot/{folder}/grub.cfg").read_bytes() == b"set default=0\n"


@pytest.mark.parametrize("word", ["it's", "back\\slash", "two\nlines"])
def test_what_grub_cannot_pass_on(word: str) -> None:
    with pytest.raises(LoaderError, match="cannot pass"):
        grub.quote(word)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("root=UUID=1-2", "root=UUID=1-2"),
        ("a=$b", "'a=$b'"),
        ("a;b{c}", "'a;b{c}'"),
        ('"a=b c"', "'a=b c'"),
    ],
)
def test_words_for_grub(word: str, expected: str) -> None:
    assert grub.quote(word) == expected


def test_syslinux(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    loader = open_loader(Sysroot(tmp_path), "syslinux")
    loader.install([entry(NAMES[0]), entry(NAMES[1])._replace(initramfs="")])
    folder = tmp_path / "boot/extlinux"
    assert (folder / "extlinux.conf").read_text() == (
        "DEFAULT ostreefs\nPROMPT 0\nTIMEOUT 50\nINCLUDE ostreefs.conf\n"
    )
    assert (folder / "ostreefs.conf").read_text().split("\n\n", 1)[1] == (
        "LABEL ostreefs\n    MENU LABEL os (os-2-0123abcd)\n    LINUX /k/vmlinuz\n"
        "    INITRD /k/initramfs.img\n    APPEND root=LABEL=root ro\n\n"
        "LABEL ostreefs-os-1-0123abcd\n    MENU LABEL os (os-1-0123abcd)\n    LINUX /k/vmlinuz\n"
        "    APPEND root=LABEL=root ro\n"
    )
    assert loader.find_default() == NAMES[0]
    assert syslinux.make_menu("x").host == "x"
