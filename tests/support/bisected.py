# SPDX-License-Identifier: LGPL-2.1-or-later
"""A history of builds to be bisected."""

import json
from pathlib import Path
from typing import Any

from ostreefs_store.repository import Repository
from tests.support.commands import (
    Account,
    Done,
    Word,
    command,
    complaint,
    run,
)
from tests.support.commits import commit_files, init_repository

BUILDS = 30
FAULT = 17
TEST = 'read -r number < "$OSTREEFS_MOUNT/usr/number"; echo "build $number"; '
JUDGE = TEST + f'test "$number" -lt {FAULT}'


class Builds:
    """A repository with 30 builds on `main`; from the 17th on something is wrong."""

    def __init__(self, place: Path, account: Account) -> None:
        self.account = account
        self.repository = init_repository(place / "repo")
        self.mount = place / "mnt"
        self.ids: list[str] = []
        with Repository.open(self.repository, writable=True) as opened:
            for number in range(BUILDS):
                files = {"usr/number": b"%d\n" % number, "etc/half": b"%d" % (number // 2)}
                digest = commit_files(opened, place / "source", files, timestamp=number)
                self.ids.append(digest.hex())
        if account.uid is not None:
            run("chown", "-R", f"{account.uid}", place)

    def bisect(self, *words: Word, account: Account | None = None, **options: Any) -> Done:
        words = ("--repo", self.repository, "bisect", *words)
        account = account or self.account
        return run(*command(*words, account=account), account=account, **options)

    def ok(self, *words: Word, **options: Any) -> str:
        done = self.bisect(*words, **options)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def json(self, *words: Word) -> Any:
        return json.loads(self.ok("--json", *words))

    def fails(self, *words: Word) -> str:
        done = self.bisect(*words)
        assert done.returncode == 1, done
        return complaint(done)

    def start(self, *words: Word) -> str:
        return self.ok("start", f"--mount={self.mount}", *words)

    def shown(self) -> int:
        """The number of the build that can be seen."""
        looked = run("cat", self.mount / "usr/number", account=self.account)
        return int(looked.stdout)
