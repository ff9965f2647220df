"""The words of a language, from a file of phrases: `{name}` is put in, `code` and **strong** are set apart.

A value that is put in keeps to its place: no letter of it is read as markup. The files have the same keys, and in each
phrase the same names and the same code; a test holds them against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from casstore.recovery.paper.page import Look, Span, Step, Words, letters, visible

LANGUAGES = ("en", "pt-BR")

_MARKED = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*")
_NAME = re.compile(r"\{([a-z_]+)\}")

Phrase = str | tuple[str, ...]  # one, or as many sentences as a list in the file has


class Phrases:
    """The phrases of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._phrases = load(language)

    def __call__(self, key: str, /, **values: str) -> Words:
        """Give a phrase with values put in."""
        phrase = self._phrases[key]
        assert isinstance(phrase, str)
        return tuple(_spans(phrase, values))

    def text(self, key: str, /, **values: str) -> str:
        """Give a phrase as bare letters."""
        return letters(self(key, **values))

    def step(self, key: str, /, *commands: str, **values: str) -> Step:
        """Give a step: its `do`, and where the file has them its `expect` and `otherwise`."""
        otherwise = self._phrases.get(f"{key}.otherwise", ())
        assert not isinstance(otherwise, str)
        return Step(
            self(f"{key}.do", **values),
            tuple(map(visible, commands)),
            self(f"{key}.expect", **values) if f"{key}.expect" in self._phrases else (),
            tuple(tuple(_spans(sentence, values)) for sentence in otherwise),
        )


@cache
def load(language: str) -> Mapping[str, Phrase]:
    """Read a language's file: phrases by the way to them, such as `restore.list.do`."""
    import tomllib

    text = files("casstore.recovery.paper").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return dict(_flat(tomllib.loads(text), ""))


def _flat(table: Mapping[str, object], before: str) -> Iterator[tuple[str, Phrase]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, tuple(value) if isinstance(value, list) else str(value)


def _spans(phrase: str, values: Mapping[str, str]) -> Iterator[Span]:
    at = 0
    for match in _MARKED.finditer(phrase):
        if match.start() > at:
            yield Span(_filled(phrase[at : match.start()], values))
        yield Span(_filled(match[1] or match[2], values), Look.CODE if match[1] else Look.STRONG)
        at = match.end()
    if at < len(phrase):
        yield Span(_filled(phrase[at:], values))


def _filled(piece: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: visible(values[match[1]]), piece)
