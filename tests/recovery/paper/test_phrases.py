"""The languages against each other: the same keys, in each phrase the same names, the same code, as many sentences."""

from __future__ import annotations

import re

import pytest

from casstore.recovery.paper.page import Look, Span
from casstore.recovery.paper.phrases import LANGUAGES, Phrases, load

ENGLISH = load("en")
OTHERS = [language for language in LANGUAGES if language != "en"]


def sentences(language: str, key: str) -> list[str]:
    phrase = load(language)[key]
    return [phrase] if isinstance(phrase, str) else list(phrase)


@pytest.mark.parametrize("language", OTHERS)
def test_the_keys_are_the_same_and_in_the_same_order(language: str) -> None:
    assert list(load(language)) == list(ENGLISH)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("key", ENGLISH)
def test_each_sentence_has_the_same_names_and_the_same_code(language: str, key: str) -> None:
    ours, theirs = sentences("en", key), sentences(language, key)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for what in (r"\{[a-z_]+\}", r"`[^`]+`", r"\*\*"):
            assert sorted(re.findall(what, one)) == sorted(re.findall(what, other))
        assert {*re.findall(r"\bCode (\d+)", one)} == {*re.findall(r"\bCódigo (\d+)", other)}


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_was_translated(language: str) -> None:
    same = {key for key in ENGLISH if sentences("en", key) == sentences(language, key)}
    wordless = {"external.hand.do", "external.command.do", "external.prefix.do", "redeploy.data", "sheet.anchor_value"}
    assert same == wordless | {"backup.title", "drill.rpo", "drill.rto", "restore.health_plain.expect"}


def test_values_are_put_in_and_never_read_as_markup() -> None:
    say = Phrases("en")
    spans = say("external.hand.do", name="**a** `b`", how="{name} `c`\n")
    assert spans == (Span("**a** `b`.", Look.STRONG), Span(" {name} `c`\\n"))


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        Phrases("en")("title")
