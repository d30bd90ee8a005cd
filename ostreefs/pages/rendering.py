# SPDX-License-Identifier: LGPL-2.1-or-later
"""Templates to pages. The only module that imports Jinja."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ostreefs import __version__
from ostreefs.text import format_duration, format_growth, format_size, format_time
from ostreefs_store.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUFFERED = 64
"""Pieces of a template that are written at a time."""

_FORMATTERS = (format_duration, format_size, format_time)


def write_page(out: IO[bytes], template: str, facts: Mapping[str, object]) -> None:
    """Render a template with facts, and write it as it comes."""
    stream = _environment().get_template(template).stream(facts)
    stream.enable_buffering(_BUFFERED)
    stream.dump(out, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ostreefs.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["made_by"] = f"ostreefs {__version__}"
    for formatter in _FORMATTERS:
        environment.filters[formatter.__name__.removeprefix("format_")] = formatter
    environment.filters["growth"] = lambda size: format_growth(size).replace("-", "\N{MINUS SIGN}")
    return environment


def _clean(value: Any) -> Any:
    """Text on one line: control characters and undecodable bytes are written out."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, bytes):
        return printable(value)
    if isinstance(value, str):
        return (
            value if value.isprintable() else printable(value.encode("utf-8", "surrogateescape"))
        )
    return value
