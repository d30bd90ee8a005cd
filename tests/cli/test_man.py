# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages have every verb and every option, and none that there is not."""

import re

import pytest

from ostreefs.cli.arguments import Parser
from ostreefs.cli.dispatch import GROUPS, VERBS, load_verb
from tests.support.project import ROOT

FOLDER = ROOT / "docs/man"
PAGE = (FOLDER / "ostreefs.1").read_text(encoding="utf-8")
GLOBAL = Parser(prog="ostreefs", description="")
WORDS = [f"{group} {word}" for group, verbs in GROUPS.items() for word in verbs]
"""The verbs of verbs: sections of one page."""


def options_of(parser: Parser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def section(title: str) -> str:
    """What stands under a .Sh, up to the next one."""
    return re.split(r"^\.Sh ", PAGE.split(f"\n.Sh {title}\n")[1], flags=re.MULTILINE)[0]


def page_of(verb: str) -> str:
    """The page of a verb; of one that has verbs of its own what is before their sections."""
    group, _, word = verb.partition(" ")
    page = (FOLDER / f"ostreefs-{group}.1").read_text(encoding="utf-8")
    sections = re.compile(r"^\.Ss (\S+)\n.*?(?=^\.S[sh] )", re.MULTILINE | re.DOTALL)
    if word:
        [found] = [match[0] for match in sections.finditer(page) if match[1] == word]
        return found
    return sections.sub("", page) if verb in GROUPS else page


def of_group(verb: str) -> set[str]:
    """The options that a verb of a verb has from that one; they are told once, before all."""
    group, _, word = verb.partition(" ")
    return options_of(load_verb(group)[0]) if word else set()


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


@pytest.mark.parametrize("group", GROUPS)
def test_a_page_has_every_verb_of_its_group(group: str) -> None:
    page = (FOLDER / f"ostreefs-{group}.1").read_text(encoding="utf-8")
    assert re.findall(r"^\.Ss (\S+)$", page, flags=re.MULTILINE) == list(GROUPS[group])
    for word, (_, summary) in GROUPS[group].items():
        told = page_of(f"{group} {word}").replace("\n", " ")
        assert summary in told, word


@pytest.mark.parametrize("verb", [*VERBS, *WORDS])
def test_options(verb: str) -> None:
    parser, _ = load_verb(verb)
    assert options_in(page_of(verb)) == options_of(parser) - options_of(GLOBAL) - of_group(verb)


@pytest.mark.parametrize("verb", [*VERBS, *WORDS])
def test_values(verb: str) -> None:
    """An option that takes a value says so on the page, and no other one does."""
    parser, _ = load_verb(verb)
    for action in parser._actions:
        for option in action.option_strings:
            if not option.startswith("--") or option in options_of(GLOBAL) | of_group(verb):
                continue
            [item] = re.findall(
                rf"^\.It .*Fl {option[1:]}( Ns = .*)?$", page_of(verb), re.MULTILINE
            )
            assert bool(item) == (action.nargs != 0), option


def test_exit_statuses() -> None:
    listed = re.findall(r"^\.It (\d+)$", section("EXIT STATUS"), flags=re.MULTILINE)
    assert listed == ["0", "1", "2", "3", "70", "130", "141"]
