# SPDX-License-Identifier: LGPL-2.1-or-later
"""export and commit --tree=tar are each other's reverse; what is no archive is refused."""

import io
import os
import subprocess
import tarfile

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostreefs_store.errors import StoreError
from ostreefs_store.layer import Layer
from ostreefs_store.model import EMPTY_CONTENT, File, RegularFile, Symlink, Tree, TreeHead, Xattrs
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from ostreefs_store.tar.export import ExportOptions, export_tree
from ostreefs_store.tar.tarheader import END, format_header
from ostreefs_store.tar.tarlayer import LayerBuilder
from ostreefs_store.tar.tarmember import Member, parse_member, parse_path
from tests.property.strategies import (
    Plan,
    file_names,
    files,
    make_tree,
    plans,
    trees,
    xattrs,
)
from tests.support.archives import archive, commit_archive, directory, file, member, read_archive
from tests.support.places import place_in_memory
from tests.support.trees import ingest, list_tree, new_repository, problems_of, root_of

few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])

_namespaces = st.sampled_from([b"user.", b"security.", b"trusted."])
_names = st.builds(lambda space, rest: (space + rest)[:255], _namespaces, st.binary(max_size=245))


def _is_kept(name: bytes) -> bool:
    return b"\0" not in name and not name.startswith(b"user.ostreefs.")


_kept_xattrs: st.SearchStrategy[Xattrs] = st.dictionaries(
    _names.filter(_is_kept), st.binary(max_size=600), max_size=4
).map(lambda pairs: tuple(sorted(pairs.items())))
_paths = st.lists(file_names, min_size=1, max_size=4).map(b"/".join)
_numbers = st.lists(st.integers(0, 2**61), max_size=8, unique=True).map(sorted)


def parse_headers(data: bytes) -> tuple[Member, int]:
    """The first member of an archive, and the size of its headers."""
    stream = io.BytesIO(data + END)
    with tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape") as tar:
        info = tar.next()
        assert info is not None
        found = parse_member(info)
        assert found is not None
        return found, info.offset_data


@given(_paths, files, _kept_xattrs, _numbers)
def test_headers_of_files(path: bytes, item: File, attributes: Xattrs, numbers: list[int]) -> None:
    if not isinstance(item, RegularFile):  # Linux has none of users' attributes there
        attributes = tuple(pair for pair in attributes if not pair[0].startswith(b"user."))
    item = msgspec.structs.replace(item, xattrs=attributes)
    extents: list[tuple[int, int]] | None = None
    if isinstance(item, RegularFile) and numbers:
        pairs = zip(numbers[::2], numbers[1::2], strict=False)
        extents = [(start, end - start) for start, end in pairs]
        item = msgspec.structs.replace(item, size=numbers[-1])
    data = format_header(path, item, extents=extents)
    assert len(data) % 512 == 0
    found, size = parse_headers(data)
    assert found.path == tuple(path.split(b"/"))
    assert found.extents == extents
    if isinstance(item, RegularFile):
        item = msgspec.structs.replace(item, content=EMPTY_CONTENT)
    assert found.item == item
    assert size == len(data)
    without, _ = parse_headers(format_header(path, item, xattrs=False))
    assert without.item == msgspec.structs.replace(item, xattrs=())


@given(file_names.map(lambda name: name[:100]), files)
def test_headers_are_those_of_tarfile(name: bytes, item: File) -> None:
    """As far as they have room for all that there is to say."""
    item = msgspec.structs.replace(item, xattrs=(), uid=item.uid & 0o777, gid=item.gid & 0o777)
    if isinstance(item, RegularFile):
        item = msgspec.structs.replace(item, size=item.size & 0xFFFFFFFF)
    target = b""
    if isinstance(item, Symlink):
        target = item.target[:100]
        item = msgspec.structs.replace(item, target=target)
    found, _ = parse_headers(data := format_header(name, item))
    info = tarfile.TarInfo.frombuf(data[-512:], "utf-8", "surrogateescape")
    assert info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape") == data[-512:]
    assert os.fsencode(info.name) == name
    assert found.path == (name,)


@given(_paths, trees, _kept_xattrs)
def test_headers_of_directories(path: bytes, tree: Tree, attributes: Xattrs) -> None:
    tree = msgspec.structs.replace(tree, xattrs=attributes)
    found, size = parse_headers(data := format_header(path, tree))
    assert (found.path, size) == (tuple(path.split(b"/")), len(data))
    assert found.item == TreeHead(tree.mode, tree.uid, tree.gid, tree.xattrs)


@given(_paths, xattrs)
def test_any_attributes_at_all(path: bytes, attributes: Xattrs) -> None:
    """What a repository may hold, and no directory has, is written and read without a bug."""
    try:
        parse_headers(format_header(path, Tree(0o755, 0, 0, attributes, ())))
    except StoreError:
        assert any(name.startswith(b"system.posix_acl_") for name, _ in attributes)


def export(repository: Repository, revision: str = "main", *, sparse: bool = False) -> bytes:
    out = io.BytesIO()
    options = ExportOptions(sparse=sparse)
    export_tree(repository, root_of(repository, revision), out, options)
    return out.getvalue()


@few
@given(plans, st.sampled_from(MODES), st.booleans())
def test_a_commit_of_an_export_has_the_same_tree(plan: Plan, mode: str, sparse: bool) -> None:
    with place_in_memory() as place:
        make_tree(os.fsencode(place / "source"), plan)
        with (
            new_repository(place / "one", mode) as one,
            new_repository(place / "two", mode) as two,
        ):
            ingest(one, place / "source")
            data = export(one, sparse=sparse)
            assert commit_archive(two, data) == root_of(one)
            assert commit_archive(one, data, "again") == root_of(one)
            assert problems_of(two) == []
            assert export(two, sparse=sparse) == data


@few
@given(plans, st.booleans())
def test_gnu_tar_makes_the_same_tree(plan: Plan, sparse: bool) -> None:
    with place_in_memory() as place:
        make_tree(os.fsencode(place / "source"), plan)
        with new_repository(place / "repo", "bare-user") as repository:
            ingest(repository, place / "source")
            data = export(repository, sparse=sparse)
        (place / "out").mkdir()
        command = ["tar", "--xattrs", "--xattrs-include=*", "--acls", "-xpC", str(place / "out")]
        done = subprocess.run(command, input=data, check=False, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert list_tree(place / "out") == list_tree(place / "source")


# ---- archives of any members, in any order ----

_few_names = st.lists(
    st.sampled_from(["a", "b", "c", ".wh.a", ".wh..wh..opq", ".", "..", ""]),
    min_size=1,
    max_size=4,
).map("/".join)
_members = st.one_of(
    st.builds(file, _few_names, st.binary(max_size=3)),
    st.builds(directory, _few_names),
    st.builds(lambda n, t: member(n, tarfile.LNKTYPE, linkname=t), _few_names, _few_names),
    st.builds(lambda n, t: member(n, tarfile.SYMTYPE, linkname=t), _few_names, _few_names),
)


@few
@given(st.lists(_members, max_size=12), st.booleans())
def test_any_members(found: list[tarfile.TarInfo], whiteouts: bool) -> None:
    """A layer, or an error: and never a name that leads anywhere else."""
    with (
        place_in_memory() as place,
        new_repository(place / "repo", "bare-user") as repository,
    ):
        try:
            contents = read_archive(repository, archive(*found), whiteouts=whiteouts)
        except StoreError:
            return
        pending = [contents.layer]
        for layer in pending:
            for name, item in layer.entries.items():
                assert name not in {b"", b".", b".."}
                assert b"/" not in name
                if isinstance(item, Layer):
                    pending.append(item)
                else:
                    assert not (whiteouts and name.startswith(b".wh."))


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    try:
        assert b".." not in parse_path(data)
        LayerBuilder(whiteouts=True).add_directory(parse_path(data), TreeHead(0, 0, 0, ()))
    except (ValueError, StoreError):
        pass


@few
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=40), st.booleans())
def test_damaged_archives(position: int, damage: bytes, cut: bool) -> None:
    """Whatever happens to an archive, it is read or refused, and nothing else."""
    data = archive(
        directory("d"),
        file("d/" + "n" * 120, b"x" * 700, pax_headers={"SCHILY.xattr.user.a": "b"}),
        member("s", tarfile.SYMTYPE, linkname="d"),
    )
    position = min(position, len(data))
    end = b"" if cut else data[position + len(damage) :]
    with (
        place_in_memory() as place,
        new_repository(place / "repo", "bare-user") as repository,
    ):
        try:
            read_archive(repository, data[:position] + damage + end)
        except (StoreError, OSError):
            assert list((repository.path / "tmp").iterdir()) == []
