# SPDX-License-Identifier: LGPL-2.1-or-later
"""What only a process of its own shows: exit statuses, streams, signals, the environment."""

import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs import __version__
from ostreefs.cli.dispatch import GROUPS, VERBS
from ostreefs_store.repository import Repository
from tests.support.commands import (
    OURSELVES,
    Account,
    command,
    complaint,
    ordinary_user,
    ostreefs,
    ostreefs_output,
    output,
    run,
)
from tests.support.commits import EMPTY_FILE, commit_directory, init_repository, put_commit
from tests.support.mounts import wait_until
from tests.support.trees import (
    make_deep_directory,
    make_small_tree,
    make_sparse,
    remove_tree,
    write,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a small tree as `main`, and one whose listing fills every pipe as `wide`."""
    folder = tmp_path_factory.mktemp("process")
    path = init_repository(folder / "repo")
    source = make_small_tree(folder / "source")
    make_sparse(source / "large", 32 << 20, {0: b"begin", 16 << 20: b"middle"})
    commit_directory(path, source)
    wide = {b"%06d" % number: EMPTY_FILE for number in range(20_000)}
    with (
        Repository.open(path, writable=True) as opened,
        opened.index.transaction() as transaction,
    ):
        put_commit(transaction, wide, branch="wide")
    return path


# ---- asking for help


def test_version() -> None:
    expected = f"ostreefs {__version__}\n".encode()
    for words in (["--version"], ["log", "--version"], ["-v", "--version"]):
        assert ostreefs_output(*words) == expected


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word: str) -> None:
    text = ostreefs_output(word).decode()
    assert text.startswith("usage: ostreefs ")
    for verb in VERBS:
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group(group: str) -> None:
    text = ostreefs_output(group, "--help").decode()
    for verb, (_, summary) in GROUPS[group].items():
        assert f"\n  {verb:<12} {summary}\n" in text
    done = ostreefs(group)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", text.encode())
    assert ostreefs(group, "nonsense").returncode == 2


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in GROUPS])
def test_help_of_a_verb(verb: str) -> None:
    text = ostreefs_output(verb, "--help").decode()
    assert text.startswith(f"usage: ostreefs {verb} ")
    assert "--repo PATH" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("words", [[], ["-v"], ["--repo", "/x"], ["--repo"]], ids=str)
def test_without_a_verb(words: list[str]) -> None:
    done = ostreefs(*words)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"usage: ostreefs ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["new\nline"],
        ["log"],
        ["log", "--nonsense", "main"],
        ["log", "-n", "many", "main"],
        ["init", "--mode=archive"],
        ["mount", "main"],
        ["mount", "--all", "main", "/mnt"],
        ["mount", "a", "b", "c"],
        ["umount"],
        ["umount", "/a", "/b"],
        ["run", "main"],
        ["run", "--upper=/x", "main", "true"],
        ["run", "--chdir=x", "main", "true"],
        ["run", "--network", "--no-network", "main", "true"],
        ["shell"],
        ["fsck", "more"],
        ["cat", "main"],
        ["--repo", "/x", "rev-parse"],
    ],
    ids=str,
)
def test_wrong_usage(words: list[str]) -> None:
    done = ostreefs(*words)
    assert done.returncode == 2
    complaint(done)
    assert b"--help'" in done.stderr


# ---- which repository


@pytest.mark.parametrize("place", ["before", "after", "joined", "environment"])
def test_ways_to_name_the_repository(repository: Path, place: str) -> None:
    words: list[str | Path] = ["refs"]
    account = OURSELVES
    match place:
        case "before":
            words = ["--repo", repository, "refs"]
        case "after":
            words = ["refs", "--repo", repository]
        case "joined":
            words = [f"--repo={repository}", "refs"]
        case _:
            variables = {"OSTREEFS_REPO": str(repository)}
            account = Account(OURSELVES.python, OURSELVES.path, variables=variables)
    assert ostreefs_output(*words, account=account) == b"main\nwide\n"


def test_option_before_environment(repository: Path) -> None:
    variables = {"OSTREEFS_REPO": "/nowhere"}
    account = Account(OURSELVES.python, OURSELVES.path, variables=variables)
    assert ostreefs_output("--repo", repository, "refs", account=account)
    assert "/nowhere is not" in complaint(ostreefs("refs", account=account))


def test_default_repository() -> None:
    if os.path.exists("/ostree/repo"):
        pytest.skip("needs a machine without /ostree/repo")
    assert "/ostree/repo is not an ostreefs repository" in complaint(ostreefs("refs"))


def test_global_options_anywhere(repository: Path) -> None:
    expected = ostreefs_output("--json", "--repo", repository, "refs")
    assert expected.startswith(b"{")
    assert ostreefs_output("refs", "--repo", repository, "--json") == expected
    assert ostreefs_output("-v", "--json", "refs", "--repo", repository) == expected


def test_options_between_words(repository: Path) -> None:
    expected = ostreefs_output("--repo", repository, "ls", "-d", "main", "/etc", "/usr")
    words = ("ls", "main", "--repo", repository, "/etc", "-d", "/usr")
    assert ostreefs_output(*words) == expected


# ---- streams


@pytest.mark.parametrize(
    "words", [["ls", "wide"], ["cat", "main", "/large"], ["--json", "ls", "wide"]], ids=str
)
def test_broken_pipe(repository: Path, words: list[str]) -> None:
    with subprocess.Popen(
        command("--repo", repository, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **OURSELVES.popen_arguments(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 141


def test_full_disk_for_the_output(repository: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run(
            *command("--repo", repository, "ls", "main"),
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"ostreefs: error: No space left on device\n")


@pytest.mark.parametrize(
    "words", [["refs"], ["cat", "main", "/large"], ["refs", "--help"]], ids=str
)
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams(repository: Path, words: list[str], closed: str) -> None:
    """What nobody wants is dropped."""
    line = shlex.join(map(str, command("--repo", repository, *words)))
    assert output("sh", "-c", f"{line} {closed}") == b""


def test_error_without_streams(repository: Path) -> None:
    line = shlex.join(map(str, command("--repo", repository, "show", "nonsense")))
    assert run("sh", "-c", f"{line} <&- >&- 2>&-").returncode == 1


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A tree of more levels than a process may have files."""
    make_deep_directory(tmp_path / "deep", b"d", 100)
    return tmp_path / "deep"


def test_soft_limit_of_open_files(repository: Path, deep: Path) -> None:
    words = command("--repo", repository, "commit", "-b", "deep", deep)
    output("sh", "-c", f"ulimit -Sn 64; exec {shlex.join(map(str, words))}")


def test_hard_limit_of_open_files(repository: Path, deep: Path) -> None:
    words = command("--repo", repository, "commit", "-b", "deep", deep)
    done = run("sh", "-c", f"ulimit -n 64; exec {shlex.join(map(str, words))}")
    if done.returncode != 0:  # should it ever hold fewer, so much the better
        assert done.returncode == 1
        assert complaint(done).endswith("Too many open files")
        assert b"ulimit -n" in done.stderr


def test_interrupted(repository: Path) -> None:
    """While it waits for whoever reads its output."""
    with subprocess.Popen(
        command("--repo", repository, "cat", "main", "/large"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **OURSELVES.popen_arguments(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == b""
        assert process.wait(10) == 130


def test_interrupted_commit(repository: Path, tmp_path: Path) -> None:
    """The workers end, too; the ref stays."""
    before = ostreefs_output("--repo", repository, "refs", "--json")
    for number in range(2000):
        write(tmp_path / f"tree/{number % 20}/{number}", os.urandom(100))
    make_sparse(tmp_path / "tree/huge", 1 << 36, {0: b"x"})
    process = subprocess.Popen(
        command("--repo", repository, "commit", "-b", "new", tmp_path / "tree"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **OURSELVES.popen_arguments(),
    )
    staged = repository / "tmp"
    wait_until(lambda: process.poll() is not None or any(staged.iterdir()), "the commit to write")
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, (b"", b""))
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert ostreefs_output("--repo", repository, "refs", "--json") == before
    assert ostreefs_output("--repo", repository, "fsck", "-q") == b""


def test_output_without_a_locale(repository: Path, tmp_path: Path) -> None:
    write(tmp_path / "tree" / "é\n", b"x")
    account = Account(
        OURSELVES.python, OURSELVES.path, variables={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    )
    words = ("commit", "-b", "accents", "-s", "é", tmp_path / "tree")
    ostreefs_output("--repo", repository, *words, account=account)
    listed = ostreefs_output("--repo", repository, "ls", "accents", account=account)
    assert "/é\n\n".encode() in listed
    assert "    é\n".encode() in ostreefs_output(
        "--repo", repository, "log", "accents", account=account
    )
    done = ostreefs("--repo", tmp_path / "né", "refs", account=account)
    assert done.returncode == 1
    complaint(done)


# ---- a bug


def test_a_bug_is_shown_whole(repository: Path) -> None:
    script = (
        "import sys\n"
        "import ostreefs.cli.refs as refs\n"
        "def broken(arguments): raise ZeroDivisionError('oh')\n"
        "refs.run_refs = broken\n"
        "from ostreefs.cli import main\n"
        "sys.exit(main())\n"
    )
    done = run(sys.executable, "-c", script, "--repo", repository, "refs")
    assert done.returncode == 70
    assert done.stderr.startswith(b"Traceback")
    assert b"ZeroDivisionError: oh\nostreefs: error: this is a bug" in done.stderr


# ---- as an ordinary user


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with ordinary_user() as account:
        yield account


def test_user(user: Account) -> None:
    assert user.home is not None
    tree, path = user.home / "tree", user.home / "repo"
    script = "mkdir tree && echo secret > tree/secret && chmod 0 tree/secret && echo x > tree/open"
    output("sh", "-c", f"cd {user.home} && {script}", account=user)
    ostreefs_output("--repo", path, "init", account=user)
    assert 'mode = "bare-user"' in (path / "config.toml").read_text()
    words = ("--repo", path, "commit", "-b", "main", tree)
    done = ostreefs(*words, account=user)
    assert done.returncode == 1
    assert complaint(done) == f"{tree}/secret: Permission denied"
    assert ostreefs_output("--repo", path, "refs", account=user) == b""
    output("chmod", "400", tree / "secret", account=user)
    ostreefs_output(*words, account=user)
    assert ostreefs_output("--repo", path, "fsck", "-q", account=user) == b""


def test_what_a_user_may_not_delete_is_left(user: Account) -> None:
    """The commit is made all the same."""
    assert user.home is not None
    tree, path = user.home / "kept", user.home / "repo2"
    script = f"mkdir -p {tree}/closed && echo x >{tree}/closed/file && chmod 555 {tree}/closed"
    output("sh", "-c", script, account=user)
    ostreefs_output("--repo", path, "init", account=user)
    done = ostreefs("--repo", path, "commit", "-b", "main", "--consume", tree, account=user)
    assert done.returncode == 0
    assert ostreefs_output("--repo", path, "rev-parse", "main", account=user) == done.stdout
    assert done.stderr.decode().splitlines() == [
        f"ostreefs: warning: {tree}/closed/file was committed but not deleted: Permission denied",
        f"ostreefs: warning: {tree}/closed was committed but not deleted: Directory not empty",
        f"ostreefs: warning: {tree} was committed but not deleted: Directory not empty",
    ]
    assert (tree / "closed/file").read_bytes() == b"x\n"
    remove_tree(tree)


@pytest.mark.root
def test_user_of_a_repository_of_roots(user: Account) -> None:
    """Anybody may read it, nobody else may write it."""
    assert user.home is not None
    path = init_repository(user.home.parent / "roots", "bare")
    write(user.home.parent / "roots-tree/file", b"readable")
    commit_directory(path, user.home.parent / "roots-tree")
    found = ostreefs_output("--repo", path, "cat", "main", "/file", account=user)
    assert found == b"readable"
    done = ostreefs("--repo", path, "commit", "-b", "x", user.home, account=user)
    assert done.returncode == 1
    assert f"the repository {path} cannot be written" in complaint(done)


# ---- progress

SLOW = """
import sys, time
from ostreefs.cli import output
output._PATIENCE = float(sys.argv[1])
with output.ProgressBar("commit", " files") as bar:
    for done in range(1, 4):
        bar.update(done, 3, note="1 KiB")
"""


def on_a_terminal(*words: str | Path) -> bytes:
    """What a command writes on a terminal."""
    primary, secondary = pty.openpty()
    termios.tcsetwinsize(secondary, (24, 80))
    process = subprocess.Popen(
        words, stdin=secondary, stdout=secondary, stderr=secondary, **OURSELVES.popen_arguments()
    )
    os.close(secondary)
    said = b""
    deadline = time.monotonic() + 30
    while select.select([primary], [], [], deadline - time.monotonic())[0]:
        try:
            piece = os.read(primary, 65536)
        except OSError:
            break
        said += piece
    os.close(primary)
    assert process.wait(10) == 0
    return said


def test_progress_on_a_terminal() -> None:
    said = on_a_terminal(sys.executable, "-c", SLOW, "0")
    assert b"commit: " in said
    assert b"3.00/3.00" in said or b"3/3" in said.replace(b".00", b"")
    assert said.rstrip(b" ").endswith(b"\r")  # taken away again


def test_no_progress_for_short_work() -> None:
    assert on_a_terminal(sys.executable, "-c", SLOW, "60") == b""


def test_no_progress_without_a_terminal() -> None:
    assert output(sys.executable, "-c", SLOW, "0") == b""


LONG = """
import sys
from ostreefs.cli import main, output
output._PATIENCE = 0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["commit", "checkout", "fsck"])
def test_progress_of_long_work(repository: Path, tmp_path: Path, verb: str) -> None:
    for number in range(600):
        write(tmp_path / f"tree/{number}", b"%d" % number)
    words = {
        "commit": ["-b", "long", str(tmp_path / "tree")],
        "checkout": ["-U", "main", str(tmp_path / "out")],
        "fsck": ["-q"],
    }[verb]
    command_line = [sys.executable, "-c", LONG, "--repo", str(repository), verb, *words]
    assert verb.encode() + b":" in on_a_terminal(*command_line)
    if verb == "checkout":
        command_line[-1] += "2"
    assert b":" not in output(*command_line)
