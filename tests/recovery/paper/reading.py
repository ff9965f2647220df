"""What readers of Markdown and HTML make of a page: its shape, and the words that show."""

from __future__ import annotations

from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

VOID = {"meta"}


def tokens(markdown: str) -> list[Token]:
    """Parse as GitHub does: with tables, struck-out words and HTML."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)


def kinds(markdown: str) -> set[str]:
    """Name all that stands in it."""
    found = set()
    for token in tokens(markdown):
        found |= {token.type, *(child.type for child in token.children or ())}
    return found


def shown(markdown: str) -> list[str]:
    """Give the letters of each line of words."""
    return ["".join(child.content for child in token.children or ()) for token in tokens(markdown) if token.children]


class Read(HTMLParser):
    """The tags of an HTML page, all its attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()
        self.text: list[str] = []
        self.open: list[str] = []
        self.comments: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= set(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)
