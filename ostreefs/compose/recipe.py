# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recipes: an order, and what its commit is to be called, as TOML. Pure.

::

    base = "gnome/stable"                   a revision
    branch = "gnome/with-my-mesa"           these are optional:
    subject = "GNOME with my Mesa"
    body = "…"
    on-conflict = "last"
    owner-uid = 0
    owner-gid = 0

    [[step]]                                in the order in which they apply
    overlay = "mesa/main"
    subpath = "/usr"
    dest = "/usr"

    [[step]]
    dir = "files"                           paths are relative to the recipe
    dest = "/etc"

    [[step]]
    deb = "tools_1.0_amd64.deb"             or rpm
    digest = "…"                            what b3sum says of it; another file is refused

    [[step]]
    run = "ldconfig"
"""

from __future__ import annotations

import json
import os.path
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ostreefs.compose.errors import RecipeError
from ostreefs.compose.steps import (
    ON_CONFLICT,
    Directory,
    Order,
    Overlay,
    PackageFile,
    Run,
    Step,
    check_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXTS = ("base", "branch", "subject", "body", "on-conflict")
_NUMBERS = ("owner-uid", "owner-gid")
_TOP = (*_TEXTS, *_NUMBERS, "step")
_STEP_KEYS: dict[str, tuple[str, ...]] = {
    "overlay": ("subpath", "dest"),
    "dir": ("dest", "tree"),
    "deb": ("digest",),
    "rpm": ("digest",),
    "run": (),
}
_ID_MAX = 2**32 - 2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LINE_OF_ERROR = re.compile(r" \(at line (\d+), column \d+\)$")


class Recipe(NamedTuple):
    """An order, and where its commit goes; `base` may be empty, for the command line to say."""

    order: Order
    branch: str | None = None
    subject: str = ""
    body: str = ""


def parse_recipe(text: str, path: str) -> Recipe:
    """Parse a recipe; paths in it are taken from where `path` lies. Raises `RecipeError`."""
    import tomllib  # noqa: PLC0415 -- 10 ms, for recipes alone

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE_OF_ERROR.search(str(error))
        detail = _LINE_OF_ERROR.sub("", str(error))
        raise RecipeError(path, int(found[1]) if found else 0, f"no TOML: {detail}") from None
    return _Parser(text, path).recipe(document)


def format_recipe(recipe: Recipe, folder: str = "/") -> str:
    """The text of a recipe that lies in `folder`, or belongs nowhere and has absolute paths."""
    lines = list(_format_top(recipe))
    for step in recipe.order.steps:
        lines += ["", "[[step]]", *_format_step(step, folder)]
    return "\n".join([*lines, ""])


# ---- reading


class _Parser:
    """Makes values of what TOML gave, and finds the lines that errors are about."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.splitlines()
        self._path = path
        self._folder = os.path.dirname(path)

    def recipe(self, document: dict[str, Any]) -> Recipe:
        """The whole."""
        for key in document:
            if key not in _TOP:
                raise self._error(0, key, f"unknown key '{key}'", f"known are {', '.join(_TOP)}")
        texts = {key: self._text(document, key, 0) for key in _TEXTS if key in document}
        numbers = {key: self._id(document, key) for key in _NUMBERS if key in document}
        conflict = texts.get("on-conflict", "fail")
        if conflict not in ON_CONFLICT:
            raise self._error(
                0, "on-conflict", f"'{conflict}' is none of {', '.join(ON_CONFLICT)}"
            )
        order = Order(
            texts.get("base", ""),
            tuple(self._steps(document.get("step", []))),
            conflict,
            numbers.get("owner-uid"),
            numbers.get("owner-gid"),
        )
        return Recipe(order, texts.get("branch"), texts.get("subject", ""), texts.get("body", ""))

    def _steps(self, tables: object) -> Iterator[Step]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error(0, "step", "steps are written as [[step]]")
        for number, table in enumerate(tables, 1):
            try:
                yield self._step(table, number)
            except ValueError as error:
                raise self._error(number, "dest", str(error)) from None

    def _step(self, table: dict[str, Any], number: int) -> Step:
        kinds = [key for key in table if key in _STEP_KEYS]
        if len(kinds) != 1:
            known = ", ".join(_STEP_KEYS)
            told = f"has {' and '.join(kinds)}" if kinds else "says nothing to do"
            raise self._error(number, "", f"step {number} {told}", f"a step is one of {known}")
        kind = kinds[0]
        for key in table:
            if key != kind and key not in _STEP_KEYS[kind]:
                allowed = ", ".join(_STEP_KEYS[kind]) or "no other key"
                raise self._error(
                    number, key, f"unknown key '{key}'", f"beside {kind} there may be {allowed}"
                )
        said = {key: self._text(table, key, number) for key in table}
        if not said[kind]:
            raise self._error(number, kind, f"{kind} is empty")
        match kind:
            case "overlay":
                subpath = check_path(said.get("subpath", "/"))
                return Overlay(said[kind], subpath, check_path(said.get("dest", subpath)))
            case "dir":
                path, dest = self._found(said[kind]), check_path(said.get("dest", "/"))
                return Directory(path, dest, self._digest(said, "tree", number))
            case "run":
                return Run(said[kind])
            case _:
                digest = self._digest(said, "digest", number)
                return PackageFile(cast("Any", kind), self._found(said[kind]), digest)

    def _found(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, path))

    def _text(self, table: dict[str, Any], key: str, number: int) -> str:
        value = table[key]
        if not isinstance(value, str) or "\0" in value:
            raise self._error(number, key, f"{key} is not text")
        return value

    def _id(self, table: dict[str, Any], key: str) -> int:
        value = table[key]
        if type(value) is not int or not 0 <= value <= _ID_MAX:
            raise self._error(0, key, f"{key} is not a number from 0 to {_ID_MAX}")
        return value

    def _digest(self, said: dict[str, str], key: str, number: int) -> str | None:
        if key in said and not _DIGEST.fullmatch(said[key]):
            raise self._error(number, key, f"{key} is not 64 digits of hex")
        return said.get(key)

    def _error(self, number: int, key: str, detail: str, hint: str | None = None) -> RecipeError:
        return RecipeError(self._path, self._line_of(number, key), detail, hint=hint)

    def _line_of(self, number: int, key: str) -> int:
        """The line of a key, or with no key of the header, of the step of a number; 0 for none.

        `tomllib` does not tell. A key inside a text of several lines may be taken for it.
        """
        wanted = re.compile(
            rf"\s*(?:\"{re.escape(key)}\"|'{re.escape(key)}'|{re.escape(key)})\s*="
        )
        step = header = 0
        for line, text in enumerate(self._lines, 1):
            if re.match(r"\s*\[\[?\s*[\"']?step\b", text):
                step += 1
                header = line if step == number else header
                if key == "step":
                    return line
            elif (step == number and key and wanted.match(text)) or (
                not number and re.match(rf"\s*\[\[?\s*[\"']?{re.escape(key)}\b", text)
            ):
                return line
        return header


# ---- writing


def _format_top(recipe: Recipe) -> Iterator[str]:
    order = recipe.order
    values: dict[str, str | int | None] = {
        "base": order.base,
        "branch": recipe.branch,
        "subject": recipe.subject or None,
        "body": recipe.body or None,
        "on-conflict": order.on_conflict if order.on_conflict != "fail" else None,
        "owner-uid": order.owner_uid,
        "owner-gid": order.owner_gid,
    }
    yield from (f"{key} = {_quote(value)}" for key, value in values.items() if value is not None)


def _format_step(step: Step, folder: str) -> Iterator[str]:
    values: dict[str, str | None]
    match step:
        case Overlay(revision, subpath, dest):
            values = {
                "overlay": revision,
                "subpath": subpath if subpath != "/" else None,
                "dest": dest if dest != subpath else None,
            }
        case Directory(path, dest, tree):
            dest_or_none = dest if dest != "/" else None
            values = {"dir": _relative(path, folder), "dest": dest_or_none, "tree": tree}
        case PackageFile(kind, path, digest):
            values = {kind: _relative(path, folder), "digest": digest}
        case _:
            values = {"run": step.command}
    yield from (f"{key} = {_quote(value)}" for key, value in values.items() if value is not None)


def _relative(path: str, folder: str) -> str:
    absolute = os.path.abspath(path)
    return absolute if folder == "/" else os.path.relpath(absolute, folder)


def _quote(value: str | int) -> str:
    """As TOML: its basic strings are those of JSON, but for DEL."""
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
