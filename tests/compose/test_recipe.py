# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recipes and command lines become the same values, and the other way round."""

import pytest

from ostreefs.compose.errors import RecipeError
from ostreefs.compose.recipe import Recipe, format_recipe, parse_recipe
from ostreefs.compose.steps import (
    Directory,
    Order,
    Overlay,
    PackageFile,
    Run,
    format_overlay,
    parse_command,
    parse_directory,
    parse_overlay,
    parse_package,
)

WHOLE = Recipe(
    Order(
        "gnome/stable@{2026-01-31}",
        (
            Overlay("mesa", "/usr/lib", "/usr/lib64"),
            Overlay("mesa~2", "/", "/opt/mesa"),
            Directory("/srv/recipes/files", "/etc", "ab" * 32),
            PackageFile("deb", "/srv/a.deb", "cd" * 32),
            PackageFile("rpm", "/srv/recipes/a b.rpm"),
            Run('echo "a\\b"\n\tls \x7f ä'),
        ),
        "last",
        0,
        7,
    ),
    "gnome/mine",
    'with "quotes"',
    "a\nbody",
)


@pytest.mark.parametrize("folder", ["/", "/srv/recipes"])
def test_there_and_back(folder: str) -> None:
    text = format_recipe(WHOLE, folder)
    assert ("/srv/recipes" in text) == (folder == "/")
    assert parse_recipe(text, f"{folder.rstrip('/')}/x.toml") == WHOLE


def test_the_least() -> None:
    assert parse_recipe("", "x.toml") == Recipe(Order(""))
    assert format_recipe(Recipe(Order("main"))) == 'base = "main"\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('base = "a"\nbrunch = "b"\n', 2, "unknown key 'brunch'"),
        ("\n[steps]\n", 2, "unknown key 'steps'"),
        ('[[step]]\nrun = "a"\n\n[[step]]\nrun = "b"\ndest = "/x"\n', 6, "unknown key 'dest'"),
        ('[[step]]\nrun = "a"\n[[step]]\ndir = "a"\ndeb = "b"\n', 3, "step 2 has dir and deb"),
        ('[[step]]\nrun = "a"\n[[step]]\ndest = "b"\n', 3, "step 2 says nothing"),
        ('[[step]]\noverlay = "a"\n\ndest = "/a/../b"\n', 4, "leads upwards"),
        ('[[step]]\ndeb = "a"\ndigest = "b"\n', 3, "64 digits"),
        ("[[step]]\nrun = 3\n", 2, "run is not text"),
        ('[[step]]\nrun = ""\n', 2, "run is empty"),
        ('[step]\nrun = "x"\n', 1, "[[step]]"),
        ('base = "a"\nowner-uid = true\n', 2, "not a number"),
        ('base = "a"\nowner-uid = -1\n', 2, "not a number"),
        ('\non-conflict = "first last"\n', 2, "none of fail, first, last"),
        ('base = "a"\nbase = "b"\n', 2, "no TOML"),
        ("base = \n", 1, "no TOML"),
    ],
)
def test_errors_have_a_line(text: str, line: int, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "x.toml")
    assert caught.value.line == line
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"x.toml:{line}: ")


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("mesa", Overlay("mesa")),
        ("mesa=>/opt", Overlay("mesa", "/", "/opt")),
        ("mesa:usr/lib", Overlay("mesa", "/usr/lib", "/usr/lib")),
        ("mesa:/usr=>opt/x/", Overlay("mesa", "/usr", "/opt/x/")),
        (
            "m@{2026-01-31 12:00:00}^:/a:b",
            Overlay("m@{2026-01-31 12:00:00}^", "/a:b", "/a:b"),
        ),
    ],
)
def test_overlays(text: str, step: Overlay) -> None:
    assert parse_overlay(text) == step
    assert parse_overlay(format_overlay(step)) == step


@pytest.mark.parametrize("text", ["", ":/usr", "a:", "a=>", "a=>/x/../y", "=>/x", "a:/../b=>/c"])
def test_what_is_no_overlay(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no|follows|leads upwards"):
        parse_overlay(text)


def test_directories() -> None:
    assert parse_directory("a=>b") == Directory("a", "/b")
    assert parse_directory("a") == Directory("a")
    with pytest.raises(ValueError, match="names no"):
        parse_directory("=>/b")


def test_packages_and_commands() -> None:
    assert parse_package("rpm", "a") == PackageFile("rpm", "a")
    assert parse_command(" ") == Run(" ")
    with pytest.raises(ValueError, match="names no file"):
        parse_package("deb", "")
    with pytest.raises(ValueError, match="no command"):
        parse_command("")
