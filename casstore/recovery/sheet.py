"""A sheet of paper to be kept outside: where the repository is, how it is known, what opens it, how to begin. Pure.

No secret stands on it: the words are written there by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from casstore.recovery.paper.html import to_html
from casstore.recovery.paper.mark import mark_html
from casstore.recovery.paper.page import Blanks, Block, Heading, Page, Paragraph, Steps, Table, Words, code, plain
from casstore.recovery.paper.phrases import Phrases
from casstore.recovery.runbook.described import shell, without_password
from casstore.values import dataclass

WORDS = 24  # of a recovery secret
BLANK = "……………………………………"


@dataclass(frozen=True, slots=True)
class Opening:
    """A slot as it is printed. `kind` is "passphrase", "key_file" or "recovery"; days, and "" for never."""

    slot: str
    kind: str
    label: str
    made: str
    proven: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the sheet is written from. `contacts`: who, for what, and how to reach them."""

    name: str
    folder: str  # of the application; "" if none is known
    hostname: str
    repository: str  # its address
    repository_id: str
    admin: str  # fingerprint of the admin's public key
    head: tuple[int, str]  # number and hash of the last commit
    openings: tuple[Opening, ...]
    contacts: Mapping[str, str]
    printed: str  # the day
    version: str  # of cas


def fingerprint(public: bytes) -> str:
    """Give the fingerprint of a public key: SHA-256, in groups that can be read aloud."""
    letters = hashlib.sha256(public).hexdigest()[:40]
    return " ".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def to_page(kept: Kept, language: str) -> str:
    """Write the sheet as one HTML page, in one of phrases.LANGUAGES."""
    say = Phrases(language)
    page = Page(language, say.text("expected"), say.text("otherwise"), tuple(_blocks(kept, say)))
    return mark_html(to_html(page, say.text("sheet.title", name=kept.name)), f"{kept.printed} · cas {kept.version}")


def _blocks(kept: Kept, say: Phrases) -> Iterator[Block]:
    yield Heading(1, say("sheet.title", name=kept.name))
    yield Paragraph(say("sheet.begin"), loud=True)
    number, digest = kept.head
    facts: list[tuple[str, Words]] = [
        ("application", plain(kept.name)), ("folder", code(kept.folder)), ("host", plain(kept.hostname)),
        ("repository", code(without_password(kept.repository))), ("copy", plain(BLANK)),
        ("id", code(kept.repository_id)),
        ("admin", code(kept.admin)), ("anchor", say("sheet.anchor_value", number=str(number), digest=digest)),
        ("printed", plain(kept.printed)),
    ]  # fmt: skip
    yield Table((say("sheet.fact"), say("sheet.value")), tuple((say(f"sheet.{fact}"), value) for fact, value in facts))
    yield Heading(2, say("sheet.ways"))
    yield _openings(kept, say)
    yield Heading(2, say("sheet.begins"))
    yield _begins(kept, say)
    yield Heading(2, say("sheet.words"))
    yield Paragraph(say("sheet.words_do", count=str(WORDS)))
    yield Blanks(WORDS)
    yield Heading(2, say("sheet.contacts"))
    rows = [(plain(who), plain(without_password(how))) for who, how in kept.contacts.items()]
    if rows:
        yield Table((say("sheet.who"), say("sheet.how")), tuple(rows))
    yield Paragraph(say("sheet.by_hand"))


def _openings(kept: Kept, say: Phrases) -> Block:
    if not kept.openings:
        return Paragraph(say("sheet.none"), loud=True)
    rows = [
        (
            say(f"ways.{one.kind}"), plain(one.label), code(one.slot[:8]), plain(one.made),
            plain(one.proven) or say("never"), plain(BLANK),
        )
        for one in kept.openings
    ]  # fmt: skip
    return Table(
        tuple(say(f"sheet.{head}") for head in ("kind", "label", "slot", "made", "proven", "kept")), tuple(rows)
    )


def _begins(kept: Kept, say: Phrases) -> Block:
    repository = shell([kept.repository])
    words = " --recovery-words" if any(one.kind == "recovery" for one in kept.openings) else ""
    folder = f" {shell([kept.folder])}" if kept.folder else ""
    return Steps((
        say.step("sheet.install", "pipx install .", "cas --version", version=kept.version),
        say.step("sheet.header", f"cas -r {repository} cat header{words}", id=kept.repository_id),
        say.step("sheet.recover", f"cas recover --repo {repository}{words}{folder}", asking=words, folder=folder),
    ))  # fmt: skip
