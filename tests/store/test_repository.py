# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making and opening repositories."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from ostreefs_store.config import Config, format_config, parse_config
from ostreefs_store.errors import (
    IndexCorruptError,
    NotARepositoryError,
    ReadOnlyRepositoryError,
    RepositoryExistsError,
    StoreError,
    UnsupportedFormatError,
)
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.repository import Repository
from tests.support.crash import call_in_child
from tests.support.trees import (
    DEFAULT_ACL,
    check_out,
    ingest,
    list_tree,
    make_small_tree,
    new_repository,
    problems_of,
    root_of,
    write,
)


@pytest.mark.parametrize("mode", MODES)
def test_init_is_idempotent(tmp_path: Path, mode: Mode) -> None:
    path = tmp_path / "a/b/repo"
    assert Repository.init(path, mode)
    before = list_tree(path)
    assert not Repository.init(path, mode)
    after = list_tree(path)
    for listing in (before, after):
        del listing[b"index/lock.mdb"]  # who reads leaves a mark there
    assert after == before
    with Repository.open(path) as repository:
        assert repository.config == Config(mode)
        assert problems_of(repository) == []


def test_init_with_another_mode(tmp_path: Path) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    with pytest.raises(RepositoryExistsError, match="bare-user") as caught:
        Repository.init(tmp_path / "repo", "bare")
    assert caught.value.path == str(tmp_path / "repo")


@pytest.mark.parametrize("kind", ["file", "full directory", "dangling link"])
def test_init_on_something_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    match kind:
        case "file":
            path.write_bytes(b"precious")
        case "dangling link":
            path.symlink_to("nowhere")
        case _:
            write(path / "precious", b"precious")
    before = list_tree(tmp_path)
    with pytest.raises((RepositoryExistsError, FileExistsError)):
        Repository.init(path, "bare-user")
    assert list_tree(tmp_path) == before


def test_init_in_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    assert Repository.init(tmp_path / "repo", "bare-user")


@pytest.mark.root
def test_init_inherits_nothing(tmp_path: Path) -> None:
    """Objects carry what they must, whatever the folder above would pass on."""
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 0, 4321)
    place.chmod(0o2775)
    os.setxattr(place, "system.posix_acl_default", DEFAULT_ACL)
    source = make_small_tree(tmp_path / "source")
    for mode in MODES:
        with new_repository(place / mode, mode) as repository:
            ingest(repository, source)
            assert problems_of(repository) == []
            check_out(repository, tmp_path / mode)
        assert list_tree(tmp_path / mode) == list_tree(source)


def test_what_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("none", "empty", "file", "file/below"):
        with pytest.raises(NotARepositoryError) as caught:
            Repository.open(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)


# ---- config.toml ----


def changed(old: str, new: str) -> str:
    text = format_config("bare")
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "readable", "writable"),
    [
        (format_config("bare"), True, True),
        (format_config("bare") + "\n# a comment\n", True, True),
        (changed("\ncompatible = []", '\ncompatible = ["x"]'), True, True),
        (changed("ro-compatible = []", 'ro-compatible = ["x"]'), True, False),
        (changed('incompatible = ["twins", "zstd-trees"]', 'incompatible = ["x"]'), False, False),
        (changed("format = 1", "format = 2"), False, False),
        (changed("format = 1", 'format = "1"'), False, False),
        (changed('"bare"', '"archive"'), False, False),
        (changed('"bare"', "[]"), False, False),
    ],
)
def test_formats_and_features(text: str, *, readable: bool, writable: bool) -> None:
    for wanted, allowed in ((False, readable), (True, writable)):
        if allowed:
            assert parse_config(text, "/r", writable=wanted) == Config("bare")
        else:
            with pytest.raises(UnsupportedFormatError) as caught:
                parse_config(text, "/r", writable=wanted)
            assert caught.value.path == "/r"
            assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "repository = 1",
        "[repository]",
        "[repository]\nformat = 1",
        changed("[features]", "[features"),
        'features = 1\n[repository]\nformat = 1\nmode = "bare"\n',
        changed('incompatible = ["twins", "zstd-trees"]', "incompatible = 7"),
    ],
)
def test_text_that_is_no_configuration(text: str) -> None:
    with pytest.raises(NotARepositoryError):
        parse_config(text, "/r", writable=False)


def test_config_that_is_not_text(tmp_path: Path) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    (tmp_path / "repo/config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(NotARepositoryError):
        Repository.open(tmp_path / "repo")


def test_newer_features_of_a_whole_repository(tmp_path: Path) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    config = tmp_path / "repo/config.toml"
    config.write_text(config.read_text().replace("ro-compatible = []", 'ro-compatible = ["new"]'))
    with Repository.open(tmp_path / "repo") as repository:
        assert problems_of(repository) == []
    with pytest.raises(UnsupportedFormatError, match="new"):
        Repository.open(tmp_path / "repo", writable=True)
    config.write_text(config.read_text().replace("format = 1", "format = 9"))
    with pytest.raises(UnsupportedFormatError):
        Repository.open(tmp_path / "repo")


# ---- damage and permissions ----


@pytest.mark.parametrize("part", ["index/data.mdb", "index"])
@pytest.mark.parametrize("writable", [False, True])
def test_a_missing_index(tmp_path: Path, part: str, *, writable: bool) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    (tmp_path / "repo" / part).rename(tmp_path / "gone")
    with pytest.raises(IndexCorruptError):
        Repository.open(tmp_path / "repo", writable=writable)
    assert not (tmp_path / "repo/index/data.mdb").exists()


def test_a_missing_folder_of_objects(tmp_path: Path) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    (tmp_path / "repo/objects").rename(tmp_path / "gone")
    with pytest.raises((StoreError, OSError)):
        Repository.open(tmp_path / "repo")


@pytest.mark.root
def test_another_user_reads_and_does_not_write(tmp_path: Path) -> None:
    source = make_small_tree(tmp_path / "source")
    (source / "usr/share/private").chmod(0o644)
    (source / "usr/mode-0700").chmod(0o755)
    with new_repository(tmp_path / "repo", "bare") as repository:
        ingest(repository, source)
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 1234, 1234)
    for parent in place.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)

    def read() -> bool:
        from ostreefs_store.checkouts.filemaker import CheckoutOptions  # noqa: PLC0415 -- in the child

        with Repository.open(tmp_path / "repo") as repository:
            check_out(repository, place / "out", options=CheckoutOptions(user=True))
            return problems_of(repository) == []

    assert call_in_child(read, uid=1234)
    assert (place / "out/usr/bin/tool").stat().st_uid == 1234
    with pytest.raises(ReadOnlyRepositoryError):
        call_in_child(lambda: Repository.open(tmp_path / "repo", writable=True), uid=1234)


@pytest.mark.root
def test_read_only_media(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", media], check=True)
    try:
        source = make_small_tree(tmp_path / "source")
        with new_repository(media / "repo", "bare") as repository:
            ingest(repository, source)
        subprocess.run(["mount", "-o", "remount,ro", media], check=True)
        with Repository.open(media / "repo") as repository:
            assert problems_of(repository) == []
            check_out(repository, tmp_path / "out")
            assert root_of(repository)
        assert list_tree(tmp_path / "out") == list_tree(source)
        with pytest.raises(ReadOnlyRepositoryError):
            Repository.open(media / "repo", writable=True)
    finally:
        subprocess.run(["umount", media], check=True)


def test_use_keeps_others_from_deleting(tmp_path: Path) -> None:
    with new_repository(tmp_path / "repo", "bare-user") as repository:
        fd = os.open(tmp_path / "repo/lock", os.O_RDONLY)
        for writing in (False, True):
            with repository.in_use(writing=writing), pytest.raises(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    Repository.init(tmp_path / "repo", "bare-user")
    before = os.listdir("/proc/self/fd")
    for writable in (False, True):
        Repository.open(tmp_path / "repo", writable=writable).close()
    (tmp_path / "repo/index/data.mdb").unlink()
    with pytest.raises(IndexCorruptError):
        Repository.open(tmp_path / "repo")
    assert os.listdir("/proc/self/fd") == before
