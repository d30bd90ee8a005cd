# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running `ostreefs` in a process of its own, as ourselves or as an ordinary user."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.project import ROOT

Word = str | bytes | Path
Done = subprocess.CompletedProcess[bytes]

NOBODY = 65534
_FUSE = Path("/dev/fuse")
_PACKAGES = ("blake3", "jinja2", "lmdb", "msgspec", "pyfuse3", "tqdm", "trio", "zstandard")


@dataclass(frozen=True)
class Account:
    """Who runs a command, with which interpreter, and where he may write."""

    python: str
    path: tuple[Path, ...]
    uid: int | None = None
    home: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess` needs to know."""
        found: dict[str, Any] = {"env": self.environment()}
        if self.uid is not None:
            found |= {"user": self.uid, "group": self.uid, "extra_groups": [], "cwd": self.home}
        return found

    def environment(self) -> dict[str, str]:
        """Nothing of ours that could change what a command does."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OSTREEFS_", "PYTHON"))}
        env["PYTHONPATH"] = os.pathsep.join(map(str, self.path))
        return env | self.variables


OURSELVES = Account(sys.executable, (ROOT, ROOT / "store"))


def command(*words: Word, account: Account = OURSELVES) -> list[Word]:
    """`ostreefs` with these words, as a command for `subprocess`."""
    return [account.python, "-m", "ostreefs", *words]


def ostreefs(*words: Word, account: Account = OURSELVES, **arguments: Any) -> Done:
    """Run `ostreefs` to its end."""
    return run(*command(*words, account=account), account=account, **arguments)


def run(*words: Word, account: Account = OURSELVES, **arguments: Any) -> Done:
    """Run a command to its end, its output captured."""
    chosen: dict[str, Any] = {"capture_output": True, "timeout": 60}
    chosen |= account.popen_arguments() | arguments
    done: Done = subprocess.run(words, check=False, **chosen)
    return done


def output(*words: Word, account: Account = OURSELVES, **arguments: Any) -> bytes:
    """What a command prints that must succeed and say nothing else."""
    done = run(*words, account=account, **arguments)
    assert (done.returncode, done.stderr) == (0, b""), (words, done)
    return bytes(done.stdout)


def ostreefs_output(*words: Word, account: Account = OURSELVES, **arguments: Any) -> bytes:
    """What `ostreefs` prints; it must succeed and say nothing else."""
    return output(*command(*words, account=account), account=account, **arguments)


def complaint(done: Done) -> str:
    """The error of a command that failed: one line on stderr, perhaps with a hint, no output."""
    assert done.stdout == b"", done
    lines = done.stderr.decode().removesuffix("\n").split("\n")
    assert lines[0].startswith("ostreefs: error: "), done
    assert all(line.startswith("ostreefs: hint: ") for line in lines[1:]), done
    assert len(lines) <= 2, done
    return lines[0].removeprefix("ostreefs: error: ")


@contextmanager
def ordinary_user() -> Iterator[Account]:
    """Someone without privileges, with a folder that he may write.

    Root becomes `nobody` for it, who may not enter root's folders: so he gets links to what he
    must import. /dev/fuse is opened to all meanwhile, as every distribution has it.
    """
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="ostreefs-test-"))
        stack.callback(shutil.rmtree, home)
        if os.geteuid() != 0:
            yield Account(OURSELVES.python, OURSELVES.path, home=home)
            return
        home.chmod(0o755)
        libraries = home / "lib"
        _copy_imports(libraries)
        own = home / "home"
        own.mkdir()
        os.chown(own, NOBODY, NOBODY)
        if _FUSE.exists():
            stack.callback(_FUSE.chmod, stat.S_IMODE(_FUSE.stat().st_mode))
            _FUSE.chmod(0o666)
        python = os.path.realpath(sys.executable)
        account = Account(python, (libraries,), NOBODY, own, {"HOME": str(own)})
        if run(python, "-c", "import ostreefs", account=account).returncode != 0:
            import pytest  # noqa: PLC0415 -- what runs without pytest uses the rest

            pytest.skip("needs an interpreter that an ordinary user may run")
        yield account


def _copy_imports(target: Path) -> None:
    """Copy our packages and all that they need, by hard links where that can be."""
    sources = {ROOT / "ostreefs", ROOT / "store/ostreefs_store"}
    code = f"import sys, {', '.join(_PACKAGES)}, trio.testing\nprint('\\n'.join(" + (
        "m.__file__ for n, m in sys.modules.items() if '.' not in n"
        " and 'site-packages' in (getattr(m, '__file__', None) or '')))"
    )
    for line in output(sys.executable, "-c", code).decode().splitlines():
        file = Path(line)
        sources.add(file.parent if file.name.startswith("__init__.") else file)
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, target / source.name, copy_function=_link_or_copy)
        else:
            target.mkdir(exist_ok=True)
            _link_or_copy(str(source), str(target / source.name))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
