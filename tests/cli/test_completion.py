# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completions: up to date, and as the shells take them."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ostreefs.cli import completion
from ostreefs.cli.completionshells import MOUNT_OPTIONS, WRITERS
from ostreefs.cli.dispatch import GROUPS, VERBS, load_verb
from ostreefs.fuse.options import parse_options
from tests.support.commands import OURSELVES, command, output, run
from tests.support.commits import commit_directory, init_repository
from tests.support.project import ROOT
from tests.support.trees import write

FOLDER = ROOT / "mount-helpers/completions"
FILES = {"bash": "ostreefs.bash", "zsh": "_ostreefs", "fish": "ostreefs.fish"}


@pytest.mark.parametrize("shell", FILES)
def test_up_to_date(shell: str) -> None:
    options, verbs = completion.read_global_options(), completion.read_verbs()
    made = WRITERS[shell](options, verbs)
    assert (FOLDER / FILES[shell]).read_text() == made, "run `make -C mount-helpers completions`"


def test_the_command_that_makes_them() -> None:
    said = output(sys.executable, "-m", "ostreefs.cli.completion", "fish", cwd=ROOT)
    assert said == (FOLDER / "ostreefs.fish").read_bytes()


def test_verbs() -> None:
    verbs = {verb.name: verb for verb in completion.read_verbs()}
    assert list(verbs) == list(VERBS)
    assert verbs["mount"].words == ("refs", "directories")
    assert verbs["switch"].words == ("mounts", "refs", "none")
    assert verbs["umount"].words == ("mounts", "none")
    assert verbs["commit"].words == ("files", "none")
    assert verbs["rev-parse"].words == ("refs",)
    names = {name: option.kind for option in verbs["export"].options for name in option.names}
    assert names["--compress"] == "words none gzip xz zstd bzip2"
    assert names["--no-xattrs"] is None
    assert "--repo" not in names


def test_every_metavar_is_known() -> None:
    """Whoever adds one says what it stands for, or that nothing is known of it."""
    unknown = {"CONTENT", "DATE", "DEPTH", "KEY", "NAME", "N", "PATH", "POLICY", "PREFIX", "TIME"}
    unknown |= {
        "BRANCH=DEPTH",
        "GID",
        "KEY=VALUE",
        "KIND=WHAT",
        "NEW",
        "UID",
        "None",
        "WHEN",
        "HOW",
        "ARGUMENT",
        "COMMAND",
        "NAME[=VALUE]",
        "NAME|UID[:GID]",
        "CMD",
        "TERM",
    }
    known = {*completion.KINDS, *completion.SEQUENCES}
    words = [f"{group} {word}" for group, verbs in GROUPS.items() for word in verbs]
    unknown |= {"ARGUMENT", "INDEX|NAME", "KARG", "OS", "VERB"}
    for verb in (*VERBS, *words):
        for action in load_verb(verb)[0]._actions:
            if action.nargs != 0:
                assert str(action.metavar) in unknown | known, verb


def test_mount_options_exist() -> None:
    for option in MOUNT_OPTIONS:
        value = {"uid=": "0", "gid=": "0", "stats=": "/x"}.get(option, "")
        parse_options([option + value])


# ---- in the shells themselves


@pytest.fixture(scope="module")
def shell_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH with `ostreefs`, and with a findmnt that knows two mounts."""
    folder = tmp_path_factory.mktemp("completion")
    write(folder / "source/file", b"x")
    repository = init_repository(folder / "repo")
    for branch in ("main", "os/stable", "os/testing"):
        commit_directory(repository, folder / "source", branch)
    python = f'exec {shlex.join(map(str, command()))} "$@"\n'
    write(folder / "bin/ostreefs", f"#!/bin/sh\n{python}".encode(), 0o755)
    write(folder / "bin/findmnt", b"#!/bin/sh\necho /mnt/one\necho '/mnt/two words'\n", 0o755)
    environment = OURSELVES.environment()
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    return environment | {"HOME": str(folder), "OSTREEFS_REPO": str(repository), "TERM": "dumb"}


REFS = ["main", "os/stable", "os/testing"]

CASES = [
    ("moun", ["mount", "mounts"]),
    ("umount ", ["/mnt/one", "/mnt/two words"]),
    ("admin un", ["undeploy", "unpin"]),
    ("admin deploy os/", ["os/stable", "os/testing"]),
    ("admin deploy --not", ["--not-as-default"]),
    ("umount /mnt/t", ["/mnt/two words"]),
    ("umount --la", ["--lazy"]),
    ("mount ", REFS),
    ("mount -o noexec os/", REFS[1:]),
    ("show --json os/s", ["os/stable"]),
    ("commit -b ", REFS),
    ("switch /mnt/one ma", ["main"]),
    ("--repo /nowhere show m", []),
    ("export --compress ", ["bzip2", "gzip", "none", "xz", "zstd"]),
    ("mount --foll", ["--follow"]),
    ("config ", ["get", "set", "unset"]),
    ("mount -o noexec,allow_r", ["noexec,allow_root"]),
    ("ls main ", []),
]


def bash_words(line: str) -> list[str]:
    """As readline splits a line: "=" is a word."""
    return [word for word in re.split(r"(=)|\s+", line) if word is not None and word != ""]


def complete_in_bash(line: str, environment: dict[str, str], cwd: Path) -> list[str]:
    words = ["ostreefs", *bash_words(line)]
    if line.endswith(" "):
        words.append("")
    script = (
        f"source {shlex.quote(str(FOLDER / 'ostreefs.bash'))}\n"
        f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
        '_ostreefs\nif ((${#COMPREPLY[@]})); then printf "%s\\n" "${COMPREPLY[@]}"; fi\n'
    )
    done = run("bash", "--norc", "-c", script, env=environment, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, b""), done
    return sorted(done.stdout.decode().splitlines())


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash(
    shell_environment: dict[str, str], tmp_path: Path, line: str, expected: list[str]
) -> None:
    assert complete_in_bash(line, shell_environment, tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--repo=/nowhere show m", []),
        ("--repo=a", ["a dir"]),
        ("commit --skip-list=a", ["a dir", "a file"]),
        ("mount main a", ["a dir"]),
        ("checksum a", ["a dir", "a file"]),
        ("mount --log-file=x main a", ["a dir"]),
        ("nonsense ", []),
        ("umount /mnt/one ", []),
        ("init --mode=bare-", ["bare-user"]),
    ],
)
def test_bash_and_files(
    shell_environment: dict[str, str], tmp_path: Path, line: str, expected: list[str]
) -> None:
    (tmp_path / "a dir").mkdir()
    (tmp_path / "a file").touch()
    assert complete_in_bash(line, shell_environment, tmp_path) == expected


def tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        pytest.skip(f"needs {name}")
    return path


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish(
    shell_environment: dict[str, str], tmp_path: Path, line: str, expected: list[str]
) -> None:
    script = (
        f"source {shlex.quote(str(FOLDER / 'ostreefs.fish'))}\n"
        f"complete -C {shlex.quote(f'ostreefs {line}')}\n"
    )
    done = run(tool("fish"), "-N", "-c", script, env=shell_environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b""), done
    found = sorted(line.split("\t")[0] for line in done.stdout.decode().splitlines())
    assert found == expected


def test_zsh(shell_environment: dict[str, str], tmp_path: Path) -> None:
    """One line after the other at a prompt; a key prints what the line has become."""
    (tmp_path / "rc").write_text(
        f"fpath=({FOLDER} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump\n"
        'PROMPT=; show() { print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N show\n'
        "bindkey '^G' show\n"
        "zstyle ':completion:*' menu no; unsetopt menucomplete automenu listbeep; print ready\n"
    )
    zsh = Terminal([tool("zsh"), "-f", "-i"], shell_environment, tmp_path)
    try:
        zsh.type(f"source {tmp_path}/rc\n")
        zsh.wait_for("ready\r")
        for line, expected in [
            ("umo", "umount "),
            ("umount /mnt/t", r"umount /mnt/two\ words "),
            ("umount --la", "umount --lazy "),
            ("show --json os/s", "show --json os/stable "),
            ("commit -b ma", "commit -b main "),
            ("switch /mnt/one ma", "switch /mnt/one main "),
            ("export --compress zs", "export --compress zstd "),
            ("--repo /nowhere show m", "--repo /nowhere show m"),
            ("mount -o noexec,allow_r", "mount -o noexec,allow_root"),
            ("mount --foll", "mount --follow "),
        ]:
            zsh.type(f"ostreefs {line}\t\x07")
            found = zsh.wait_for(">>")
            assert re.findall("<<(.*?)>>", found)[-1] == f"ostreefs {expected}"
    finally:
        zsh.close()


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self._fd, terminal = pty.openpty()
        self._process = subprocess.Popen(
            words,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str) -> str:
        """What comes, up to a text."""
        said = b""
        deadline = time.monotonic() + 30
        while text.encode() not in said:
            if not select.select([self._fd], [], [], deadline - time.monotonic())[0]:
                pytest.fail(f"waited in vain for {text!r} after {said!r}")
            said += os.read(self._fd, 4096)
        return said.decode()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)
