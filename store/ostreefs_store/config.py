# SPDX-License-Identifier: LGPL-2.1-or-later
"""The text of ``config.toml``: what it says, and how it is edited. Pure.

::

    [repository]                        fixed when the repository is made
    format = 1
    mode = "bare"
    [features]                          see docs/format.md
    [core]
    min-free-space-percent = 3          of the filesystem, that no commit may use; 0: all of it
    min-free-space-size = "500MB"       the same as a size, which then decides alone
    reflog-limit = 1000                 moves of each ref that the reflog keeps
    [retention]                         what ``prune`` keeps of a ref (or of all that match)
    "os/stable" = "7 daily, 52 weekly"
    "nightly/*" = "14 last"

A *setting* is known by its key, section and name with a dot between: ``retention.os/stable``.
Settings are looked at when they are needed: a wrong one stops what needs it, and nothing else.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from ostreefs_store.errors import (
    InvalidSettingError,
    NotARepositoryError,
    SettingNotFoundError,
    UnsupportedFormatError,
)
from ostreefs_store.objects import MODES, Mode
from ostreefs_store.retention import Policy, parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG_NAME = "config.toml"
FORMAT_VERSION = 1

TWINS = "twins"
"""The feature of having objects without an object file of their own, see `index`."""

PACKED = "zstd-trees"
"""The feature of having compressed trees in the index, see `packing`."""

FEATURES = (TWINS, PACKED)
"""What a program must know to do anything with a repository that this one has written to."""

_PERCENT = "core.min-free-space-percent"
_SIZE = "core.min-free-space-size"
_REFLOG = "core.reflog-limit"
_RETENTION = "retention."
DEFAULT_PERCENT = 3
DEFAULT_REFLOG_LIMIT = 1000
_PERCENT_MAX = 99
_FIXED = ("repository", "features")
_UNITS = {"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

Value = Any
"""What TOML has: text, numbers, lists of them."""


class Config(NamedTuple):
    """What ``config.toml`` says."""

    mode: Mode
    missing: tuple[str, ...] = ()
    """Those of `FEATURES` that it does not have yet: older programs are not kept away."""
    settings: tuple[tuple[str, Value], ...] = ()
    """(key, value) in the order of the file."""

    @property
    def min_free_space_percent(self) -> int:
        """Percent of the filesystem that stay free. Raises `InvalidSettingError`."""
        value: int = _check(_PERCENT, dict(self.settings).get(_PERCENT, DEFAULT_PERCENT))
        return value

    @property
    def min_free_space_size(self) -> int | None:
        """Bytes that stay free, when that is set. Raises `InvalidSettingError`."""
        text = dict(self.settings).get(_SIZE)
        return None if text is None else _parse_size(_check(_SIZE, text)) or None

    @property
    def reflog_limit(self) -> int:
        """How many moves of each ref are kept. Raises `InvalidSettingError`."""
        value: int = _check(_REFLOG, dict(self.settings).get(_REFLOG, DEFAULT_REFLOG_LIMIT))
        return value

    def find_policy(self, ref: str) -> Policy | None:
        """What is set for a ref: by its own name, else by the first pattern that it matches.

        Raises `InvalidSettingError`.
        """
        policies = [item for item in self.settings if item[0].startswith(_RETENTION)]
        for is_meant in (str.__eq__, fnmatchcase):
            for key, value in policies:
                if is_meant(ref, key.removeprefix(_RETENTION)):
                    return parse_policy(_check(key, value))
        return None


def format_config(mode: Mode) -> str:
    """The text of a new ``config.toml``."""
    return (
        "# ostreefs repository; see docs/format.md\n"
        "[repository]\n"
        f"format = {FORMAT_VERSION}\n"
        f'mode = "{mode}"\n'
        "\n"
        "# Features by what a program that does not know them may still do:\n"
        "# read and write, read alone, nothing.\n"
        "[features]\n"
        "compatible = []\n"
        "ro-compatible = []\n"
        f"incompatible = {json.dumps(FEATURES)}\n"
    )


def with_feature(text: str, feature: str) -> str:
    """A ``config.toml`` with one more incompatible feature; whatever else it says stays."""
    found = re.search(r"^incompatible\s*=\s*\[([^\]]*)\]", text, re.MULTILINE)
    if found:
        listed = ", ".join(filter(None, [found[1].strip().rstrip(","), f'"{feature}"']))
        return f"{text[: found.start()]}incompatible = [{listed}]{text[found.end() :]}"
    line = f'incompatible = ["{feature}"]\n'
    head = re.search(r"^\[features\][^\n]*\n", text, re.MULTILINE)
    if head:
        return text[: head.end()] + line + text[head.end() :]
    return f"{text.rstrip()}\n\n[features]\n{line}"


_PRISTINE = {format_config(mode): Config(mode) for mode in MODES}


def parse_config(text: str, path: str, *, writable: bool) -> Config:
    """What a ``config.toml`` says.

    Raises `UnsupportedFormatError` for a newer format or features that this program does not know,
    `NotARepositoryError` for text that is no such configuration.
    """
    if text in _PRISTINE:  # as most repositories have it
        return _PRISTINE[text]
    try:
        document = _load(text)
        section = document["repository"]
        version = section["format"]
        if version != FORMAT_VERSION:
            detail = f"its format is {version}, this program knows {FORMAT_VERSION}"
            raise UnsupportedFormatError(path, detail)
        mode = section["mode"]
        features = document.get("features", {})
        incompatible = list(features.get("incompatible", []))
        strange = [feature for feature in incompatible if feature not in FEATURES]
        if writable:
            strange += features.get("ro-compatible", [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotARepositoryError(path, f"{CONFIG_NAME}: {error}") from None
    if strange:
        raise UnsupportedFormatError(path, f"features {', '.join(map(str, strange))}")
    if mode not in MODES:
        raise UnsupportedFormatError(path, f"mode {mode!r}")
    settings = [item for item in _flatten(document) if item[0].split(".")[0] not in _FIXED]
    missing = tuple(feature for feature in FEATURES if feature not in incompatible)
    return Config(mode, missing, tuple(settings))


# ---- settings by their keys ----


def list_settings(text: str) -> dict[str, Value]:
    """Everything that a ``config.toml`` says, by key."""
    return dict(_flatten(_load(text)))


def get_setting(text: str, key: str) -> Value:
    """The value of a key. Raises `SettingNotFoundError`."""
    found = list_settings(text).get(key)
    if found is None:
        if key in _KNOWN or key.startswith(_RETENTION):
            _split(key)
        else:
            _require_known(key)
        raise SettingNotFoundError(key)
    return found


def set_setting(text: str, key: str, value: str) -> str:
    """The text with a setting made or changed; comments and everything else stay.

    Raises `InvalidSettingError`.
    """
    section, name = _split(key)
    checked = _check(key, int(value) if key in _NUMBERS and _is_number(value) else value)
    line = f"{_quote(name)} = {json.dumps(checked, ensure_ascii=False)}"
    lines, found, end = _locate(text, section, name)
    if found is not None:
        comment = re.search(r'^[^#"]*(?:"(?:[^"\\]|\\.)*"[^#"]*)*(#.*)$', lines[found])
        lines[found] = f"{line}  {comment[1]}" if comment else line
    elif end is not None:
        lines.insert(end, line)
    else:
        lines += [*([""] if lines and lines[-1].strip() else []), f"[{section}]", line]
    return _checked_edit(text, lines, key, checked)


def unset_setting(text: str, key: str) -> str:
    """The text without a setting. Raises `SettingNotFoundError`, `InvalidSettingError`."""
    if key not in list_settings(text):
        raise SettingNotFoundError(key)
    section, _, name = key.partition(".")
    if section in _FIXED:
        raise InvalidSettingError(key, "it is fixed when the repository is made")
    lines, found, _ = _locate(text, section, name)
    if found is not None:
        del lines[found]
    return _checked_edit(text, lines, key, None)


def format_value(value: Value) -> str:
    """A value as a person wants to see it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _split(key: str) -> tuple[str, str]:
    """Section and name of a setting that may be changed."""
    section, _, name = key.partition(".")
    if section in _FIXED:
        raise InvalidSettingError(key, "it is fixed when the repository is made")
    _require_known(key)
    if not name.isprintable() or {'"', "\\"} & set(name):
        raise InvalidSettingError(key, "no ref has such a name")
    return section, name


def _require_known(key: str) -> None:
    if key not in _KNOWN and (not key.startswith(_RETENTION) or key == _RETENTION):
        raise InvalidSettingError(
            key, "there is no such setting", hint=f"there are {', '.join(_KNOWN)}, retention.REF"
        )


def _check(key: str, value: Value) -> Value:
    """The value, when it is one that the key may have. Raises `InvalidSettingError`."""
    reason = _KNOWN.get(key, _why_no_policy)(value)
    if reason:
        raise InvalidSettingError(key, reason)
    return value


def _why_no_percent(value: Value) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _PERCENT_MAX:
        return None
    return f"{value!r} is no number from 0 to {_PERCENT_MAX}"


def _why_no_size(value: Value) -> str | None:
    if isinstance(value, str) and _parse_size(value) is not None:
        return None
    return f"{value!r} is no size: write a number and MB, GB or TB, such as 500MB"


def _why_no_policy(value: Value) -> str | None:
    try:
        parse_policy(value if isinstance(value, str) else str(value))
    except ValueError as error:
        return str(error)
    return None


def _why_no_count(value: Value) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return None
    return f"{value!r} is no number above 0"


_NUMBERS = {_PERCENT, _REFLOG}
_KNOWN: dict[str, Callable[[Value], str | None]] = {
    _PERCENT: _why_no_percent,
    _SIZE: _why_no_size,
    _REFLOG: _why_no_count,
}


def _parse_size(text: str) -> int | None:
    """Bytes of ``500MB``, in powers of two as ostree has them."""
    match = re.fullmatch(r"([0-9]{1,9})(MB|GB|TB)", text, re.ASCII)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


# ---- TOML ----


def _locate(text: str, section: str, name: str) -> tuple[list[str], int | None, int | None]:
    """The lines; where the setting stands; where a new one of the section belongs."""
    lines = text.splitlines()
    found = end = None
    is_inside = False
    names = {name, _quote(name)}
    for number, line in enumerate(lines):
        header = re.match(r"\s*\[\s*([^\]]*?)\s*\]", line)
        if header:
            is_inside = header[1] == section
        if not is_inside:
            continue
        if line.strip():
            end = number + 1
        if not header and line.partition("=")[0].strip() in names:
            found = number
    return lines, found, end


def _checked_edit(text: str, lines: list[str], key: str, value: Value | None) -> str:
    """The edited text, when it says what it should, and nothing else differs."""
    wanted = list_settings(text)
    wanted.pop(key, None)
    if value is not None:
        wanted[key] = value
    edited = "\n".join(lines) + "\n"
    try:
        is_right = list_settings(edited) == wanted
    except ValueError:
        is_right = False
    if not is_right:
        raise InvalidSettingError(
            key, f"{CONFIG_NAME} has a form that cannot be edited here", hint="edit it by hand"
        )
    return edited


def _quote(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _flatten(document: dict[str, Any]) -> list[tuple[str, Value]]:
    return [
        (f"{section}.{name}", value)
        for section, values in document.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]


_PLAIN = r'"[^"\\\x00-\x1f\x7f]*"'
_VALUE = rf"{_PLAIN}|0|[1-9][0-9]{{0,8}}|\[(?:{_PLAIN}(?:, {_PLAIN})*)?\]"
_LINE = re.compile(
    rf"(?:\[([a-z-]+)\]|([A-Za-z0-9_-]+|{_PLAIN})[ ]*=[ ]*({_VALUE}))?"
    r"[ ]*(?:\#[^\x00-\x08\x0a-\x1f\x7f]*)?"
)


def _load(text: str) -> dict[str, Any]:
    """Parse TOML. Raises `ValueError`."""
    document = _load_simple(text)
    if document is not None:
        return document
    import tomllib  # noqa: PLC0415 -- 10 ms, which what we write ourselves need not cost

    return tomllib.loads(text)


def _load_simple(text: str) -> dict[str, Any] | None:
    """Parse what this module writes; None for anything else, right or wrong."""
    document: dict[str, Any] = {}
    values: dict[str, Any] | None = None
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        section, name, value = match.groups()
        if section is not None:
            if section in document:
                return None
            values = document[section] = {}
        elif name is not None:
            name = name.strip('"')
            if values is None or name in values:
                return None
            values[name] = json.loads(value)
    return document
