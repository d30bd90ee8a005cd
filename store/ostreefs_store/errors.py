# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error that a caller may expect from the store.

`OSError` is not wrapped: its message names the path already. Corruption has a branch of its own,
so that it can never be mistaken for "not found".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StoreError(Exception):
    """An expected failure; `str()` is one line for a person, `hint` says what to do about it."""

    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel from worker processes with all their facts."""
        return _rebuild, (type(self), self.args, self.__dict__)


class CorruptionError(StoreError):
    """Something in the repository is not what its digest says."""

    hint: str | None = "run 'ostreefs fsck' to see everything that is damaged"


class FormatError(CorruptionError):
    """Bytes that are not the canonical form of any object."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"malformed {kind} object: {detail}")
        self.kind = kind
        self.detail = detail


class ObjectCorruptError(CorruptionError):
    """An object whose bytes or inode do not match its digest."""

    def __init__(self, kind: str, digest: bytes, detail: str) -> None:
        super().__init__(f"{kind} object {digest.hex()} is corrupt: {detail}")
        self.kind = kind
        self.digest = digest
        self.detail = detail


class ObjectMissingError(CorruptionError):
    """An object that something in the repository refers to and that is not there."""

    def __init__(self, kind: str, digest: bytes) -> None:
        super().__init__(f"{kind} object {digest.hex()} is missing")
        self.kind = kind
        self.digest = digest


class IndexCorruptError(CorruptionError):
    """The LMDB index cannot be read."""

    hint: str | None = (
        "restore the folder 'index' from a backup, or commit the trees again into a new repository"
    )

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"the index {path} cannot be read: {detail}")
        self.path = path
        self.detail = detail


class NotARepositoryError(StoreError):
    """A path that holds no repository."""

    hint: str | None = (
        "name one with --repo=PATH or OSTREEFS_REPO, or make one with 'ostreefs init'"
    )

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path} is not an ostreefs repository: {detail}")
        self.path = path


class RepositoryExistsError(StoreError):
    """`init` on a place that is taken."""

    hint: str | None = "name an empty or new directory with --repo=PATH"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"cannot make a repository at {path}: {detail}")
        self.path = path


class UnsupportedFormatError(StoreError):
    """A repository written by a newer program."""

    hint: str | None = "use a newer ostreefs"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"the repository {path} needs a newer ostreefs: {detail}")
        self.path = path
        self.detail = detail


class ReadOnlyRepositoryError(StoreError):
    """A change was asked of a repository that can only be read."""

    hint: str | None = "be its owner or root, or name a repository of your own with --repo=PATH"

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"the repository {path} cannot be written: {detail}")
        self.path = path


class IndexFullError(StoreError):
    """The index has reached its map size."""

    def __init__(self, path: str, size: int) -> None:
        super().__init__(f"the index {path} has reached its limit of {size >> 30} GiB")
        self.path = path
        self.size = size


class RevisionNotFoundError(StoreError):
    """No commit answers to a revision."""

    hint: str | None = "'ostreefs refs' lists the refs, 'ostreefs log REF' the commits of one"

    def __init__(self, revision: str, detail: str = "no such ref or commit") -> None:
        super().__init__(f"revision '{revision}' not found: {detail}")
        self.revision = revision


class AmbiguousRevisionError(StoreError):
    """A prefix that several commits share."""

    hint: str | None = "give more digits"

    def __init__(self, prefix: str, candidates: Sequence[str]) -> None:
        shown = ", ".join(candidates)
        super().__init__(f"revision '{prefix}' is ambiguous: it may be {shown}, …")
        self.prefix = prefix
        self.candidates = candidates


class InvalidNameError(StoreError):
    """A file name, xattr name or ref that the format does not allow."""

    def __init__(self, what: str, name: object, reason: str) -> None:
        super().__init__(f"invalid {what} {name!r}: {reason}")
        self.what = what
        self.name = name
        self.reason = reason


class InvalidSettingError(StoreError):
    """A key or a value that ``config.toml`` cannot have."""

    def __init__(self, key: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"setting '{key}': {reason}", hint=hint)
        self.key = key
        self.reason = reason


class SettingNotFoundError(StoreError):
    """A setting that ``config.toml`` does not have."""

    hint: str | None = "'ostreefs config --list' shows what is set"

    def __init__(self, key: str) -> None:
        super().__init__(f"setting '{key}' is not set")
        self.key = key


class CommitInUseError(StoreError):
    """A commit that was to be deleted and that something needs."""

    def __init__(self, commit: bytes, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"commit '{commit.hex()}' is {reason}", hint=hint)
        self.commit = commit
        self.reason = reason


class PinExistsError(StoreError):
    """A pin's name that another commit has."""

    hint: str | None = "take it out with 'ostreefs pin --delete', or choose another name"

    def __init__(self, name: str, commit: bytes) -> None:
        super().__init__(f"pin '{name}' holds commit {commit.hex()} already")
        self.name = name
        self.commit = commit


class PinNotFoundError(StoreError):
    """A pin that is not there."""

    hint: str | None = "'ostreefs pin --list' shows them"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no pin '{name}'")
        self.name = name


class FreeSpaceError(StoreError):
    """A commit that would leave less of the filesystem free than is configured."""

    hint: str | None = (
        "free some space, for instance with 'ostreefs prune';"
        " 'ostreefs config set core.min-free-space-percent' changes the limit"
    )

    def __init__(self, setting: str, wanted: int) -> None:
        super().__init__(f"{setting} would be exceeded, at least {wanted} bytes requested")
        self.setting = setting
        self.wanted = wanted


class RefExistsError(StoreError):
    """`refs --create` of a ref that is there already."""

    def __init__(self, ref: str) -> None:
        super().__init__(
            f"ref '{ref}' exists already",
            hint="choose another name, or say --force to put this in its place",
        )
        self.ref = ref


class RefConflictError(StoreError):
    """A ref that would be both a ref and a folder of refs."""

    def __init__(self, ref: str, other: str) -> None:
        super().__init__(
            f"ref '{ref}' cannot stand beside ref '{other}': one is the other's folder"
        )
        self.ref = ref
        self.other = other


class RefIsAliasError(StoreError):
    """An alias where a ref of its own is wanted."""

    def __init__(self, ref: str, target: str) -> None:
        super().__init__(
            f"ref '{ref}' is an alias of '{target}'",
            hint=f"use '{target}' itself, or delete the alias first with 'refs --delete {ref}'",
        )
        self.ref = ref
        self.target = target


class RefHasAliasError(StoreError):
    """A ref that an alias stands for, and that cannot go or become an alias therefore."""

    def __init__(self, ref: str, alias: str) -> None:
        super().__init__(
            f"ref '{ref}' has an alias '{alias}'",
            hint=f"delete the alias first with 'refs --delete {alias}'",
        )
        self.ref = ref
        self.alias = alias


class RefMovedError(StoreError):
    """A ref that somebody else moved, created or deleted since it was looked at."""

    def __init__(
        self, ref: str, expected: bytes | None, found: bytes | None, commit: bytes
    ) -> None:
        told = "was deleted" if found is None else f"moved to {found.hex()}"
        if expected is None:
            told = "was created by somebody else"
        super().__init__(
            f"commit {commit.hex()} is stored, but ref '{ref}' was not moved to it:"
            f" the ref {told} meanwhile",
            hint=f"to move it all the same: 'ostreefs reset {ref} {commit.hex()}';"
            f" to keep both: 'ostreefs refs --create=NEW {commit.hex()}'",
        )
        self.ref = ref
        self.expected = expected
        self.found = found
        self.commit = commit


class PathNotFoundError(StoreError):
    """A path that a commit does not hold."""

    def __init__(self, path: bytes, detail: str = "no such file or directory") -> None:
        super().__init__(f"{printable(path)}: {detail}")
        self.path = path


class PackageDatabaseError(StoreError):
    """A database of packages in a commit that this program cannot read."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"the {kind} database cannot be read: {detail}")
        self.kind = kind
        self.detail = detail


class SourceChangedError(StoreError):
    """A file that kept changing while it was read."""

    hint: str | None = "commit a tree that nothing writes to, such as a snapshot"

    def __init__(self, path: bytes) -> None:
        super().__init__(
            f"{printable(path)} kept changing while it was read; nothing was committed"
        )
        self.path = path


class SourceHoldsRepositoryError(StoreError):
    """A commit of a tree in which the repository itself lies."""

    hint: str | None = "commit a part of the tree, or keep the repository somewhere else"

    def __init__(self, path: bytes) -> None:
        super().__init__(f"the tree holds the repository itself, at {printable(path) or '.'}")
        self.path = path


class ArchiveError(StoreError):
    """A tar archive that is damaged, or holds what no tree may hold; nothing of it is committed.

    `archive` is how the user named it, `member` the name in it that is to blame, if one is.
    """

    def __init__(
        self,
        detail: str,
        *,
        archive: str = "",
        member: bytes | None = None,
        hint: str | None = None,
    ) -> None:
        where = [archive] if archive else []
        where += [] if member is None else [f"member {printable(member) or '(no name)'}"]
        super().__init__(": ".join([*where, detail]), hint=hint)
        self.detail = detail
        self.archive = archive
        self.member = member


class TreeConflictError(StoreError):
    """Trees that are laid over one another and disagree on what is a directory."""

    hint: str | None = "leave it out of one of them with --skip-list"

    def __init__(self, path: bytes, *, is_tree: bool) -> None:
        one, other = ("a file", "a directory") if is_tree else ("a directory", "a file")
        super().__init__(
            f"{printable(path)} is {one} in one tree and {other} in a tree laid over it"
        )
        self.path = path
        self.is_tree = is_tree


class OverridePathsError(StoreError):
    """Paths of a statoverride file that the tree does not hold."""

    hint: str | None = "take them out of the file, or correct them; symbolic links have no mode"

    def __init__(self, paths: list[bytes]) -> None:
        shown = ", ".join(printable(b"/" + path.lstrip(b"/")) for path in paths[:3])
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        super().__init__(f"the tree has no mode to override at {shown}{more}")
        self.paths = paths


class UpperFeatureError(StoreError):
    """An upper directory that refers to its lower one in ways that only overlayfs understands."""

    hint: str | None = "mount the overlay with -o redirect_dir=off,metacopy=off and make it again"

    def __init__(self, path: bytes, feature: str) -> None:
        super().__init__(f"{printable(path)}: the overlay's feature '{feature}' is not supported")
        self.path = path
        self.feature = feature


class NoKernelError(StoreError):
    """A commit that was to be bootable and holds no kernel."""

    hint: str | None = "the kernel of a bootable tree is usr/lib/modules/VERSION/vmlinuz"

    def __init__(self, detail: str) -> None:
        super().__init__(f"the tree is not bootable: {detail}")


class CheckoutConflictError(StoreError):
    """A file in the way of a checkout."""

    def __init__(self, path: bytes, detail: str, *, hint: str | None = None) -> None:
        super().__init__(f"cannot check out {printable(path)}: {detail}", hint=hint)
        self.path = path


class PrivilegeError(StoreError):
    """Something that only root may do."""


class WorkerError(StoreError):
    """A worker process died without an answer, for instance because memory ran out."""

    hint: str | None = "perhaps memory ran out: see 'dmesg'; try again"

    def __init__(self, status: str) -> None:
        super().__init__(f"a worker process died ({status})")
        self.status = status


def _rebuild(
    kind: type[StoreError], args: tuple[object, ...], facts: dict[str, object]
) -> StoreError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


def printable(path: bytes) -> str:
    """A path as one line of text: undecodable bytes and control characters are escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
