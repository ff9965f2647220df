"""Markdown and HTML: whatever the words are, they stay words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recovery.paper.reading import Read, kinds, shown, tokens

from casstore.recovery.paper.html import to_html
from casstore.recovery.paper.markdown import to_markdown
from casstore.recovery.paper.page import (
    Blanks,
    Block,
    Heading,
    Listed,
    Page,
    Paragraph,
    Step,
    Steps,
    Table,
    code,
    plain,
    visible,
)

WORDS = st.text(st.one_of(st.sampled_from("\\`*_[]<>|#&~$!-+=1.) \n:"), st.characters()), min_size=1).filter(
    lambda text: visible(text).strip() != ""
)

NASTY = (
    "    code", "&amp; &#65;", "- a", "+ a", "1. a", "1) a", "# a", "> a", "***", "---", "~~~", "```", "<b>", "![a](b)",
    "a\\", "[a]: b", "`", "a | b", "https://a.b", "$a$", "~~a~~", "==",
)  # fmt: skip


def nasty(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test try these too."""
    for words in NASTY:
        test = example(words)(test)
    return test


def page(*blocks: Block) -> Page:
    return Page("en", "Expected:", "If not:", blocks)


@nasty
@given(WORDS)
def test_words_at_the_beginning_of_a_block_show_as_they_are(words: str) -> None:
    text = visible(words).strip()
    markdown = to_markdown(page(Paragraph(plain(words)), Paragraph(plain(words), loud=True), Listed((plain(words),))))
    assert [line.strip() for line in shown(markdown)] == [text] * 3
    assert kinds(markdown) <= {
        "paragraph_open", "paragraph_close", "inline", "text", "text_special", "blockquote_open", "blockquote_close",
        "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
    }  # fmt: skip


@nasty
@given(WORDS)
def test_words_in_a_table_show_as_they_are(words: str) -> None:
    cells = (plain(words), code(words), plain("x"))
    markdown = to_markdown(page(Table(tuple(map(plain, "abc")), (cells,))))
    plain_cell, code_cell, last = shown(markdown)[3:]
    text = visible(words)
    assert plain_cell.strip() == text.strip()
    assert code_cell == text
    assert last == "x"


@nasty
@given(WORDS)
def test_commands_show_as_they_are(words: str) -> None:
    command = visible(words)
    step = Step(plain("do"), (command,), code(words), (plain(words),))
    found = tokens(to_markdown(page(Steps((step, step)))))
    assert [token.content for token in found if token.type == "fence"] == [f"{command}\n"] * 2
    assert [token.type for token in found].count("ordered_list_open") == 1
    html = Read(to_html(page(Steps((step,))), words) + "</body></html>")
    assert html.text.count(command) >= 1
    assert not html.open


@nasty
@given(WORDS)
def test_in_html_words_are_text_alone(words: str) -> None:
    blocks = (Heading(2, plain(words)), Paragraph(code(words)), Listed((plain(words),)), Blanks(2))
    html = Read(to_html(page(*blocks), words) + "</body></html>")
    assert "".join(html.text).count(visible(words)) >= 3
    assert set(html.tags) <= {"html", "head", "meta", "title", "style", "body", "h2", "p", "code", "ul", "li", "ol"}
    assert not html.comments


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31m", "a\u202eb", "a\x00", "a\u2028b"])
def test_what_does_not_show_is_written_as_an_escape(text: str) -> None:
    assert visible(text).isprintable()
    assert "\\" in visible(text)
