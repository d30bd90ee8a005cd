# SPDX-License-Identifier: LGPL-2.1-or-later
"""The namespace of a mount, without one."""

import os
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from blake3 import blake3

from ostreefs.fuse import tree
from ostreefs.fuse.listing import Listed, Listing
from ostreefs.fuse.nodes import Attributes, Found, StaleError
from ostreefs.fuse.tree import ROOT, Namespace
from ostreefs_store.codec import encode_file, file_digest
from ostreefs_store.errors import ObjectMissingError
from ostreefs_store.leases import Leases, claim, find_leased
from ostreefs_store.model import (
    BlockDevice,
    CharDevice,
    Digest,
    Fifo,
    File,
    RegularFile,
    Symlink,
)
from ostreefs_store.refs import delete_refs, read_commit
from ostreefs_store.repository import Repository
from tests.support.commits import EMPTY_FILE, Content, init_repository, put_commit, put_file

XATTRS = ((b"security.capability", b"\1\0\0\2"), (b"user.a", b""), (b"user.b", b"\xff\0"))

KINDS: dict[str, tuple[File, tuple[int, int, int, int]]] = {
    "regular": (
        RegularFile(0o4755, 1, 2, XATTRS, Digest(b"c" * 32), 5 << 30),
        (stat.S_IFREG | 0o4755, 5 << 30, 0, 0),
    ),
    "empty": (EMPTY_FILE, (stat.S_IFREG | 0o644, 0, 0, 0)),
    "symlink": (Symlink(3, 4, (), b"to\xff\n"), (stat.S_IFLNK | 0o777, 4, 0, 0)),
    "fifo": (Fifo(0o620, 0, 5, ()), (stat.S_IFIFO | 0o620, 0, 0, 0)),
    "char": (CharDevice(0o666, 0, 0, (), 1, 3), (stat.S_IFCHR | 0o666, 0, 1, 3)),
    "block": (
        BlockDevice(0o660, 0, 6, (), 4095, 1048575),
        (stat.S_IFBLK | 0o660, 0, 4095, 1048575),
    ),
}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(init_repository(tmp_path / "repo"), writable=True) as opened:
        yield opened


Show = Callable[[Content], Namespace]


@pytest.fixture
def show(repository: Repository) -> Show:
    """Make up a commit, and show it."""

    def make(content: Content) -> Namespace:
        return Namespace(repository, commit(repository, content))

    return make


def commit(
    repository: Repository,
    content: Content,
    *,
    branch: str | None = None,
    commit_id: Digest | None = None,
) -> Digest:
    with repository.index.transaction() as transaction:
        return put_commit(transaction, content, branch=branch, commit_id=commit_id)


def enter(namespace: Namespace, *names: bytes) -> Found:
    """Look a path up as the kernel does, acknowledging all of it."""
    number, found = ROOT, None
    for name in names:
        found = namespace.lookup(number, name)
        assert found is not None, name
        if found.node is not None:
            namespace.acknowledge(found.node)
        number = found.attributes.number
    assert found is not None
    return found


def number_of(namespace: Namespace, *names: bytes) -> int:
    return enter(namespace, *names).attributes.number


def names_in(namespace: Namespace, number: int, position: int = 0) -> list[bytes]:
    listing = namespace.list_directory(number)
    return [found.name for _, found in listing.entries_from(position)]


def target_of(namespace: Namespace, *names: bytes) -> bytes | None:
    return namespace.link_target(number_of(namespace, *names))


# ---- what a commit holds


@pytest.mark.parametrize("kind", KINDS)
def test_equal_files_apart(repository: Repository, kind: str) -> None:
    file, _ = KINDS[kind]
    content: Content = {b"x": file, b"y": file, b"d": {b"x": file}}
    namespace = Namespace(repository, commit(repository, content), apart=True)
    numbers = [number_of(namespace, *names) for names in ([b"x"], [b"y"], [b"d", b"x"])]
    assert len({*numbers}) == 3
    known = len(namespace)
    for number in numbers:
        assert namespace.attributes(number).number == number
        assert namespace.file(number) == (file_digest(encode_file(file)), file)
        assert namespace.xattrs(number) == file.xattrs
        assert {b"user.ostreefs.object", b"user.ostreefs.commit"} <= {*namespace.identity(number)}
        with pytest.raises(NotADirectoryError):
            namespace.lookup(number, b"x")
    assert number_of(namespace, b"y") == numbers[1]
    listed = namespace.list_directory(ROOT).entries_from(0)
    assert {found.attributes.number for _, found in listed} >= {*numbers[:2]}
    namespace.forget(numbers[1], 2)
    assert len(namespace) == known - 1
    with pytest.raises(StaleError):
        namespace.attributes(numbers[1])
    assert number_of(namespace, b"y") == numbers[1]


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_each_kind(show: Show, kind: str) -> None:
    file, (mode, size, major, minor) = KINDS[kind]
    namespace = show({b"x": file})
    number = number_of(namespace, b"x")
    expected = Attributes(number, mode, file.uid, file.gid, size, major, minor, fixed=True)
    assert enter(namespace, b"x").attributes == expected
    assert namespace.attributes(number) == expected
    assert namespace.file(number) == (file_digest(encode_file(file)), file)
    assert namespace.xattrs(number) == file.xattrs
    assert namespace.link_target(number) is None


def test_directories(show: Show) -> None:
    namespace = show({b"a": {b"b": {}}})
    inner = enter(namespace, b"a", b"b").attributes
    assert stat.S_ISDIR(inner.mode)
    assert (stat.S_IMODE(inner.mode), inner.uid, inner.gid, inner.fixed) == (0o755, 0, 0, True)
    assert namespace.attributes(inner.number) == inner
    assert names_in(namespace, inner.number) == []


def test_lookup_of_what_is_not_there(show: Show) -> None:
    namespace = show({b"file": EMPTY_FILE, b"dir": {}})
    assert namespace.lookup(ROOT, b"File") is None
    assert namespace.lookup(ROOT, b"commits") is None
    assert namespace.lookup(number_of(namespace, b"dir"), b"file") is None


def test_numbers_that_nobody_has(show: Show) -> None:
    namespace = show({b"file": EMPTY_FILE, b"dir": {}})
    unknown_file = number_of(namespace, b"file") ^ 4
    unknown_directory = number_of(namespace, b"dir") ^ 4
    for number in (unknown_file, unknown_directory, 0, 2, (1 << 62) - 1, (1 << 63) - 1):
        with pytest.raises(StaleError):
            namespace.attributes(number)
        with pytest.raises(StaleError):
            namespace.xattrs(number)
        with pytest.raises(StaleError):
            namespace.identity(number)
    for number in (unknown_directory, 0, 2):
        with pytest.raises(StaleError):
            namespace.lookup(number, b"x")
        with pytest.raises(StaleError):
            namespace.list_directory(number)


def test_a_file_is_no_directory(show: Show) -> None:
    namespace = show({b"file": EMPTY_FILE})
    number = number_of(namespace, b"file")
    with pytest.raises(NotADirectoryError):
        namespace.lookup(number, b"x")
    with pytest.raises(NotADirectoryError):
        namespace.list_directory(number)
    with pytest.raises(NotADirectoryError):
        namespace.lookup(number, b"..")


def test_dot_of_what_is_no_directory(repository: Repository) -> None:
    """It is how the kernel finds a number again that it has forgotten."""
    commit(repository, {b"file": EMPTY_FILE}, branch="main")
    namespace = Namespace(repository, None)
    link = enter(namespace, b"refs", b"main")
    target = namespace.link_target(link.attributes.number)
    assert target is not None
    file = enter(namespace, b"commits", target.split(b"/")[-1], b"file")
    assert namespace.lookup(file.attributes.number, b".") == (b".", file.attributes, None)
    assert namespace.lookup(link.attributes.number, b".") == (b".", link.attributes, link.node)
    for stale in (file.attributes.number ^ 4, link.attributes.number ^ 4):
        with pytest.raises(StaleError):
            namespace.lookup(stale, b".")


def test_a_lease_ends_when_the_kernel_forgets(repository: Repository) -> None:
    one = commit(repository, {b"file": EMPTY_FILE, b"d": {}})
    other = commit(repository, {b"other": EMPTY_FILE})
    with Leases(repository.path) as leases:
        namespace = Namespace(repository, None, leases)
        root = enter(namespace, b"commits", one.hex().encode())
        enter(namespace, b"commits", other.hex().encode())
        assert find_leased(repository.path, [one, other]) == set()
        assert number_of(namespace, b"commits", one.hex().encode(), b"d")
        assert find_leased(repository.path, [one, other]) == {one}
        namespace.forget(root.attributes.number, 1)
        assert find_leased(repository.path, [one]) == {one}
        namespace.forget(root.attributes.number, 1)
        assert find_leased(repository.path, [one]) == set()


def test_a_commit_that_is_gone_is_stale(repository: Repository) -> None:
    doomed = commit(repository, {b"file": EMPTY_FILE})
    with Leases(repository.path) as leases:
        namespace = Namespace(repository, None, leases)
        number = number_of(namespace, b"commits", doomed.hex().encode())
        with claim(repository.path, [doomed], []) as is_claimed:
            assert is_claimed
            with pytest.raises(StaleError):
                namespace.lookup(number, b"file")
        with repository.index.transaction() as transaction:
            root = read_commit(transaction, doomed).root
            transaction.delete("commits", doomed)
            transaction.delete("trees", root)
        for look in (namespace.attributes, namespace.xattrs, namespace.list_directory):
            with pytest.raises(StaleError):
                look(number)
        assert find_leased(repository.path, [doomed]) == set()


def test_dot_and_dot_dot(show: Show) -> None:
    namespace = show({b"a": {b"b": {}}})
    outer, inner = number_of(namespace, b"a"), number_of(namespace, b"a", b"b")
    for number, name, expected in [
        (inner, b".", inner),
        (inner, b"..", outer),
        (outer, b"..", ROOT),
        (ROOT, b"..", ROOT),
        (ROOT, b".", ROOT),
    ]:
        found = namespace.lookup(number, name)
        assert found is not None
        assert found.attributes.number == expected


def test_same_object_same_number(repository: Repository) -> None:
    file = RegularFile(0o644, 0, 0, (), Digest(b"c" * 32), 9)
    first = commit(repository, {b"a": file, b"d": {b"b": file}})
    second = commit(repository, {b"other": file, b"d": {}})
    namespace = Namespace(repository, None)
    one, two = (b"commits", first.hex().encode()), (b"commits", second.hex().encode())
    numbers = {
        number_of(namespace, *one, b"a"),
        number_of(namespace, *one, b"d", b"b"),
        number_of(namespace, *two, b"other"),
        number_of(Namespace(repository, second), b"other"),
    }
    assert len(numbers) == 1
    assert number_of(namespace, *one, b"d") != number_of(namespace, *two, b"d")


def test_other_metadata_other_number(show: Show) -> None:
    content = Digest(b"c" * 32)
    namespace = show(
        {
            b"a": RegularFile(0o644, 0, 0, (), content, 9),
            b"b": RegularFile(0o600, 0, 0, (), content, 9),
        }
    )
    assert number_of(namespace, b"a") != number_of(namespace, b"b")


def test_a_missing_object_is_not_a_missing_file(repository: Repository) -> None:
    missing = commit(repository, {b"x": Digest(b"m" * 32), b"y": EMPTY_FILE})
    namespace = Namespace(repository, missing)
    with pytest.raises(ObjectMissingError, match="6d6d6d"):
        namespace.lookup(ROOT, b"x")
    with pytest.raises(ObjectMissingError, match="6d6d6d"):
        names_in(namespace, ROOT)
    with pytest.raises(ObjectMissingError, match="commit"):
        Namespace(repository, Digest(b"m" * 32))


# ---- listing


NAMES = [f"{number:05d}".encode() for number in range(1000)]


@pytest.fixture
def wide(show: Show) -> Namespace:
    return show(dict.fromkeys(NAMES, EMPTY_FILE) | {b"zz": {}})


def test_listing_is_whole_and_sorted(wide: Namespace) -> None:
    assert names_in(wide, ROOT) == [*NAMES, b"zz"]


def test_listing_shows_what_lookup_shows(wide: Namespace) -> None:
    listing = wide.list_directory(ROOT)
    for _, found in islice(listing.entries_from(990), 11):
        assert found.attributes == enter(wide, found.name).attributes


@pytest.mark.parametrize("step", [1, 7, 127, 128, 129, 1001, 5000])
def test_listing_piece_by_piece(wide: Namespace, step: int) -> None:
    listing = wide.list_directory(ROOT)
    seen: list[bytes] = []
    while piece := list(islice(listing.entries_from(len(seen)), step)):
        seen += [found.name for _, found in piece]
    assert seen == [*NAMES, b"zz"]


@pytest.mark.parametrize("position", [0, 1, 127, 128, 500, 999, 1000, 1001, 9999])
def test_listing_from_any_position(wide: Namespace, position: int) -> None:
    assert names_in(wide, ROOT, position) == [*NAMES, b"zz"][position:]


def test_listing_goes_back(wide: Namespace) -> None:
    listing = wide.list_directory(ROOT)
    for position in (900, 3, 130, 0, 999, 2):
        following, first = next(listing.entries_from(position))
        assert (following, first.name) == (position + 1, NAMES[position])


REFS = [f"{number:05d}" for number in range(400)]


@pytest.mark.parametrize(
    "doomed", [REFS[127:129], REFS[128:256], REFS[200:], REFS[1:399], REFS[3:]], ids=len
)
@pytest.mark.parametrize("step", [1, 100, 1000])
def test_listing_while_names_vanish(repository: Repository, doomed: list[str], step: int) -> None:
    """Each that is left comes once, and there is an end."""
    first = commit(repository, {b"x": EMPTY_FILE})
    with repository.index.transaction() as transaction:
        for ref in REFS:
            transaction.set_ref(ref, first)
    namespace = Namespace(repository, None)
    refs = number_of(namespace, b"refs")
    listing = namespace.list_directory(refs)
    position, found = next(listing.entries_from(0))
    seen = [found.name.decode()]
    with repository.index.transaction() as transaction:
        for ref in doomed:
            transaction.delete_ref(ref)
    while piece := list(islice(listing.entries_from(position), step)):
        seen += [found.name.decode() for _, found in piece]
        position = piece[-1][0]
        assert len(seen) <= len(REFS)
    shown_before = set(REFS[:128])
    assert seen == [ref for ref in REFS if ref in shown_before or ref not in doomed]


def test_a_source_that_fails_does_not_seem_to_end() -> None:
    def names() -> Iterator[tuple[bytes, str]]:
        yield b"a", ""
        raise OSError(5, "no more")

    def resolve(window: list[Listed]) -> list[Found | None]:
        return [None] * len(window)

    listing = Listing(None, names(), resolve)
    for _ in range(2):
        with pytest.raises(OSError, match="no more"):
            next(listing.entries_from(0))


def test_listing_knows_whether_it_was_read(wide: Namespace) -> None:
    listing = wide.list_directory(ROOT)
    assert not listing.was_read
    next(listing.entries_from(0))
    assert listing.was_read


# ---- the table of what the kernel knows


def walk(namespace: Namespace, number: int) -> Iterator[int]:
    """List everything, as readdirplus does; the numbers of nodes, once for each telling."""
    listing = namespace.list_directory(number)
    for _, found in listing.entries_from(0):
        if found.node is not None:
            namespace.acknowledge(found.node)
            yield found.attributes.number
            if stat.S_ISDIR(found.attributes.mode):
                yield from walk(namespace, found.attributes.number)


def test_table_of_a_large_tree_shrinks_back(show: Show) -> None:
    files = dict.fromkeys(NAMES[:100], EMPTY_FILE)
    namespace = show(dict.fromkeys(NAMES[:200], files))
    assert len(namespace) == 1
    told = list(walk(namespace, ROOT)) + list(walk(namespace, ROOT))
    assert len(namespace) == 201
    for number in reversed(told):
        namespace.forget(number, 1)
    assert len(namespace) == 1


def test_table_of_all_commits_shrinks_back(repository: Repository) -> None:
    for index in range(5):
        commit(repository, {b"d": {b"%d" % index: {}}}, branch=f"folder/{index}")
    namespace = Namespace(repository, None)
    told = list(walk(namespace, ROOT))
    commits, refs, history = 5 * 3, 1 + 5, 1 + 5 + 5
    assert len(namespace) == 1 + 4 + commits + refs + history
    for number in reversed(told):
        namespace.forget(number, 1)
    assert len(namespace) == 1


def test_files_are_in_no_table(wide: Namespace) -> None:
    number = number_of(wide, NAMES[0])
    assert len(wide) == 1
    wide.forget(number, 1)
    assert stat.S_ISREG(wide.attributes(number).mode)


def test_looking_without_telling_leaves_nothing(wide: Namespace) -> None:
    assert wide.lookup(ROOT, b"zz") is not None
    assert names_in(wide, ROOT)[-1] == b"zz"
    assert len(wide) == 1


def test_forgotten_in_parts(show: Show) -> None:
    namespace = show({b"d": {}})
    number = number_of(namespace, b"d")
    assert number_of(namespace, b"d") == number
    assert number_of(namespace, b"d") == number
    namespace.forget(number, 2)
    assert stat.S_ISDIR(namespace.attributes(number).mode)
    namespace.forget(number, 1)
    with pytest.raises(StaleError):
        namespace.attributes(number)
    namespace.forget(number, 1)  # harmless
    assert number_of(namespace, b"d") == number


def test_told_twice_of_what_was_found_twice(show: Show) -> None:
    """A listing finds a directory, then a lookup does, and only then the kernel is told."""
    namespace = show({b"d": {}})
    one, two = namespace.lookup(ROOT, b"d"), namespace.lookup(ROOT, b"d")
    assert one is not None
    assert two is not None
    assert one.node is not None
    assert two.node is not None
    namespace.acknowledge(two.node)
    namespace.acknowledge(one.node)
    number = one.attributes.number
    namespace.forget(number, 1)
    assert stat.S_ISDIR(namespace.attributes(number).mode)
    namespace.forget(number, 1)
    assert len(namespace) == 1


def test_children_found_together_never_share_a_number(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "blake3", lambda _: blake3(b"the same for all"))
    namespace = show({b"a": {}, b"b": {b"c": {}}, b"d": {}})
    listing = namespace.list_directory(ROOT)
    found = [found for _, found in listing.entries_from(0)]
    assert len({entry.attributes.number for entry in found}) == 3
    assert len(set(walk(namespace, ROOT))) == 4
    assert len(namespace) == 5


def test_the_root_is_never_forgotten(show: Show) -> None:
    namespace = show({b"d": {}})
    namespace.forget(ROOT, 100)
    assert names_in(namespace, ROOT) == [b"d"]


# ---- all commits


def test_top_of_all_commits(repository: Repository) -> None:
    namespace = Namespace(repository, None)
    assert names_in(namespace, ROOT) == [b"by-date", b"commits", b"history", b"refs"]
    assert namespace.lookup(ROOT, b"other") is None
    for name in (b"by-date", b"commits", b"history", b"refs"):
        attributes = enter(namespace, name).attributes
        assert attributes.mode == stat.S_IFDIR | 0o555
        assert (attributes.uid, attributes.gid) == (os.geteuid(), os.getegid())
        assert not attributes.fixed
        assert names_in(namespace, attributes.number) == []
    assert not namespace.is_fixed(ROOT)


def test_commits_are_listed_by_id_and_new_ones_appear(repository: Repository) -> None:
    namespace = Namespace(repository, None)
    number = number_of(namespace, b"commits")
    ids = set()
    for index in range(300):
        ids.add(commit(repository, {b"%d" % index: {}}).hex().encode())
    assert names_in(namespace, number) == sorted(ids)
    late = commit(repository, {b"late": {}}).hex().encode()
    assert names_in(namespace, number) == sorted({*ids, late})
    assert names_in(namespace, number_of(namespace, b"commits", late)) == [b"late"]
    assert namespace.is_fixed(number_of(namespace, b"commits", late))


def test_prefix_of_an_id_is_a_link(repository: Repository) -> None:
    whole = commit(repository, {b"x": {}}).hex().encode()
    namespace = Namespace(repository, None)
    for length in (4, 5, 8, 63):
        found = enter(namespace, b"commits", whole[:length])
        assert found.attributes.mode == stat.S_IFLNK | 0o777
        assert found.attributes.size == 64
        assert namespace.link_target(found.attributes.number) == whole
    commits = number_of(namespace, b"commits")
    missing = [whole[:3], whole + b"0", whole[:8].upper(), b"0" * 64, b"\xff" * 8, b"+123", b" "]
    for name in missing:
        assert namespace.lookup(commits, name) is None, name
    assert names_in(namespace, commits) == [whole]


def test_prefix_that_two_ids_share_is_nothing(repository: Repository) -> None:
    one, two = Digest(b"\xab" * 31 + b"\0"), Digest(b"\xab" * 31 + b"\1")
    for made_up in (one, two):
        commit(repository, {b"x": {}}, commit_id=made_up)
    namespace = Namespace(repository, None)
    commits = number_of(namespace, b"commits")
    assert namespace.lookup(commits, b"abab") is None
    assert namespace.lookup(commits, b"ab" * 31 + b"0") is None
    assert enter(namespace, b"commits", two.hex().encode()).attributes.mode & stat.S_IFDIR


def test_prefix_that_becomes_ambiguous(repository: Repository) -> None:
    one, two = Digest(b"\xab" * 31 + b"\0"), Digest(b"\xab" * 31 + b"\1")
    commit(repository, {b"x": {}}, commit_id=one)
    namespace = Namespace(repository, None)
    assert target_of(namespace, b"commits", b"abab") == one.hex().encode()
    commit(repository, {b"x": {}}, commit_id=two)
    assert namespace.lookup(number_of(namespace, b"commits"), b"abab") is None


def test_refs_and_their_folders(repository: Repository) -> None:
    ids = {
        ref: commit(repository, {ref.encode().replace(b"/", b"-"): {}}, branch=ref).hex().encode()
        for ref in ("main", "os/stable", "os/next/x86_64", "other")
    }
    namespace = Namespace(repository, None)
    assert names_in(namespace, number_of(namespace, b"refs")) == [b"main", b"os", b"other"]
    folder = number_of(namespace, b"refs", b"os")
    assert names_in(namespace, folder) == [b"next", b"stable"]
    for ref, up in {"main": 1, "os/stable": 2, "os/next/x86_64": 3}.items():
        path = (b"refs", *ref.encode().split(b"/"))
        assert target_of(namespace, *path) == b"../" * up + b"commits/" + ids[ref]
        assert stat.S_ISLNK(enter(namespace, *path).attributes.mode)
        assert not enter(namespace, *path).attributes.fixed
    refs = number_of(namespace, b"refs")
    for name in (b"o", b"\xff", b"mai", b"mainx"):
        assert namespace.lookup(refs, name) is None, name


def test_a_ref_moves(repository: Repository) -> None:
    commit(repository, {b"old": {}}, branch="main")
    namespace = Namespace(repository, None)
    number = number_of(namespace, b"refs", b"main")
    new = commit(repository, {b"new": {}}, branch="main")
    assert target_of(namespace, b"refs", b"main") == b"../commits/" + new.hex().encode()
    assert number_of(namespace, b"refs", b"main") == number
    with repository.index.transaction() as transaction:
        delete_refs(transaction, "main")
    assert namespace.lookup(number_of(namespace, b"refs"), b"main") is None


def test_a_ref_makes_way_for_a_folder_and_back(repository: Repository) -> None:
    """While the kernel still knows the old one; an inode can never change its type."""
    commit(repository, {b"old": {}}, branch="os")
    namespace = Namespace(repository, None)
    link = enter(namespace, b"refs", b"os").attributes
    with repository.index.transaction() as transaction:
        delete_refs(transaction, "os")
    commit(repository, {b"new": {}}, branch="os/stable")
    folder = enter(namespace, b"refs", b"os").attributes
    assert stat.S_ISDIR(folder.mode)
    assert folder.number != link.number
    namespace.forget(link.number, 1)
    assert number_of(namespace, b"refs", b"os") == folder.number
    assert names_in(namespace, folder.number) == [b"stable"]
    with repository.index.transaction() as transaction:
        delete_refs(transaction, "os")
    commit(repository, {b"newer": {}}, branch="os")
    again = enter(namespace, b"refs", b"os").attributes
    assert stat.S_ISLNK(again.mode)
    assert again.number != folder.number
    for number in (folder.number, again.number):
        namespace.forget(number, 9)
    namespace.forget(number_of(namespace, b"refs"), 99)
    assert len(namespace) == 1


# ---- objects whose numbers would be the same


ONE = RegularFile(0o644, 0, 0, (), Digest(b"1" * 32), 1)
TWO = RegularFile(0o644, 0, 0, (), Digest(b"2" * 32), 22)
FIRST_DIGEST = Digest(b"\x77" * 31 + b"\0")
SECOND_DIGEST = Digest(b"\x77" * 31 + b"\1")


@pytest.mark.parametrize("together", [True, False])
def test_colliding_numbers(repository: Repository, *, together: bool) -> None:
    made_up = [
        (FIRST_DIGEST, encode_file(ONE)),
        (SECOND_DIGEST, encode_file(TWO)),
    ]
    for portion in [made_up] if together else [made_up[1:], made_up[:1]]:
        with repository.index.transaction() as transaction:
            transaction.put_files(portion)
    content: Content = {b"1": FIRST_DIGEST, b"2": SECOND_DIGEST, b"3": EMPTY_FILE}
    both = commit(repository, {b"a": content, b"b": content})
    namespace = Namespace(repository, both)
    numbers = [number_of(namespace, b"a", name) for name in (b"1", b"2", b"3")]
    assert len(set(numbers)) == 3
    assert [number_of(namespace, b"b", name) for name in (b"1", b"2", b"3")] == numbers
    assert namespace.file(numbers[0]) == (FIRST_DIGEST, ONE)
    assert namespace.file(numbers[1]) == (SECOND_DIGEST, TWO)
    assert [namespace.attributes(number).size for number in numbers] == [1, 22, 0]
    assert namespace.identity(numbers[1])[b"user.ostreefs.object"] == SECOND_DIGEST.hex().encode()
    assert names_in(namespace, number_of(namespace, b"a")) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("new_is_first", [True, False])
def test_number_that_collides_later(repository: Repository, *, new_is_first: bool) -> None:
    """What the kernel knows already is never answered with another object."""
    order = [(FIRST_DIGEST, ONE), (SECOND_DIGEST, TWO)]
    (new, new_file), (old, old_file) = order if new_is_first else reversed(order)
    with repository.index.transaction() as transaction:
        put_file(transaction, old_file, old)
    namespace = Namespace(repository, commit(repository, {b"old": old}))
    number = number_of(namespace, b"old")
    assert namespace.file(number) == (old, old_file)
    with repository.index.transaction() as transaction:
        put_file(transaction, new_file, new)
    try:
        shown = namespace.file(number)
    except StaleError:
        shown = namespace.file(number_of(namespace, b"old"))
    assert shown == (old, old_file)


# ---- identity


def test_identity(repository: Repository) -> None:
    file = RegularFile(0o644, 0, 0, XATTRS, Digest(b"c" * 32), 9)
    digest = commit(repository, {b"d": {b"x": file, b"l": Symlink(0, 0, (), b"x")}})
    namespace = Namespace(repository, digest)
    expected = {
        b"user.ostreefs.object": file_digest(encode_file(file)).hex().encode(),
        b"user.ostreefs.content": (b"c" * 32).hex().encode(),
        b"user.ostreefs.commit": digest.hex().encode(),
    }
    assert namespace.identity(number_of(namespace, b"d", b"x")) == expected
    assert namespace.xattrs(number_of(namespace, b"d", b"x")) == XATTRS
    assert b"user.ostreefs.content" not in namespace.identity(number_of(namespace, b"d", b"l"))
    for number in (ROOT, number_of(namespace, b"d")):
        identity = namespace.identity(number)
        assert identity[b"user.ostreefs.commit"] == digest.hex().encode()
        assert len(identity[b"user.ostreefs.object"]) == 64


def test_identity_among_all_commits(repository: Repository) -> None:
    digest = commit(repository, {b"d": {b"x": EMPTY_FILE}}, branch="main").hex().encode()
    namespace = Namespace(repository, None)
    assert namespace.identity(ROOT) == {}
    assert namespace.identity(number_of(namespace, b"refs", b"main")) == {}
    root = number_of(namespace, b"commits", digest)
    inner = number_of(namespace, b"commits", digest, b"d")
    assert namespace.identity(root)[b"user.ostreefs.commit"] == digest
    assert namespace.identity(inner)[b"user.ostreefs.commit"] == digest
    # The same inode in every commit: it cannot say in which one it is.
    file = number_of(namespace, b"commits", digest, b"d", b"x")
    assert b"user.ostreefs.commit" not in namespace.identity(file)


# ---- showing another commit


def test_a_switch_shows_the_other_commit_alone(repository: Repository) -> None:
    same = {b"x": EMPTY_FILE}
    one = commit(
        repository, {b"same": same, b"changed": {b"old": EMPTY_FILE}, b"gone": EMPTY_FILE}
    )
    two = commit(repository, {b"same": same, b"changed": {b"new": EMPTY_FILE}, b"come": {}})
    namespace = Namespace(repository, one)
    kept, old = number_of(namespace, b"same"), number_of(namespace, b"changed")
    opened = namespace.list_directory(ROOT)
    assert next(opened.entries_from(0))[1].name == b"changed"
    assert [opened.is_final] == [True]

    assert namespace.switch(two) == [b"changed", b"come", b"gone"]
    assert namespace.commit == two
    assert names_in(namespace, ROOT) == [b"changed", b"come", b"same"]
    assert number_of(namespace, b"same") == kept
    new = number_of(namespace, b"changed")
    assert new != old
    assert (names_in(namespace, old), names_in(namespace, new)) == ([b"old"], [b"new"])
    assert namespace.lookup(ROOT, b"gone") is None

    listed = [found for _, found in opened.entries_from(0)]
    assert [found.name for found in listed] == [b"changed", b"gone", b"same"], "never mixed"
    assert not any(found.attributes.fixed for found in listed), "for the kernel to keep none"
    assert [opened.is_final] == [False]
    assert namespace.identity(old)[b"user.ostreefs.commit"] == one.hex().encode()
    assert namespace.identity(new)[b"user.ostreefs.commit"] == two.hex().encode()
    assert namespace.identity(kept)[b"user.ostreefs.commit"] == two.hex().encode()


def test_switching_leaves_nothing_behind(repository: Repository) -> None:
    one = commit(repository, {b"a": {b"b": {}}, b"s": {}})
    two = commit(repository, {b"a": {b"c": {}}, b"s": {}})
    namespace = Namespace(repository, one)
    told: list[int] = []
    for turn in range(6):
        told += walk(namespace, ROOT)
        told.append(number_of(namespace, b"a"))
        told += walk(namespace, told[-1])
        namespace.switch(one if turn % 2 else two)
    for number in reversed(told):
        namespace.forget(number, 1)
    assert len(namespace) == 1
