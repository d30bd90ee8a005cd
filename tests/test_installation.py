# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `make -C mount-helpers install` puts where, and whether it can be used there."""

import os
import re
import shlex
import shutil
import stat
from pathlib import Path

import pytest

from ostreefs.cli.dispatch import VERBS, load_verb, split_verb
from tests.support.commands import output, run
from tests.support.project import ROOT

HELPERS = ROOT / "mount-helpers"
PROGRAM = "/bin/true"  # one that is there

INSTALLED = {
    "sbin/mount.ostreefs": 0o755,
    "sbin/mount.fuse.ostreefs": None,
    "usr/lib/systemd/system/ostreefs@.service": 0o644,
    "usr/lib/systemd/user/ostreefs@.service": 0o644,
    "usr/share/bash-completion/completions/ostreefs": 0o644,
    "usr/share/fish/vendor_completions.d/ostreefs.fish": 0o644,
    "usr/share/zsh/site-functions/_ostreefs": 0o644,
    "usr/share/man/man1/ostreefs.1": 0o644,
    **{f"usr/share/man/man1/ostreefs-{verb}.1": 0o644 for verb in VERBS},
    "usr/share/man/man8/mount.ostreefs.8": 0o644,
}
"""Path -> mode; None for a link to a file beside it."""


def make(target: str, destination: Path, program: str = PROGRAM) -> None:
    variables = [f"DESTDIR={destination}", "PREFIX=/usr", f"OSTREEFS={program}"]
    output("make", "-s", "-C", HELPERS, target, *variables)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    destination = tmp_path / "a place"
    umask = os.umask(0o077)
    try:
        make("install", destination)
    finally:
        os.umask(umask)
    return destination


def files_below(path: Path) -> dict[str, int | None]:
    return {
        str(file.relative_to(path)): None if file.is_symlink() else stat.S_IMODE(mode)
        for file in path.rglob("*")
        if not stat.S_ISDIR(mode := file.lstat().st_mode)
    }


def test_install(installed: Path) -> None:
    assert files_below(installed) == INSTALLED
    assert (installed / "sbin/mount.fuse.ostreefs").readlink() == Path("mount.ostreefs")


def test_install_twice_and_uninstall(installed: Path) -> None:
    make("install", installed)
    make("uninstall", installed)
    assert files_below(installed) == {}
    make("uninstall", installed)


def test_every_manual_page_is_installed(installed: Path) -> None:
    names = {page.name for page in (ROOT / "docs/man").iterdir()}
    assert {page.name for page in installed.rglob("man/*/*")} == names


STRANGE = '/a b/"it\'s" 100% & |\\ostreefs'


def test_a_strange_place_of_the_command(tmp_path: Path) -> None:
    make("install", tmp_path, STRANGE)
    text = (tmp_path / "sbin/mount.ostreefs").read_text()
    [line] = re.findall(r"^program=.*$", text, re.MULTILINE)
    assert output("sh", "-c", f'{line}\nprintf %s "$program"').decode() == STRANGE
    for unit in tmp_path.rglob("*.service"):
        [line] = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        assert shlex.split(line)[0].replace("%%", "%") == STRANGE  # quoted as for a shell


@pytest.mark.parametrize("kind", ["system", "user"])
def test_units_are_valid(installed: Path, tmp_path: Path, kind: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    unit = installed / f"usr/lib/systemd/{kind}/ostreefs@.service"
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    words = (
        "systemd-analyze",
        f"--{kind}",
        "verify",
        "--man=no",
        unit.with_name("ostreefs@x.service"),
    )
    done = run(*words, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("kind", ["system", "user"])
@pytest.mark.parametrize("what", [["a/b"], ["--follow", "a/b"], ["--all"]])
def test_units_call_what_there_is(kind: str, what: list[str]) -> None:
    text = (HELPERS / f"systemd/{kind}/ostreefs@.service").read_text()
    [line] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    variables = {"${OPTIONS}": [""], "${REPO}": ["/r"], "$WHAT": what, "${MOUNTPOINT}": ["/m"]}
    line = line.replace("${REPO}", "/r")
    words = [value for word in line.split() for value in variables.get(word, [word])]
    verb, arguments = split_verb(words[1:])
    assert verb == "mount"
    parsed = load_verb(verb)[0].parse_words(arguments)
    assert parsed.foreground
    assert (parsed.repo, parsed.words[-1]) == ("/r", "/m")
