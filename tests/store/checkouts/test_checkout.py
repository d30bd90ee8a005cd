# SPDX-License-Identifier: LGPL-2.1-or-later
"""checkout(ingest(tree)) == tree, for every kind of file, option and place."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostreefs_store.checkouts.filemaker import CheckoutOptions, Union
from ostreefs_store.codec import encode_file, file_digest
from ostreefs_store.errors import (
    CheckoutConflictError,
    ObjectMissingError,
    PathNotFoundError,
    PrivilegeError,
)
from ostreefs_store.model import RegularFile
from ostreefs_store.objects import MODES
from ostreefs_store.repository import Repository
from tests.support.crash import call_in_child
from tests.support.trees import (
    DEFAULT_ACL,
    as_user,
    check_out,
    data_ranges,
    ingest,
    list_tree,
    make_awkward_names,
    make_deep_directory,
    make_privileged_tree,
    make_small_tree,
    make_sparse,
    new_repository,
    problems_of,
    remove_tree,
    root_of,
    tool_differences,
    write,
)

USER = CheckoutOptions(user=True)
COPY = CheckoutOptions(force_copy=True)

# ---- whole trees ----


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [CheckoutOptions(), COPY], ids=["plain", "copy"])
def test_every_kind_of_file_comes_back(
    tmp_path: Path, mode: str, options: CheckoutOptions
) -> None:
    source = make_privileged_tree(tmp_path / "source")
    expected = list_tree(source)
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        result = check_out(repository, tmp_path / "out", options=options)
        assert problems_of(repository) == []
    assert list_tree(tmp_path / "out") == expected
    assert list_tree(source) == expected, "the source was touched"
    assert not result.skipped_devices
    assert not tool_differences(source, tmp_path / "out", hardlinks=not options.force_copy)


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
def test_checked_out_times_are_zero(tmp_path: Path, mode: str) -> None:
    source = make_privileged_tree(tmp_path / "source")
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        check_out(repository, tmp_path / "out")
    times = {p.lstat().st_mtime_ns for p in (tmp_path / "out", *(tmp_path / "out").rglob("*"))}
    assert times == {0}


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
def test_tools_do_see_a_difference(tmp_path: Path, mode: str) -> None:
    """The comparison that the others rest on is seen to fail."""
    source = make_privileged_tree(tmp_path / "source")
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        check_out(repository, tmp_path / "out", options=COPY)
    out = tmp_path / "out"
    os.setxattr(out / "usr", "user.new", b"x")
    assert "rsync" in (found := tool_differences(source, out, hardlinks=False))
    assert "tar" in found
    assert list_tree(source) != list_tree(out)
    os.removexattr(out / "usr", "user.new")
    assert not tool_differences(source, out, hardlinks=False)
    (out / "usr/lib/same").write_bytes(b"SAME CONTENT")
    assert "diff" in tool_differences(source, out, hardlinks=False)
    assert list_tree(source) != list_tree(out)


def test_small_tree_of_anybody(any_repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    for name, options in (("plain", CheckoutOptions()), ("copy", COPY)):
        check_out(any_repository, tmp_path / name, options=options)
        assert list_tree(tmp_path / name) == list_tree(source)
    for name, options in (("user", USER), ("user-copy", USER._replace(force_copy=True))):
        check_out(any_repository, tmp_path / name, options=options)
        assert list_tree(tmp_path / name) == as_user(list_tree(source))


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
def test_user_checkout_keeps_no_owner_and_no_attributes(tmp_path: Path, mode: str) -> None:
    source = make_privileged_tree(tmp_path / "source")
    remove_tree(source / "bits/0000")  # its object is readable in bare-user, as documented
    (source / "bits/4000").unlink()
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        check_out(repository, tmp_path / "out", options=USER)
    assert list_tree(tmp_path / "out") == as_user(list_tree(source))


def test_awkward_names(repository: Repository, tmp_path: Path) -> None:
    make_awkward_names(tmp_path / "source")
    ingest(repository, tmp_path / "source")
    check_out(repository, tmp_path / "out")
    assert list_tree(tmp_path / "out") == list_tree(tmp_path / "source")
    assert problems_of(repository) == []


@pytest.mark.parametrize(("length", "depth"), [(255, 40), (3, 1100)])
def test_paths_beyond_path_max(deep_path: Path, own_mode: str, length: int, depth: int) -> None:
    make_deep_directory(deep_path / "source", b"d" * length, depth)
    with new_repository(deep_path / "repo", own_mode) as repository:
        ingest(repository, deep_path / "source")
        check_out(repository, deep_path / "out")
        assert problems_of(repository) == []
        _, again = ingest(repository, deep_path / "out", "again")
        assert again.read_files == 0
        assert root_of(repository, "again") == root_of(repository)


@pytest.mark.slow
def test_a_directory_of_100_000_entries(memory_path: Path, own_mode: str) -> None:
    source = memory_path / "source"
    source.mkdir()
    fd = os.open(source, os.O_RDONLY)
    for number in range(100_000):
        os.symlink(b"target", b"%06d" % number, dir_fd=fd)
    os.close(fd)
    write(source / "a file", b"among them")
    with new_repository(memory_path / "repo", own_mode) as repository:
        ingest(repository, source)
        check_out(repository, memory_path / "out")
    assert sorted(os.listdir(memory_path / "out")) == sorted(os.listdir(source))
    assert os.readlink(memory_path / "out/099999") == "target"


def test_more_than_4_gib(any_repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    size = (4 << 30) + 12345
    make_sparse(
        tmp_path / "source/huge", size, {1: b"start", 4 << 30: b"beyond", size - 3: b"end"}
    )
    ingest(any_repository, tmp_path / "source")
    check_out(any_repository, tmp_path / "link")
    check_out(any_repository, tmp_path / "copy", options=COPY)
    expected = list_tree(tmp_path / "source")
    for out in (tmp_path / "link", tmp_path / "copy"):
        assert list_tree(out) == expected
        assert (out / "huge").stat().st_blocks * 512 < 1 << 20


def test_holes_are_kept(any_repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = make_sparse(tmp_path / "source/file", 9 << 20, {3 << 20: b"x" * 5000})
    ingest(any_repository, tmp_path / "source")
    for name, options in (("plain", CheckoutOptions()), ("copy", COPY), ("user", USER)):
        check_out(any_repository, tmp_path / name, options=options)
        with source.open("rb") as one, (tmp_path / name / "file").open("rb") as other:
            assert list(data_ranges(other.fileno(), 9 << 20)) == list(
                data_ranges(one.fileno(), 9 << 20)
            )


@pytest.mark.root
def test_by_an_ordinary_user(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 1234, 1234)
    for parent in place.parents[:-1]:
        if parent.stat().st_mode & 0o011 == 0:
            parent.chmod(0o711)

    def work() -> bool:
        source = make_small_tree(place / "source")
        make_awkward_names(source / "names")
        with new_repository(place / "repo", "bare-user") as repository:
            ingest(repository, source)
            check_out(repository, place / "user", options=USER._replace(require_hardlinks=True))
            check_out(repository, place / "plain")
            assert problems_of(repository) == []
            assert list_tree(place / "plain") == list_tree(source)
            return list_tree(place / "user") == as_user(list_tree(source))

    assert call_in_child(work, uid=1234)


@pytest.mark.root
def test_device_nodes_are_left_out_for_an_ordinary_user(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 1234, 1234)
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        ingest(repository, source)
    for parent in place.parents[:-1]:
        if parent.stat().st_mode & 0o011 == 0:
            parent.chmod(0o711)

    def work() -> list[bytes]:
        with Repository.open(tmp_path / "repo") as repository:
            return check_out(repository, place / "out", options=USER).skipped_devices

    os.chmod(tmp_path / "repo/objects", 0o755)
    for path in (tmp_path / "repo/objects").rglob("*"):
        path.chmod(0o755)
    assert call_in_child(work, uid=1234) == [b"null"]
    assert not (place / "out/null").exists()
    assert (place / "out/usr/bin/tool").exists()


# ---- hard links ----


def test_files_are_links_to_objects(repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    options = CheckoutOptions(user=repository.config.mode == "bare-user", require_hardlinks=True)
    check_out(repository, tmp_path / "out", options=options)
    one, other = tmp_path / "out/usr/lib/same", tmp_path / "out/usr/share/same"
    assert one.stat().st_ino == other.stat().st_ino
    assert one.stat().st_nlink == 3
    assert (tmp_path / "out/etc/empty").stat().st_nlink == 1
    check_out(
        repository,
        tmp_path / "copy",
        options=options._replace(require_hardlinks=False, force_copy=True),
    )
    assert (tmp_path / "copy/usr/lib/same").stat().st_nlink == 1


@pytest.mark.parametrize("mode", MODES)
def test_hardlinks_that_the_mode_does_not_allow(tmp_path: Path, mode: str) -> None:
    source = make_small_tree(tmp_path / "source")
    with new_repository(tmp_path / "repo", mode) as repository:
        ingest(repository, source)
        for options in (
            CheckoutOptions(user=mode == "bare", require_hardlinks=True),
            CheckoutOptions(user=mode != "bare", require_hardlinks=True, force_copy=True),
        ):
            with pytest.raises(PrivilegeError):
                check_out(repository, tmp_path / "out", options=options)
    assert sorted(os.listdir(tmp_path)) == ["repo", "source"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 of its own; the image lies beside it."""
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-m0", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def link_while_possible(path: Path, folder: Path) -> int | None:
    """Link a file until that fails; with which error."""
    try:
        for number in range(70_000):
            os.link(path, folder / f"{number}")
    except OSError as error:
        return error.errno
    return None


@pytest.mark.root
def test_an_inode_without_room_for_more_links(small_disk: Path) -> None:
    source = small_disk / "source"
    write(source / "full", b"linked by everybody")
    with new_repository(small_disk / "repo", "bare") as repository:
        ingest(repository, source)
        folder = small_disk / "links"
        folder.mkdir()
        found = next(p for p in (small_disk / "repo/objects").rglob("*") if p.is_file())
        assert link_while_possible(found, folder) == errno.EMLINK
        check_out(repository, small_disk / "out")
        assert list_tree(small_disk / "out") == list_tree(source)
        assert (small_disk / "out/full").stat().st_nlink == 1
        options = CheckoutOptions(require_hardlinks=True)
        with pytest.raises(CheckoutConflictError) as conflict:
            check_out(repository, small_disk / "out2", options=options)
        assert conflict.value.path == b"full"
        assert not (small_disk / "out2").exists()


@pytest.mark.root
def test_another_filesystem(repository: Repository, small_disk: Path, tmp_path: Path) -> None:
    source = make_privileged_tree(tmp_path / "source")
    ingest(repository, source)
    check_out(repository, small_disk / "out")
    assert list_tree(small_disk / "out") == list_tree(source)
    options = CheckoutOptions(require_hardlinks=True)
    with pytest.raises(CheckoutConflictError):
        check_out(repository, small_disk / "out2", options=options)


# ---- where ----


def test_subpath(any_repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    for name, subpath in (("one", b"/usr/lib"), ("two", b"usr/lib/")):
        check_out(any_repository, tmp_path / name, options=CheckoutOptions(subpath=subpath))
        assert list_tree(tmp_path / name) == list_tree(source / "usr/lib")
    check_out(any_repository, tmp_path / "f", options=CheckoutOptions(subpath=b"/usr/bin/tool"))
    assert list_tree(tmp_path / "f") == list_tree(source / "usr/bin")
    for missing in (b"/none", b"/usr/bin/tool/x", b"/bin/tool"):
        with pytest.raises(PathNotFoundError):
            check_out(any_repository, tmp_path / "x", options=CheckoutOptions(subpath=missing))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "empty directory", "dangling symlink"])
def test_a_taken_destination(repository: Repository, tmp_path: Path, kind: str) -> None:
    ingest(repository, make_small_tree(tmp_path / "source"))
    out = tmp_path / "out"
    match kind:
        case "file":
            out.touch()
        case "dangling symlink":
            out.symlink_to("nowhere")
        case _:
            out.mkdir()
            if kind == "directory":
                (out / "file").touch()
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FileExistsError):
        check_out(repository, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["x" * 255, "名" * 85, "\udcff\n"])
def test_any_name_that_a_directory_can_have(
    repository: Repository, tmp_path: Path, name: str
) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    check_out(repository, tmp_path / name)
    assert list_tree(tmp_path / name) == list_tree(source)


def test_a_place_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    ingest(repository, make_small_tree(tmp_path / "source"))
    with pytest.raises(FileNotFoundError):
        check_out(repository, tmp_path / "none/out")


@pytest.mark.root
@pytest.mark.parametrize("options", [CheckoutOptions(), COPY, USER], ids=["plain", "copy", "user"])
def test_nothing_is_inherited_from_the_place(
    repository: Repository, tmp_path: Path, options: CheckoutOptions
) -> None:
    """A group by setgid, a default ACL: the tree comes out as it went in."""
    source = make_small_tree(tmp_path / "source")
    ingest(repository, source)
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 0, 4321)
    place.chmod(0o2770)
    os.setxattr(place, "system.posix_acl_default", DEFAULT_ACL)
    check_out(repository, place / "out", options=options)
    assert list_tree(place / "out") == list_tree(source)


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_umask_does_not_matter(any_repository: Repository, tmp_path: Path, mask: int) -> None:
    source = make_small_tree(tmp_path / "source")
    previous = os.umask(mask)
    try:
        ingest(any_repository, source)
        check_out(any_repository, tmp_path / "out")
        assert os.umask(mask) == mask
    finally:
        os.umask(previous)
    assert list_tree(tmp_path / "out") == list_tree(source)
    assert problems_of(any_repository) == []


def test_a_missing_object(repository: Repository, tmp_path: Path) -> None:
    ingest(repository, make_small_tree(tmp_path / "source"))
    doomed = next(p for p in (tmp_path / "repo/objects").rglob("*") if p.is_file())
    doomed.unlink()
    for options in (CheckoutOptions(), COPY):
        with pytest.raises(ObjectMissingError):
            check_out(repository, tmp_path / "out", options=options)
        assert sorted(os.listdir(tmp_path)) == ["repo", "source"], "nothing is left half-made"


# ---- unions ----

UNIONS: tuple[Union, ...] = ("overwrite", "add", "identical")


@pytest.mark.parametrize("union", UNIONS)
@pytest.mark.parametrize("options", [CheckoutOptions(), COPY, USER], ids=["plain", "copy", "user"])
def test_union_into_nothing_and_into_itself(
    any_repository: Repository, tmp_path: Path, union: Union, options: CheckoutOptions
) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    for _ in range(3):
        check_out(any_repository, tmp_path / "out", options=options._replace(union=union))
        assert list_tree(tmp_path / "out") == list_tree(source)


def make_other_tree(root: Path) -> Path:
    """Make a tree that shares some paths with the small one."""
    write(root / "usr/bin/tool", b"another tool", 0o700)
    write(root / "usr/bin/own", b"only here")
    (root / "usr/lib").mkdir()
    (root / "usr/lib").chmod(0o700)
    (root / "usr/lib/libtool.so").symlink_to("elsewhere")
    write(root / "bin", b"a file where the tree has a link")
    return root


def test_union_overwrite(any_repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    out = make_other_tree(tmp_path / "out")
    kept = list_tree(out)
    check_out(any_repository, out, options=CheckoutOptions(union="overwrite"))
    expected = kept | list_tree(source)
    for path in (b".", b"usr", b"usr/bin", b"usr/lib"):
        expected[path] = kept[path]
    assert list_tree(out) == expected


def test_union_add(any_repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    out = make_other_tree(tmp_path / "out")
    kept = list_tree(out)
    check_out(any_repository, out, options=CheckoutOptions(union="add"))
    assert list_tree(out) == list_tree(source) | kept


def test_union_identical(any_repository: Repository, tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    ingest(any_repository, source)
    out = tmp_path / "out"
    identical = CheckoutOptions(union="identical")
    check_out(any_repository, out)
    (out / "usr/bin/tool").unlink()
    write(out / "usr/bin/own", b"only here")
    check_out(any_repository, out, options=identical)
    expected = list_tree(source)
    expected[b"usr/bin/own"] = list_tree(out)[b"usr/bin/own"]
    assert list_tree(out) == expected


def differ(path: Path, difference: str) -> None:
    """Make the file usr/lib/same of a checkout differ in one way, without touching its inode."""
    path.unlink()
    match difference:
        case "content":
            write(path, b"same CONTENT")
        case "size":
            write(path, b"longer than the same content")
        case "mode":
            write(path, b"same content", 0o600)
        case _:
            path.symlink_to("same")


@pytest.mark.parametrize("difference", ["content", "size", "mode", "kind"])
def test_union_identical_fails_where_a_file_differs(
    any_repository: Repository, tmp_path: Path, difference: str
) -> None:
    ingest(any_repository, make_small_tree(tmp_path / "source"))
    out = tmp_path / "out"
    check_out(any_repository, out)
    differ(out / "usr/lib/same", difference)
    before = list_tree(out)
    with pytest.raises(CheckoutConflictError) as caught:
        check_out(any_repository, out, options=CheckoutOptions(union="identical"))
    assert caught.value.path == b"usr/lib/same"
    assert list_tree(out) == before


@pytest.mark.parametrize("union", UNIONS)
def test_a_directory_is_never_replaced_by_a_file(
    any_repository: Repository, tmp_path: Path, union: Union
) -> None:
    ingest(any_repository, make_small_tree(tmp_path / "source"))
    write(tmp_path / "out/usr/bin/tool/precious", b"do not delete")
    options = CheckoutOptions(union=union)
    if union == "add":
        check_out(any_repository, tmp_path / "out", options=options)
    else:
        with pytest.raises(CheckoutConflictError) as caught:
            check_out(any_repository, tmp_path / "out", options=options)
        assert caught.value.path == b"usr/bin/tool"
    assert (tmp_path / "out/usr/bin/tool/precious").read_bytes() == b"do not delete"
    assert os.listdir(tmp_path / "out/usr/bin") == ["tool"]


@pytest.mark.parametrize("union", UNIONS)
@pytest.mark.parametrize("kind", ["file", "link", "dangling", "absolute"])
def test_nothing_is_made_through_what_stands_for_a_directory(
    any_repository: Repository, tmp_path: Path, union: Union, kind: str
) -> None:
    ingest(any_repository, make_small_tree(tmp_path / "source"))
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    match kind:
        case "file":
            (out / "usr").touch()
        case "link":
            (out / "usr").symlink_to("../outside")
        case "dangling":
            (out / "usr").symlink_to("../outside/new")
        case _:
            (out / "usr").symlink_to(outside)
    before = list_tree(out)[b"usr"]
    with pytest.raises(CheckoutConflictError) as caught:
        check_out(any_repository, out, options=CheckoutOptions(union=union))
    assert caught.value.path == b"usr"
    assert os.listdir(outside) == []
    assert list_tree(out)[b"usr"] == before


@pytest.mark.parametrize("options", [CheckoutOptions(), COPY, USER], ids=["plain", "copy", "user"])
def test_union_overwrites_a_link_and_not_what_it_leads_to(
    any_repository: Repository, tmp_path: Path, options: CheckoutOptions
) -> None:
    ingest(any_repository, make_small_tree(tmp_path / "source"))
    outside = write(tmp_path / "outside", b"do not touch")
    (tmp_path / "out/usr/lib").mkdir(parents=True)
    (tmp_path / "out/usr/lib/same").symlink_to(outside)
    check_out(any_repository, tmp_path / "out", options=options._replace(union="overwrite"))
    assert outside.read_bytes() == b"do not touch"
    assert (tmp_path / "out/usr/lib/same").read_bytes() == b"same content"
    assert not (tmp_path / "out/usr/lib/same").is_symlink()


def test_union_of_two_commits(any_repository: Repository, tmp_path: Path) -> None:
    one = make_small_tree(tmp_path / "one")
    ingest(any_repository, one, "one")
    two = tmp_path / "two"
    write(two / "usr/bin/tool", b"newer", 0o755)
    write(two / "opt/file", b"new")
    ingest(any_repository, two, "two")
    check_out(any_repository, tmp_path / "out", "one")
    check_out(any_repository, tmp_path / "out", "two", CheckoutOptions(union="overwrite"))
    expected = list_tree(one) | list_tree(two)
    assert list_tree(tmp_path / "out") == expected
    assert problems_of(any_repository) == [], "an object was written through its link"


def test_an_object_is_where_its_digest_says(repository: Repository, tmp_path: Path) -> None:
    """The layout that docs/format.md draws."""
    write(tmp_path / "source/file", b"hello\n")
    ingest(repository, tmp_path / "source")
    with repository.index.snapshot() as snapshot:
        ((digest, encoded),) = snapshot.iter_objects("files")
    found = (tmp_path / "source/file").stat()
    content = bytes.fromhex("8e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99")
    file = RegularFile(0o644, found.st_uid, found.st_gid, (), content, 6)  # type: ignore[arg-type]  # any digest
    assert encoded == encode_file(file)
    assert digest == file_digest(encoded)
    path = tmp_path / "repo/objects" / digest.hex()[:2] / digest.hex()[2:]
    assert path.read_bytes() == b"hello\n"
    assert path.stat().st_mtime_ns == 0
