"""The sheet: what must be kept outside, on one page, without a secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recovery.paper.reading import Read
from recovery.runbook.plans import HOSTILE

from casstore.recovery.paper.phrases import LANGUAGES
from casstore.recovery.sheet import WORDS, Kept, Opening, fingerprint, to_page

KEPT = Kept(
    "massaflow", "/srv/massaflow", "web1", "/srv/massaflow/backups/cas", "00112233445566778899aabbccddeeff",
    fingerprint(bytes(32)), (7, "ab" * 32),
    (Opening("a1b2c3d4e5", "passphrase", "office", "2026-01-01", "2026-02-03"),
     Opening("f1f2f3f4f5", "recovery", "", "2026-01-02", "")),
    {"on call": "Ana"}, "2026-11-25", "1.2.3",
)  # fmt: skip


def read(kept: Kept, language: str = "en") -> Read:
    return Read(to_page(kept, language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_has_all_that_is_needed_and_a_line_for_each_word(language: str) -> None:
    sheet = read(KEPT, language)
    text = "".join(sheet.text)
    for fact in (
        KEPT.repository, KEPT.repository_id, KEPT.admin, "ab" * 32, "office", "a1b2c3d4", "2026-02-03", "Ana", "web1",
        "cas recover --repo /srv/massaflow/backups/cas --recovery-words /srv/massaflow",
    ):  # fmt: skip
        assert fact in text
    html = to_page(KEPT, language)
    blanks = html[html.index('<ol class="blanks">') : html.index("</ol>", html.index('<ol class="blanks">'))]
    assert blanks.count("<li>") == WORDS == 24
    assert not sheet.open


def test_the_languages_have_the_same_tags_and_other_words() -> None:
    sheets = [read(KEPT, language) for language in LANGUAGES]
    assert sheets[0].tags == sheets[1].tags
    assert sheets[0].text != sheets[1].text


def test_what_only_the_host_opens_is_warned_of() -> None:
    text = "".join(read(replace(KEPT, openings=())).text)
    assert "Nothing but the key file of the host opens it." in text
    assert "cas recover --repo /srv/massaflow/backups/cas /srv/massaflow" in text


def test_no_value_becomes_markup_and_no_password_is_printed() -> None:
    opening = Opening(HOSTILE, "key_file", HOSTILE, HOSTILE, HOSTILE)
    hostile = read(replace(
        KEPT, name=HOSTILE, folder=HOSTILE, hostname=HOSTILE, repository=f"https://u:hunter2@h/{HOSTILE}",
        openings=(opening,), contacts={HOSTILE: f"https://u:hunter2@h {HOSTILE}"},
    ))  # fmt: skip
    assert set(hostile.tags) <= set(read(KEPT).tags)
    assert hostile.attributes <= read(KEPT).attributes
    assert "hunter2" not in "".join(hostile.text)


def test_a_fingerprint_tells_keys_apart() -> None:
    assert fingerprint(bytes(32)) != fingerprint(bytes(31) + b"\x01")
    assert len(fingerprint(bytes(32)).replace(" ", "")) == 40
