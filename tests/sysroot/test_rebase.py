# SPDX-License-Identifier: LGPL-2.1-or-later
"""Steps of rebase.d: what they can say, and in which order they follow each other."""

from pathlib import Path

import pytest

from ostreefs.sysroot.errors import StepError
from ostreefs.sysroot.rebase.declarations import (
    Declarations,
    FileDeclaration,
    LineDeclaration,
    SymlinkDeclaration,
    apply_line,
    parse_declarations,
)
from ostreefs.sysroot.rebase.steps import read_steps
from tests.support.trees import write

EVERYTHING = """
hostname = "box"
timezone = "Europe/Berlin"
locale = "de_DE.UTF-8"
enable = ["sshd.service", "getty@tty1.service"]
disable = ["bluetooth.service"]
remove = ["/etc/motd"]

[[file]]
path = "/etc/sudoers.d/wheel"
content = "all\\n"
mode = "0440"

[[file]]
path = "/etc/é"
content = ""

[[line]]
path = "/etc/ssh/sshd_config"
line = "PermitRootLogin no"
match = "^#?PermitRootLogin "

[[symlink]]
path = "/etc/editor"
target = "/usr/bin/vim"
"""


def test_everything() -> None:
    assert parse_declarations(EVERYTHING) == Declarations(
        hostname="box",
        timezone="Europe/Berlin",
        locale="de_DE.UTF-8",
        enable=("sshd.service", "getty@tty1.service"),
        disable=("bluetooth.service",),
        remove=(b"/etc/motd",),
        file=(
            FileDeclaration(b"/etc/sudoers.d/wheel", b"all\n", 0o440),
            FileDeclaration("/etc/é".encode(), b"", None),
        ),
        line=(
            LineDeclaration(b"/etc/ssh/sshd_config", "PermitRootLogin no", "^#?PermitRootLogin "),
        ),
        symlink=(SymlinkDeclaration(b"/etc/editor", b"/usr/bin/vim"),),
    )
    assert parse_declarations("") == Declarations()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hostnam = 'x'", "there is no 'hostnam'"),
        ("[[file]]\npath='/x'\ncontent=''\nowner='me'", r"there is no 'owner' in \[\[file\]\]"),
        ("[[file]]\npath='/x'", "without content"),
        ("[file]\npath='/x'\ncontent=''", "file is no list"),
        ("file = ['x']", "file is no table"),
        ("hostname = 1", "hostname is no text"),
        ("hostname = '-x'", "no host name"),
        ("timezone = '../../etc/passwd'", "no time zone"),
        ("locale = 'a b'", "no locale"),
        ("enable = 'x.service'", "enable is no list"),
        ("enable = ['../x.service']", "no unit"),
        ("remove = ['etc/motd']", "no path"),
        ("remove = ['/']", "no path"),
        ("remove = ['/etc/../usr']", "no path"),
        ("[[file]]\npath='/x'\ncontent=''\nmode='0999'", "no mode"),
        ("[[line]]\npath='/x'\nline='a\\nb'\n", ""),
        ('[[line]]\npath="/x"\nline="a\\nb"', "more than one line"),
        ("[[line]]\npath='/x'\nline='a'\nmatch='('", "no regular expression"),
        ("hostname = ", "Invalid value"),
    ],
)
def test_what_is_no_declaration(text: str, reason: str) -> None:
    if not reason:  # a literal string of TOML has no escapes
        assert parse_declarations(text).line[0].line == r"a\nb"
        return
    with pytest.raises(ValueError, match=reason):
        parse_declarations(text)


@pytest.mark.parametrize(
    ("text", "match", "expected"),
    [
        ("", None, "x=1\n"),
        ("a\nb", None, "a\nb\nx=1\n"),
        ("a\nx=1\nb\n", None, "a\nx=1\nb\n"),
        ("a\n#x=0\nb\nx=2\n", "^#?x=", "a\nx=1\nb\n"),
        ("a\n", "^#?x=", "a\nx=1\n"),
    ],
)
def test_lines(text: str, match: str | None, expected: str) -> None:
    declaration = LineDeclaration(b"/etc/x", "x=1", match)
    assert apply_line(text, declaration) == expected
    assert apply_line(expected, declaration) == expected


def test_the_order_of_steps(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "nowhere") == ()
    write(tmp_path / "20-run", b"#!/bin/sh\n", 0o755)
    write(tmp_path / "10-name.toml", b"hostname = 'box'\n")
    write(tmp_path / "30-run", b"#!/bin/sh\n", 0o755)
    for name in (".20-run.swp", "20-run~"):
        write(tmp_path / name)
    steps = read_steps(tmp_path)
    assert [step.name for step in steps] == ["10-name.toml", "20-run", "30-run"]
    assert steps[0].declarations == Declarations(hostname="box")
    assert steps[1].declarations is None
    assert steps[1].digest == steps[2].digest != steps[0].digest


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("README", 0o644, "its name is not"),
        ("1-x", 0o755, "its name is not"),
        ("10-x y", 0o755, "its name is not"),
        ("10-x", 0o644, "it is not executable"),
        ("10-x.toml", 0o644, "there is no 'x'"),
        ("10-directory", None, "it is no file"),
    ],
)
def test_what_is_no_step(tmp_path: Path, name: str, mode: int | None, reason: str) -> None:
    if mode is None:
        (tmp_path / name).mkdir()
    else:
        write(tmp_path / name, b"x = 1\n", mode)
    with pytest.raises(StepError, match=reason):
        read_steps(tmp_path)
