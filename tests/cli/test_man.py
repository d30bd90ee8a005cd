# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages have every verb and every option, and none that there is not."""

import re

import pytest

from ostreefs.cli.arguments import Parser
from ostreefs.cli.dispatch import VERBS, load_verb
from tests.support.project import ROOT

FOLDER = ROOT / "docs/man"
PAGE = (FOLDER / "ostreefs.1").read_text(encoding="utf-8")
GLOBAL = Parser(prog="ostreefs", description="")


def options_of(parser: Parser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def section(title: str) -> str:
    """What stands under a .Sh, up to the next one."""
    return re.split(r"^\.Sh ", PAGE.split(f"\n.Sh {title}\n")[1], flags=re.MULTILINE)[0]


def page_of(verb: str) -> str:
    return (FOLDER / f"ostreefs-{verb}.1").read_text(encoding="utf-8")


def options_in(text: str) -> set[str]:
    """The options that items of a list are about: ``.It Fl b , Fl -branch Ns = …``."""
    items = re.findall(r"^\.It (Fl .*)$", text, flags=re.MULTILINE)
    return {f"-{name}" for item in items for name in re.findall(r"Fl (\S+)", item)}


def test_verbs() -> None:
    listed = re.findall(r"^\.It Xr ostreefs-(\S+) 1$", section("VERBS"), flags=re.MULTILINE)
    assert listed == list(VERBS)
    assert {page.stem for page in FOLDER.glob("ostreefs-*.1")} == {f"ostreefs-{v}" for v in VERBS}


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_is_about_its_verb(verb: str) -> None:
    summary = VERBS[verb][1]
    summary = summary[0].lower() + summary[1:]
    page = page_of(verb)
    assert f"\n.Dt OSTREEFS-{verb.upper()} 1\n" in page
    assert f"\n.Nm ostreefs-{verb}\n.Nd {summary}\n.Sh SYNOPSIS\n.Nm ostreefs {verb}\n" in page
    assert f"\n.It Xr ostreefs-{verb} 1\n{summary}\n" in PAGE


def test_global_options() -> None:
    assert options_in(section("GLOBAL OPTIONS")) == options_of(GLOBAL)


@pytest.mark.parametrize("verb", VERBS)
def test_options(verb: str) -> None:
    parser, _ = load_verb(verb)
    assert options_in(page_of(verb)) == options_of(parser) - options_of(GLOBAL)


@pytest.mark.parametrize("verb", VERBS)
def test_values(verb: str) -> None:
    """An option that takes a value says so on the page, and no other one does."""
    parser, _ = load_verb(verb)
    for action in parser._actions:
        for option in action.option_strings:
            if not option.startswith("--") or option in options_of(GLOBAL):
                continue
            [item] = re.findall(
                rf"^\.It .*Fl {option[1:]}( Ns = .*)?$", page_of(verb), re.MULTILINE
            )
            assert bool(item) == (action.nargs != 0), option


def test_exit_statuses() -> None:
    listed = re.findall(r"^\.It (\d+)$", section("EXIT STATUS"), flags=re.MULTILINE)
    assert listed == ["0", "1", "2", "3", "70", "130", "141"]
