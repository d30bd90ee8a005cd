# SPDX-License-Identifier: LGPL-2.1-or-later
"""Errors: one line each, facts that survive a journey between processes."""

import pickle

import pytest

from ostreefs_store import errors

DIGEST = bytes(range(32))

EXAMPLES: list[errors.StoreError] = [
    errors.StoreError("a message", hint="a hint"),
    errors.FormatError("file", "mode"),
    errors.ObjectCorruptError("file", DIGEST, "content differs"),
    errors.ObjectMissingError("tree", DIGEST),
    errors.IndexCorruptError("/r/index", "no page"),
    errors.NotARepositoryError("/r", "it has no config.toml"),
    errors.RepositoryExistsError("/r", "it is not a directory"),
    errors.UnsupportedFormatError("/r", "format 2"),
    errors.ReadOnlyRepositoryError("/r", "its objects are read-only for you"),
    errors.IndexFullError("/r/index", 1 << 38),
    errors.RevisionNotFoundError("main^"),
    errors.AmbiguousRevisionError("ab", ["ab12", "ab34"]),
    errors.InvalidNameError("ref", "a b", "use letters"),
    errors.InvalidSettingError("core.x", "there is no such setting", hint="a hint"),
    errors.SettingNotFoundError("core.x"),
    errors.CommitInUseError(DIGEST, "referenced by 'main'", hint="a hint"),
    errors.PinExistsError("release", DIGEST),
    errors.PinNotFoundError("release"),
    errors.FreeSpaceError("min-free-space-percent '3%'", 4096),
    errors.RefExistsError("main"),
    errors.RefConflictError("a/b", "a"),
    errors.RefIsAliasError("al", "main"),
    errors.RefHasAliasError("main", "al"),
    errors.RefMovedError("main", None, DIGEST, DIGEST),
    errors.PathNotFoundError(b"/no\nsuch \xff"),
    errors.PackageDatabaseError("rpm", "its form is ndb"),
    errors.SourceChangedError(b"/src/\xff"),
    errors.SourceHoldsRepositoryError(b""),
    errors.ArchiveError("it is cut off", archive="a.tar", member=b"a\n"),
    errors.TreeConflictError(b"etc\xff", is_tree=True),
    errors.OverridePathsError([b"usr/a\n", b"b", b"c", b"d"]),
    errors.UpperFeatureError(b"usr", "metacopy"),
    errors.NoKernelError("it has no kernel"),
    errors.CheckoutConflictError(b"a\n", "it exists already", hint="a hint"),
    errors.PrivilegeError("only root may"),
    errors.WorkerError("signal 9"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_travels_with_all_facts_in_one_line(error: errors.StoreError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, copy.hint) == (str(error), error.args, error.hint)
    assert vars(copy) == vars(error)
    assert str(error)
    assert "\n" not in str(error)
    assert error.hint is None or "\n" not in error.hint


@pytest.mark.parametrize(
    "kind",
    [
        errors.IndexCorruptError,
        errors.RepositoryExistsError,
        errors.ReadOnlyRepositoryError,
        errors.WorkerError,
    ],
)
def test_says_what_to_do(kind: type[errors.StoreError]) -> None:
    """With a way that there is."""
    [example] = [error for error in EXAMPLES if type(error) is kind]
    assert example.hint
    assert "pull" not in example.hint


def test_a_dead_worker_may_have_been_anybody_s() -> None:
    """Of a checkout or of fsck, too."""
    assert "commit" not in str(errors.WorkerError("signal 9"))


def test_examples_are_all_there_are() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    stores = {kind for kind in kinds if issubclass(kind, errors.StoreError)}
    assert stores - {errors.CorruptionError} == {type(example) for example in EXAMPLES}


def test_corruption_is_never_not_found() -> None:
    for kind in (errors.RevisionNotFoundError, errors.PathNotFoundError):
        assert not issubclass(kind, errors.CorruptionError)
    assert issubclass(errors.ObjectMissingError, errors.CorruptionError)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"plain/path", "plain/path"),
        ("größe".encode(), "größe"),
        (b"a\nb\tc\x1b", "a\\nb\\tc\\x1b"),
        (b"\xff", "\\xff"),
    ],
)
def test_printable(path: bytes, shown: str) -> None:
    assert errors.printable(path) == shown
