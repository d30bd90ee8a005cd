# SPDX-License-Identifier: LGPL-2.1-or-later
"""Histories of builds for tests: real trees with packages, forks and merges."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ostreefs_store.codec import commit_digest, encode_commit
from ostreefs_store.model import Commit, Digest, MetadataValue
from ostreefs_store.refs import read_commit
from ostreefs_store.repository import Repository
from tests.support.commits import commit_files

DAY = 86400
START = 1_767_225_600
"""2026-01-01."""


def dpkg_status(packages: Mapping[str, str]) -> bytes:
    """dpkg's database of packages with their versions."""
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
        f"Version: {version}\nDescription: something\n\n"
        for name, version in sorted(packages.items())
    ).encode()


class Builder:
    """Makes builds, one a day, in a repository."""

    def __init__(self, path: Path, source: Path) -> None:
        Repository.init(path, "bare-user")
        self.path = path
        self._source = source
        self._day = 0

    def build(
        self,
        files: Mapping[str, bytes],
        *,
        subject: str = "",
        body: str = "",
        parents: Sequence[Digest] = (),
        ref: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
    ) -> Digest:
        """A commit of these files with any parents."""
        with Repository.open(self.path, writable=True) as repository:
            made = commit_files(repository, self._source, files, "scratch", parent="none")
            with repository.index.transaction() as transaction:
                commit = Commit(
                    read_commit(transaction, made).root,
                    tuple(parents),
                    START + self._day * DAY,
                    subject,
                    body,
                    dict(metadata or {}),
                )
                encoded = encode_commit(commit)
                digest = commit_digest(encoded)
                transaction.put_commit(digest, encoded)
                transaction.delete_ref("scratch")
                if ref is not None:
                    transaction.set_ref(ref, digest)
        self._day += 1
        return digest
