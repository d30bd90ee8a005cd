# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTML read strictly: every element must be closed; its text and links are kept."""

from html.parser import HTMLParser

VOID = {"br", "meta", "link", "img", "hr", "input"}
_FETCHING = {"src", "srcset", "action", "formaction", "poster", "data", "background"}

Attributes = list[tuple[str, str | None]]


class Markup(HTMLParser):
    """What is in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]
        self.wrong += [f"id {name} twice" for name in self.ids if self.ids.count(name) > 1]

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in _FETCHING:
                self.wrong.append(f"<{tag} {name}>")
            if name == "id":
                self.ids.append(str(value))
            if name in {"href", "xlink:href"}:
                self.links.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if data.strip() and (not self.open or self.open[-1] != "style"):
            self.texts.append(data.strip())


def check_page(page: str) -> Markup:
    """A page that is well-formed, fetches nothing, and leads to places in itself alone."""
    markup = Markup(page)
    assert not markup.wrong, markup.wrong
    assert not {"script", "iframe", "img", "object", "embed", "link", "base"} & {*markup.tags}
    assert {link[1:] for link in markup.links} <= {*markup.ids}
    assert all(link.startswith("#") for link in markup.links)
    assert "url(" not in page
    assert "@import" not in page
    return markup
