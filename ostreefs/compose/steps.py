# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a composition is to do, as values, and how the command line spells it. Pure.

::

    --overlay REV[:SUBPATH][=>DEST]     the tree of a commit, or what it has at SUBPATH
    --dir PATH[=>DEST]                  a directory on the disk
    --deb FILE, --rpm FILE              a package
    --run COMMAND                       a shell command inside what there is so far

Without DEST an overlay goes where it comes from (SUBPATH), and a directory to the top.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

OnConflict = Literal["fail", "first", "last"]
ON_CONFLICT: tuple[OnConflict, ...] = ("fail", "first", "last")

_ARROW = "=>"


class Overlay(NamedTuple):
    """The tree of a commit, or a part of one."""

    revision: str
    subpath: str = "/"
    dest: str = "/"

    @property
    def label(self) -> str:
        """How a person knows it."""
        part = "" if self.subpath == "/" else f":{self.subpath}"
        return f"overlay {self.revision}{part}"


class Directory(NamedTuple):
    """A directory on the disk. `tree`: the digest that it had when it was recorded."""

    path: str
    dest: str = "/"
    tree: str | None = None

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"dir {self.path}"


class PackageFile(NamedTuple):
    """A package. `digest`: what `b3sum` says of the file, when that was recorded."""

    kind: Literal["deb", "rpm"]
    path: str
    digest: str | None = None

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"{self.kind} {self.path}"


class Run(NamedTuple):
    """A command for ``/bin/sh -c``."""

    command: str

    @property
    def label(self) -> str:
        """How a person knows it."""
        return f"run '{self.command}'"


Step = Overlay | Directory | PackageFile | Run


class Order(NamedTuple):
    """All that makes up a composed tree: a base, steps in their order, and how they are taken.

    `owner_uid` and `owner_gid` are recorded for what comes from directories on the disk.
    """

    base: str
    steps: tuple[Step, ...] = ()
    on_conflict: OnConflict = "fail"
    owner_uid: int | None = None
    owner_gid: int | None = None


def parse_overlay(text: str) -> Overlay:
    """The step of ``--overlay``. Raises `ValueError` with a reason."""
    source, dest = _split_dest(text)
    revision, subpath = _split_subpath(source)
    if not revision:
        raise ValueError("it names no revision")
    if subpath is None:
        return Overlay(revision, "/", dest or "/")
    if not subpath:
        raise ValueError("nothing follows the ':'")
    subpath = check_path(subpath)
    return Overlay(revision, subpath, dest or subpath)


def parse_directory(text: str) -> Directory:
    """The step of ``--dir``. Raises `ValueError` with a reason."""
    path, dest = _split_dest(text)
    if not path:
        raise ValueError("it names no directory")
    return Directory(path, dest or "/")


def parse_package(kind: Literal["deb", "rpm"], text: str) -> PackageFile:
    """The step of ``--deb`` or ``--rpm``. Raises `ValueError` with a reason."""
    if not text:
        raise ValueError("it names no file")
    return PackageFile(kind, text)


def parse_command(text: str) -> Run:
    """The step of ``--run``. Raises `ValueError` with a reason."""
    if not text:
        raise ValueError("there is no command")
    return Run(text)


def format_overlay(step: Overlay) -> str:
    """An overlay as ``--overlay`` takes it."""
    part = "" if step.subpath == "/" else f":{step.subpath}"
    dest = "" if step.dest == step.subpath else f"{_ARROW}{step.dest}"
    return f"{step.revision}{part}{dest}"


def check_path(text: str) -> str:
    """A path in a tree, with one slash before it. Raises `ValueError` for one that leads upwards.

    A slash at the end is kept: it says that there is a directory.
    """
    if ".." in text.split("/"):
        raise ValueError(f"'{text}' leads upwards with '..'")
    return _absolute(text)


def _split_dest(text: str) -> tuple[str, str | None]:
    source, arrow, dest = text.partition(_ARROW)
    if not arrow:
        return source, None
    if not dest:
        raise ValueError(f"nothing follows the '{_ARROW}'")
    return source, check_path(dest)


def _split_subpath(text: str) -> tuple[str, str | None]:
    """Split at the first colon that is not in braces, as those of a time are."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == ":" and not depth:
            return text[:position], text[position + 1 :]
    return text, None


def _absolute(path: str) -> str:
    return "/" + path.lstrip("/")
