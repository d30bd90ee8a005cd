# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page of a history: whole, escaped, and with what it is about."""

import json
import os
from pathlib import Path

from ostreefs.text import format_time
from tests.pages.markup import check_page
from tests.support.bisections import INJECTION
from tests.support.builds import Builder
from tests.support.commands import ordinary_user, ostreefs_output


def test_page_is_well_formed_and_alone(page: Path) -> None:
    text = page.read_text()
    markup = check_page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "default-src 'none'" in text
    assert markup.tags.count("details") == 4
    assert "{{" not in text
    assert "{%" not in text


def test_what_others_wrote_is_text(page: Path) -> None:
    markup = check_page(page.read_text())
    assert markup.texts.count(INJECTION) == 3  # subject, body, metadata
    assert "/a<img src=x onerror=alert(1)>.txt" in markup.texts
    assert "<i>new</i>" in markup.texts
    assert "<k>" in markup.texts
    assert {"one =", "two"} <= {*markup.texts}
    assert "<2>" in markup.texts


def test_no_control_character_reaches_the_page(page: Path) -> None:
    text = page.read_text()
    assert all(character.isprintable() or character == "\n" for character in text)
    texts = check_page(text).texts
    assert r"/latin-\xe9" in texts
    assert r"/new\nline" in texts
    assert r"second \x1b[31m    line" in texts
    assert r"\u202eMerge" in texts


def test_changes_are_bounded(page: Path, repository: Path) -> None:
    assert "and 9 more" in check_page(page.read_text()).texts
    words = ("--repo", repository, "history", "main", "--html=-")
    few = check_page(ostreefs_output(*words, "--changes=2").decode())
    assert "and 27 more" in few.texts
    none = check_page(ostreefs_output(*words, "--changes=0").decode())
    assert not any("more" in text for text in none.texts)
    assert "/lib/1" not in none.texts


def test_packages_and_links(page: Path, repository: Path) -> None:
    markup = check_page(page.read_text())
    assert [markup.texts.count(word) for word in ("upgraded", "removed")] == [2, 2]
    main = ostreefs_output("--repo", repository, "rev-parse", "main", "main^").decode().split()
    assert set(main) <= {*markup.ids}
    assert f"#{main[1]}" in markup.links


def test_a_parent_that_is_not_shown_is_no_link(repository: Path) -> None:
    page = ostreefs_output("--repo", repository, "history", "main", "-n1", "--html=-").decode()
    markup = check_page(page)
    assert len(markup.ids) == 1


def test_builds_of_one_day_have_times(repository: Path) -> None:
    words = ("--repo", repository, "history", "main", "-n1")
    [build] = json.loads(ostreefs_output("--json", *words))
    date = format_time(build["timestamp"])
    markup = check_page(ostreefs_output(*words, "--html=-").decode())
    assert f"1 build, {date[:10]}" in markup.texts
    assert date[11:16] in markup.texts


def test_no_builds(repository: Path) -> None:
    words = ("history", "main", "--since=2999-01-01", "--html=-")
    markup = check_page(ostreefs_output("--repo", repository, *words).decode())
    assert "No build is in this range." in markup.texts


def test_the_same_history_makes_the_same_page(page: Path, repository: Path) -> None:
    again = ostreefs_output("--repo", repository, "history", "main", "--html=-")
    assert again == page.read_bytes()


def test_as_an_ordinary_user(tmp_path: Path) -> None:
    """One who may read a repository of somebody else's, and write to standard output."""
    with ordinary_user() as account:
        assert account.home is not None
        repository = account.home / "repo"
        Builder(repository, tmp_path / "source").build({"a": b"1"}, subject="One", ref="main")
        before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
        words = ("--repo", repository, "history", "main", "--html=-")
        markup = check_page(ostreefs_output(*words, account=account).decode())
        after = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    assert "One" in markup.texts
    assert after == before or os.geteuid() != 0
