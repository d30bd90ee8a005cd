# SPDX-License-Identifier: LGPL-2.1-or-later
"""The index: transactions, snapshots, collisions, and what is told when it is damaged."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store import environment
from ostreefs_store.errors import (
    IndexCorruptError,
    IndexFullError,
    ReadOnlyRepositoryError,
)
from ostreefs_store.index import Index, file_number
from ostreefs_store.model import Digest
from tests.support.crash import call_in_child


def digest_of(number: int, rest: int = 0) -> Digest:
    """Craft a digest with this file number; `rest` tells those with the same one apart."""
    return Digest((number << 194 | rest).to_bytes(32, "big"))


def make(path: Path) -> Path:
    path.mkdir()
    Index.create(path)
    return path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index.open(make(tmp_path / "index"), writable=True)
    yield opened
    opened.close()


def fill(index: Index, count: int = 2000) -> None:
    with index.transaction() as transaction:
        transaction.put_files((digest_of(n + 1), bytes([n % 256]) * 100) for n in range(count))


def test_round_trip(index: Index) -> None:
    one, two, three = digest_of(1), digest_of(2), digest_of(3)
    with index.transaction() as transaction:
        transaction.put_files([(two, b"file 2"), (one, b"file 1")])
        transaction.put_trees([(one, b"tree")])
        transaction.put_commit(three, b"commit")
        transaction.put_object_files([(2**63, one, three), (5, two, three)])
        transaction.put_directory_records([(b"k" * 16, b"record")])
        transaction.set_ref("a/b", three)
    with index.snapshot() as snapshot:
        assert snapshot.find_file(one) == b"file 1"
        assert snapshot.find_files([two, three, one]) == {one: b"file 1", two: b"file 2"}
        assert snapshot.find_files([]) == {}
        assert (snapshot.find_tree(one), snapshot.find_tree(two)) == (b"tree", None)
        assert (snapshot.has_tree(one), snapshot.has_tree(two)) == (True, False)
        assert (snapshot.find_commit(three), snapshot.find_commit(one)) == (b"commit", None)
        assert snapshot.holders_of(three) == [one, two]
        assert snapshot.holders_of(one) == []
        assert (snapshot.find_by_inode(2**63), snapshot.find_by_inode(6)) == (one, None)
        assert snapshot.find_directory_record(b"k" * 16) == b"record"
        assert (snapshot.find_ref("a/b"), snapshot.find_ref("a")) == (three, None)
        assert list(snapshot.iter_objects("files")) == [(one, b"file 1"), (two, b"file 2")]
        assert snapshot.count("files") == 2


@pytest.mark.parametrize("ref", ["", "x" * 600, "\udcff", "\0", "a" * 511])
def test_refs_that_cannot_be(index: Index, ref: str) -> None:
    with index.snapshot() as snapshot:
        assert snapshot.find_ref(ref) is None
        assert list(snapshot.iter_refs(ref)) == []


def test_refs_by_prefix(index: Index) -> None:
    refs = ["a", "a-b", "a.c", "a/b", "a/c/d", "a0", "b"]
    with index.transaction() as transaction:
        for ref in refs:
            transaction.set_ref(ref, digest_of(1))
    with index.snapshot() as snapshot:
        assert [ref for ref, _ in snapshot.iter_refs()] == refs
        assert [ref for ref, _ in snapshot.iter_refs("a")] == ["a", "a/b", "a/c/d"]
        assert [ref for ref, _ in snapshot.iter_refs("a/c")] == ["a/c/d"]
        assert [ref for ref, _ in snapshot.iter_refs("c")] == []
    with index.transaction() as transaction:
        assert transaction.delete_ref("a")
        assert not transaction.delete_ref("a")


def test_commits_from(index: Index) -> None:
    with index.transaction() as transaction:
        for number in (1, 2**60, 2**61):
            transaction.put_commit(digest_of(number), b"commit")
    with index.snapshot() as snapshot:
        found = [commit for commit, _ in snapshot.commits_from(b"\x10")]
        assert found == [digest_of(2**60), digest_of(2**61)]
        assert len(list(snapshot.commits_from(b""))) == 3
        assert not list(snapshot.commits_from(b"\xff"))


# ---- collisions ----


def test_file_number() -> None:
    assert file_number(bytes([0xFF] * 32)) == 2**62 - 1
    assert file_number(digest_of(12345, 1)) == 12345


def test_collisions_in_one_transaction(index: Index) -> None:
    alike = [digest_of(7, rest) for rest in (0, 5, 2**194 - 1)]
    other = digest_of(8)
    with index.transaction() as transaction:
        transaction.put_files([(digest, b"f") for digest in (*alike, other)])
    with index.snapshot() as snapshot:
        assert [snapshot.has_collision(digest) for digest in (*alike, other)] == [True] * 3 + [
            False
        ]
        assert snapshot.collision_count() == 3
        assert snapshot.find_by_number(7) == (alike[0], b"f")
        assert snapshot.find_by_number(8) == (other, b"f")
        assert snapshot.find_by_number(9) is None
        assert snapshot.find_by_number(6) is None


def test_collisions_across_transactions(index: Index) -> None:
    first, second, third = digest_of(7, 9), digest_of(7, 3), digest_of(7, 12)
    for digests in ([first, digest_of(6)], [first], [second, digest_of(8)], [third, first]):
        with index.transaction() as transaction:
            transaction.put_files([(digest, b"f") for digest in digests])
        with index.snapshot() as snapshot:
            expected = {first: 0, second: 2, third: 3}[digests[0]]
            assert snapshot.collision_count() == expected
    with index.snapshot() as snapshot:
        assert all(snapshot.has_collision(digest) for digest in (first, second, third))
        assert not snapshot.has_collision(digest_of(6))


# ---- transactions ----


def test_snapshot_does_not_see_what_comes_later(index: Index) -> None:
    with index.snapshot() as before:
        with index.transaction() as transaction:
            transaction.set_ref("main", digest_of(1))
            assert transaction.find_ref("main") == digest_of(1)
            assert before.find_ref("main") is None
        assert before.find_ref("main") is None
    with index.snapshot() as after:
        assert after.find_ref("main") == digest_of(1)


def test_transaction_that_raises_is_undone(index: Index) -> None:
    def fail() -> None:
        with index.transaction() as transaction:
            transaction.set_ref("main", digest_of(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with index.snapshot() as snapshot:
        assert snapshot.find_ref("main") is None


def test_writers_wait_for_each_other(index: Index) -> None:
    """Another process adds to a counter beside us; nothing is lost."""
    index.close()
    path = index.path

    def count_up() -> None:
        opened = Index.open(path, writable=True)
        for _ in range(50):
            with opened.transaction() as transaction:
                found = transaction.find_ref("counter") or bytes(32)
                number = int.from_bytes(found, "big") + 1
                transaction.set_ref("counter", Digest(number.to_bytes(32, "big")))
        opened.close()

    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                count_up()
            except BaseException:  # noqa: BLE001 -- the status says it
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    opened = Index.open(path, writable=False)
    with opened.snapshot() as snapshot:
        assert snapshot.find_ref("counter") == (100).to_bytes(32, "big")
    opened.close()


def test_full_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MAP_SIZE", 1 << 20)
    index = Index.open(make(tmp_path / "index"), writable=True)
    fill(index, 100)
    with pytest.raises(IndexFullError) as caught:
        fill(index, 20_000)
    assert caught.value.path == str(tmp_path / "index")
    with index.snapshot() as snapshot:
        assert snapshot.count("files") == 100
    fill(index, 200)
    index.close()


# ---- opening ----


def test_create_is_harmless_when_one_is_there(index: Index) -> None:
    fill(index, 3)
    index.close()
    Index.create(index.path)
    opened = Index.open(index.path, writable=False)
    with opened.snapshot() as snapshot:
        assert snapshot.count("files") == 3
    opened.close()


def test_read_only_open_writes_nothing(index: Index) -> None:
    fill(index, 3)
    index.close()
    before = (index.path / "data.mdb").read_bytes()
    opened = Index.open(index.path, writable=False)
    with opened.snapshot() as snapshot:
        assert snapshot.count("files") == 3
    with pytest.raises(ReadOnlyRepositoryError), opened.transaction():
        pass
    opened.close()
    assert (index.path / "data.mdb").read_bytes() == before


@pytest.mark.root
def test_another_user_may_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    index = Index.open(make(tmp_path / "index"), writable=True)
    fill(index, 3)
    index.close()

    def read() -> int:
        opened = Index.open(tmp_path / "index", writable=False)
        with opened.snapshot() as snapshot:
            return snapshot.count("files")

    assert call_in_child(read, uid=1234) == 3
    with pytest.raises(ReadOnlyRepositoryError):
        call_in_child(lambda: Index.open(tmp_path / "index", writable=True), uid=1234)


@pytest.mark.parametrize("writable", [False, True])
def test_missing(tmp_path: Path, *, writable: bool) -> None:
    path = make(tmp_path / "index")
    (path / "data.mdb").unlink()
    with pytest.raises(IndexCorruptError) as caught:
        Index.open(path, writable=writable)
    assert caught.value.path == str(path)
    assert os.listdir(path) == ["lock.mdb"], "nothing new may stand in its place"


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 4096, 8192, 3 * 4096, 10 * 4096, 50 * 4096])
def test_truncated(tmp_path: Path, size: int, *, writable: bool) -> None:
    """Whoever maps a file that is too short gets SIGBUS, unless somebody looked before."""
    path = make(tmp_path / "index")
    index = Index.open(path, writable=True)
    fill(index)
    index.close()
    data = path / "data.mdb"
    assert data.stat().st_size > size
    os.truncate(data, size)

    def read_all() -> int:
        opened = Index.open(path, writable=writable)
        with opened.snapshot() as snapshot:
            return len(list(snapshot.iter_objects("files")))

    with pytest.raises(IndexCorruptError) as caught:
        call_in_child(read_all)
    assert caught.value.path == str(path)


def test_last_pages_that_nothing_refers_to_may_be_missing(tmp_path: Path) -> None:
    path = make(tmp_path / "index")
    index = Index.open(path, writable=True)
    fill(index)
    index.close()
    with (path / "data.mdb").open("r+b") as file:
        for meta_page in (0, 4096):  # mm_last_pg of both: as if it had allocated two more
            file.seek(meta_page + 136)
            last = int.from_bytes(file.read(8), "little")
            file.seek(-8, os.SEEK_CUR)
            file.write((last + 2).to_bytes(8, "little"))

    def read_and_write() -> int:
        opened = Index.open(path, writable=True)
        fill(opened, 3000)
        with opened.snapshot() as snapshot:
            return len(list(snapshot.iter_objects("files")))

    assert call_in_child(read_and_write) == 3000


@pytest.mark.parametrize("writable", [False, True])
def test_garbage(tmp_path: Path, *, writable: bool) -> None:
    path = make(tmp_path / "index")
    (path / "data.mdb").write_bytes(b"\x5a" * 65536)
    with pytest.raises(IndexCorruptError):
        Index.open(path, writable=writable)


@pytest.mark.parametrize("writable", [False, True])
def test_garbled_pages(tmp_path: Path, *, writable: bool) -> None:
    """The pages of the trees are overwritten; those that say where they are stand."""
    path = make(tmp_path / "index")
    index = Index.open(path, writable=True)
    fill(index)
    index.close()
    with (path / "data.mdb").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(8192)
        file.write(b"\x5a" * (size - 8192))

    def read_all() -> int:
        opened = Index.open(path, writable=writable)
        with opened.snapshot() as snapshot:
            return len(list(snapshot.iter_objects("files")))

    with pytest.raises(IndexCorruptError):
        call_in_child(read_all)


def test_a_transaction_forgets_readers_that_were_killed(index: Index) -> None:
    """A process may commit as often as it likes: each time its workers are killed as they read."""
    fill(index, 1)
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        with index.reopen().snapshot():
            os.write(opener, b"x")
            signal.pause()
        os._exit(1)
    os.read(gate, 1)
    os.close(gate)
    os.close(opener)
    assert str(pid) in readers_of(index)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert str(pid) in readers_of(index)
    fill(index, 2)
    assert str(pid) not in readers_of(index)


def readers_of(index: Index) -> list[str]:
    """The processes that are in LMDB's table of readers."""
    table: str = index._environment.readers()
    return [line.split()[0] for line in table.splitlines()[1:]]
