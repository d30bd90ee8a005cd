# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pages in a real browser: nothing is fetched, nothing goes wrong, all of it can be seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import Page, running_chromium

BOXES = """
Array.from(document.querySelectorAll(%r), element => {
    const box = element.getBoundingClientRect();
    return [box.width, box.height];
})
"""
CONTRASTS = """
(() => {
    const parts = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = parts(getComputedStyle(element).backgroundColor);
            if (colour.length === 3) return colour;
        }
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || element instanceof SVGElement) continue;
        const pair = [light(parts(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        found.push([ratio, element.className, walker.currentNode.data.trim()]);
    }
    return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running_chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def show(browser: Page, path: Path, *, width: int = 1200, dark: bool = False) -> None:
    """Open a page that neither asks for anything but itself nor complains."""
    browser.open(path, width=width, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.readyState") == "complete"
    assert browser.complaints == []
    assert browser.requests == [path.resolve().as_uri()]


def boxes(browser: Page, selector: str) -> list[Any]:
    """Width and height of all that a selector finds; there must be something."""
    found: list[Any] = browser.evaluate(BOXES % selector)
    assert found, selector
    return found


def check_layout(browser: Page, width: int) -> None:
    """Nothing sticks out, and every text can be read."""
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    dim = [each for each in browser.evaluate(CONTRASTS) if each[0] < 4.5]
    assert not dim, "contrast as of WCAG AA"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 360])
def test_history(browser: Page, page: Path, width: int, dark: bool) -> None:
    show(browser, page, width=width, dark=dark)
    assert len(boxes(browser, ".build")) == 4
    assert len(boxes(browser, ".dot")) == 4
    assert len(boxes(browser, ".hit")) == 8
    for selector in (".line", ".dot", ".hit", ".up", "summary", ".more", "table", "h1"):
        assert all(min(box) > 0 for box in boxes(browser, selector)), selector
    heights = [height for _, height in boxes(browser, ".lines .tail")]
    assert min(heights) > 50, "lines run on beside what was opened"
    check_layout(browser, width)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 360])
def test_bisection(browser: Page, bisection_page: Path, width: int, dark: bool) -> None:
    show(browser, bisection_page, width=width, dark=dark)
    assert len(boxes(browser, ".dot")) == 7
    assert len(boxes(browser, ".mark")) == 5
    assert len(boxes(browser, "pre")) == 3
    for selector in (".dot", ".mark", ".sign", ".range rect", "pre", "h1", ".culprit", "table"):
        assert all(min(box) > 0 for box in boxes(browser, selector)), selector
    [culprit] = boxes(browser, ".culprit .dot")
    assert culprit > max(boxes(browser, ".build:not(.culprit) .dot"))
    colours = (
        "new Set(Array.from(document.querySelectorAll('.dot'), d => getComputedStyle(d).fill))"
    )
    assert browser.evaluate(f"{colours}.size") == 4, "good, bad, skipped, untested"
    check_layout(browser, width)


def test_a_link_opens_what_it_leads_to(browser: Page, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('details[open]').length") == 0
    target = browser.evaluate("document.querySelectorAll('.more')[2].id")
    browser.evaluate(f"location.hash = '#{target}'")
    opened = "document.querySelector('details[open] .more')?.id"
    for _ in range(100):
        if browser.evaluate(opened) == target:
            break
    assert browser.evaluate(opened) == target


def test_print(browser: Page, page: Path) -> None:
    """On paper nothing can be unfolded."""
    seen = "Array.from(document.querySelectorAll('.more'), e => e.checkVisibility())"
    browser.open(page)
    assert browser.evaluate(seen) == [False] * 4
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(seen) == [True] * 4
    browser.call("Emulation.setEmulatedMedia", media="")


def test_keyboard(browser: Page, page: Path) -> None:
    """Every build can be reached and opened; the charts stand in nobody's way."""
    browser.open(page)
    for kind in ("keyDown", "keyUp") * 2:
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.localName") == "summary"
